//! What scanners report, compared with what the policy says.

use std::collections::BTreeSet;

use testkit::certificates::Keys;
use testkit::daemon::Daemon;
use testkit::tools::{python, run, tool};

use crate::fixture::Folder;

const TLS13: &[&str] = &[
    "TLSv1.3 TLS_AES_128_GCM_SHA256",
    "TLSv1.3 TLS_AES_256_GCM_SHA384",
    "TLSv1.3 TLS_CHACHA20_POLY1305_SHA256",
];
const FORWARD_SECRET: &[&str] = &[
    "TLSv1.2 ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLSv1.2 ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLSv1.2 ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256",
    "TLSv1.2 ECDHE-RSA-AES256-GCM-SHA384",
    "TLSv1.2 ECDHE-RSA-CHACHA20-POLY1305",
];
const STOCK: &[&str] = &["TLSv1.2 AES128-SHA", "TLSv1.2 AES256-SHA"];

/// Both leaves, and this profile.
fn both(folder: &Folder, profile: &str) -> Daemon {
    folder.master(&[
        ("CERT_FILE", "@ecdsa.pem"),
        ("KEY_FILE", "@ecdsa-key.pem"),
        ("ALT_CERT_FILE", "@rsa.pem"),
        ("ALT_KEY_FILE", "@rsa-key.pem"),
        ("PROFILE", profile),
    ])
}

fn modern(folder: &Folder) -> Daemon {
    folder.master(&[
        ("CERT_FILE", "@ecdsa.pem"),
        ("KEY_FILE", "@ecdsa-key.pem"),
        ("PROFILE", "modern"),
    ])
}

/// What `sslyze --mozilla_config=<configuration>` concludes.
fn sslyze(folder: &Folder, master: &Daemon, configuration: &str) {
    let Some(mut python) = python() else { return };
    let (output, text) = run(python
        .args(["-W", "ignore", "-m", "sslyze", "--slow_connection"])
        .arg(format!("--mozilla_config={configuration}"))
        .arg(format!("--certinfo_ca_file={}", folder.file("ca.pem")))
        .arg(format!("localhost:{}", master.address.port())));
    assert!(output.status.success() && text.contains("OK - Compliant"), "{text}");
}

#[test]
fn sslyze_finds_the_profile_intermediate_compliant() {
    let folder = Folder::new();
    sslyze(&folder, &both(&folder, "intermediate"), "intermediate");
}

#[test]
fn sslyze_finds_the_profile_modern_compliant() {
    let folder = Folder::new();
    sslyze(&folder, &modern(&folder), "modern");
}

#[test]
fn sslyze_would_tell_the_profile_mesos_from_an_intermediate_one() {
    let folder = Folder::new();
    let master = both(&folder, "mesos");
    let Some(mut python) = python() else { return };
    let (output, text) = run(python
        .args(["-W", "ignore", "-m", "sslyze", "--slow_connection"])
        .arg("--mozilla_config=intermediate")
        .arg(format!("--certinfo_ca_file={}", folder.file("ca.pem")))
        .arg(format!("localhost:{}", master.address.port())));
    assert!(!output.status.success(), "{text}");
    let (_, complaint) = text.split_once("* ciphers: ").unwrap_or_else(|| panic!("{text}"));
    let complaint = complaint.lines().next().unwrap_or_default();
    // Two, and nothing else.
    assert_eq!(complaint.matches("TLS_").count(), 2, "{text}");
    for suite in ["TLS_RSA_WITH_AES_128_CBC_SHA'", "TLS_RSA_WITH_AES_256_CBC_SHA'"] {
        assert!(complaint.contains(suite), "{text}");
    }
}

#[test]
fn sslscan_finds_what_the_profiles_say_and_nothing_weaker() {
    let folder = Folder::new();
    let say = |parts: &[&[&'static str]]| parts.concat().into_iter().collect::<BTreeSet<_>>();
    for (master, said) in [
        (both(&folder, "mesos"), say(&[TLS13, FORWARD_SECRET, STOCK])),
        (both(&folder, "intermediate"), say(&[TLS13, FORWARD_SECRET])),
        (modern(&folder), say(&[TLS13])),
    ] {
        let Some(mut sslscan) = tool("sslscan") else { return };
        let (_, text) = run(sslscan
            .args(["--no-colour", "--timeout=30", "--show-certificate"])
            .arg(master.address.to_string()));
        let found: BTreeSet<String> = text.lines().filter_map(accepted).collect();
        let found: BTreeSet<&str> = found.iter().map(String::as_str).collect();
        assert_eq!(found, said, "{text}");
        for weak in
            ["SSLv2     enabled", "SSLv3     enabled", "TLSv1.0   enabled", "TLSv1.1   enabled"]
        {
            assert!(!text.contains(weak), "{text}");
        }
        let groups: BTreeSet<&str> = text.lines().filter_map(group).collect();
        let weak = ["112 bits", "80 bits", "64 bits", "56 bits", "40 bits"];
        assert!(!groups.iter().any(|group| weak.iter().any(|w| group.starts_with(w))), "{text}");
        assert!(groups.iter().any(|group| group.contains("x25519")), "{text}");
        for trouble in
            ["Insecure session renegotiation", "Compression enabled", " vulnerable to heartbleed"]
        {
            let lines = text.lines().filter(|line| !line.contains("not vulnerable"));
            assert!(!lines.into_iter().any(|line| line.contains(trouble)), "{text}");
        }
    }
}

/// `<version> <suite>` of a line that reports a suite.
fn accepted(line: &str) -> Option<String> {
    let mut words = line.split_whitespace();
    matches!(words.next()?, "Preferred" | "Accepted").then_some(())?;
    let version = words.next()?;
    let suite = words.find(|word| word.contains('-') || word.starts_with("TLS_"))?;
    Some(format!("{version} {suite}"))
}

/// The rest of a line that reports a group.
fn group(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("TLSv1.3  ").or_else(|| line.strip_prefix("TLSv1.2  "))?;
    rest.contains(" bits ").then_some(rest.trim())
}

#[test]
fn sslscan_sees_the_leaf_that_it_can_use() {
    let folder = Folder::new();
    for (keys, name) in [(Keys::Ecdsa, "ecdsa"), (Keys::Rsa, "rsa")] {
        let certificate = format!("@{name}.pem");
        let key = format!("@{name}-key.pem");
        let master = folder.master(&[("CERT_FILE", &certificate), ("KEY_FILE", &key)]);
        let Some(mut sslscan) = tool("sslscan") else { return };
        let (_, text) =
            run(sslscan.args(["--no-colour", "--timeout=30"]).arg(master.address.to_string()));
        let found: BTreeSet<String> = text.lines().filter_map(accepted).collect();
        let other = if keys == Keys::Rsa { "-ECDSA-" } else { "-RSA-" };
        assert!(!found.is_empty() && !found.iter().any(|suite| suite.contains(other)), "{text}");
    }
}
