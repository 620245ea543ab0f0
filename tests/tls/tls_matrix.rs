//! `openssl s_client` against our daemons, row by row.

use std::path::Path;
use std::process::{Command, Stdio};

use testkit::certificates::{Authority, Keys, Leaf};
use testkit::cluster::Cluster;

const ALCAZAR: &str = env!("CARGO_BIN_EXE_alcazar");

#[test]
fn a_secure_cluster_speaks_no_version_below_1_2() {
    let cluster = Cluster::up(Path::new(ALCAZAR));
    let master = cluster.fact("master");
    let master = master.strip_prefix("https://").expect("a secure cluster");
    for (version, spoken) in
        [("-tls1", false), ("-tls1_1", false), ("-tls1_2", true), ("-tls1_3", true)]
    {
        let output = Command::new("openssl")
            .args(["s_client", "-connect", master, version, "-cipher", "DEFAULT@SECLEVEL=0"])
            .stdin(Stdio::null())
            .output();
        let Ok(output) = output else { return testkit::skipped("no openssl") };
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(text.contains("Cipher is (NONE)"), !spoken, "{version}: {text}");
    }
}

#[test]
fn a_revocation_list_names_what_is_revoked() {
    let root = Authority::root("root", Keys::Ecdsa);
    let one = root.issue(&Leaf::host("one.example", None));
    let list = String::from_utf8(root.revocation_list(&[&one])).expect("PEM is text");
    assert!(list.starts_with("-----BEGIN X509 CRL-----"), "{list}");
}
