//! `curl` at the doors of a master that demands certificates.

use testkit::certificates::Leaf;
use testkit::daemon::Daemon;
use testkit::tools::{run, tool};

use crate::fixture::Folder;

fn master(folder: &Folder) -> Daemon {
    folder.master(&[
        ("CERT_FILE", "@rsa.pem"),
        ("KEY_FILE", "@rsa-key.pem"),
        ("CA_FILE", "@ca.pem"),
        ("REQUIRE_CLIENT_CERT", "true"),
        ("HOSTNAME_VALIDATION_SCHEME", "openssl"),
    ])
}

/// The body, and after it the status.
fn curl(folder: &Folder, arguments: &[&str]) -> Option<(String, String)> {
    let (_, text) = run(tool("curl")?
        .args(["--silent", "--show-error", "--write-out", "\n%{http_code}"])
        .args(["--cacert", "ca.pem"])
        .args(arguments)
        .current_dir(folder.path()));
    let (body, rest) = text.rsplit_once('\n').unwrap_or(("", &text));
    Some((body.to_owned(), rest.to_owned()))
}

#[test]
fn curl_is_served_with_a_certificate_and_told_why_not_without() {
    let folder = Folder::new();
    folder.issue("client", &Leaf::new("somebody"));
    let master = master(&folder);
    let port = master.address.port();
    let url = format!("https://localhost:{port}/master/state");
    let Some((body, status)) = curl(&folder, &[&url]) else { return };
    assert_eq!(status, "401", "{body}");
    assert!(body.contains("client certificate is required"), "{body}");
    let with = ["--cert", "client.pem", "--key", "client-key.pem"];
    let (body, status) = curl(&folder, &[&with[..], &[&url]].concat()).expect("there is one");
    assert_eq!(status, "200", "{body}");
    // The name and the address are both in the certificate.
    let url = format!("https://127.0.0.1:{port}/version");
    let (body, status) = curl(&folder, &[&with[..], &[&url]].concat()).expect("there is one");
    assert_eq!(status, "200", "{body}");
    // Messages have a door of their own, at which a request is not even answered.
    let url = format!("https://localhost:{port}/master/mesos.internal.UnregisterSlaveMessage");
    let from = ["--header", "Libprocess-From: slave(1)@127.0.0.1:9", "--data", ""];
    let (body, status) = curl(&folder, &[&from[..], &[&url]].concat()).expect("there is one");
    assert_ne!(status, "200", "{body}");
    let (body, _) = curl(
        &folder,
        &[&with[..], &[&format!("https://localhost:{port}/metrics/snapshot")]].concat(),
    )
    .expect("there is one");
    assert!(body.contains("\"alcazar/transport/messages_dropped_unbound\":1"), "{body}");
}

#[test]
fn plain_http_on_a_port_that_speaks_tls_is_told_so() {
    let folder = Folder::new();
    let master = master(&folder);
    let url = format!("http://localhost:{}/master/state", master.address.port());
    let Some((body, status)) = curl(&folder, &[&url]) else { return };
    assert_eq!(status, "400", "{body}");
    assert!(body.contains("TLS") && body.contains("https"), "{body}");
}

#[test]
fn curl_that_knows_no_authority_goes_away_and_the_master_stays() {
    let folder = Folder::new();
    let master = master(&folder);
    let url = format!("https://localhost:{}/version", master.address.port());
    let others = Folder::new();
    let Some((complaint, _)) = curl(&others, &[&url]) else { return };
    assert!(complaint.contains("unable to get local issuer certificate"), "{complaint}");
    let (body, status) = curl(&folder, &[&url]).expect("there is one");
    assert_eq!(status, "401", "{body}");
}
