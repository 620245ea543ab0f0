//! `openssl s_client` against our daemons: versions, suites, groups and leaves, row by row.

use std::path::Path;

use testkit::cluster::Cluster;

use crate::fixture::{ALCAZAR, Folder};
use crate::openssl::{Row, rows};

/// Whom everybody may ask.
const TARGET: &str = "/version";

/// A stock peer's two suites, and what no profile offers.
const NEVER: &[Row<'_>] = &[
    ("TLS 1.0", "-tls1 -cipher ALL:@SECLEVEL=0", "refused: protocol_version"),
    ("TLS 1.1", "-tls1_1 -cipher ALL:@SECLEVEL=0", "refused: protocol_version"),
    ("no encryption", "-tls1_2 -cipher eNULL:@SECLEVEL=0", "refused: "),
    ("no authentication", "-tls1_2 -cipher aNULL:@SECLEVEL=0", "refused: "),
    ("DHE", "-tls1_2 -cipher kDHE", "refused: "),
    ("Camellia", "-tls1_2 -cipher CAMELLIA", "refused: "),
    ("ECDHE and CBC", "-tls1_2 -cipher ECDHE-RSA-AES128-SHA", "refused: "),
    ("CBC and SHA-256", "-tls1_2 -cipher AES128-SHA256", "refused: "),
    ("RSA and GCM", "-tls1_2 -cipher AES128-GCM-SHA256", "refused: "),
    ("PSK", "-tls1_2 -cipher PSK -psk 00", "refused: "),
    ("CCM in TLS 1.3", "-tls1_3 -ciphersuites TLS_AES_128_CCM_SHA256", "refused: "),
    ("a small group", "-tls1_2 -groups P-224 -cipher ECDHE:@SECLEVEL=0", "refused: "),
];

#[test]
fn a_secure_cluster_speaks_what_it_says_and_nothing_weaker() {
    let cluster = Cluster::up(Path::new(ALCAZAR));
    let master = cluster.fact("master");
    let master = master.strip_prefix("https://").expect("a secure cluster");
    let master = master.parse().expect("an address");
    let here = &cluster.state_dir();
    std::fs::copy(here.join(cluster.fact("ca")), here.join("ca.pem")).expect("our own directory");
    rows(master, TARGET, here, NEVER);
    rows(
        master,
        TARGET,
        here,
        &[
            ("1.3", "-tls1_3", "TLSv1.3 TLS_AES_"),
            ("a stock peer's first suite", "-tls1_2 -cipher AES128-SHA", "refused: "),
            ("RSA leaf", "-tls1_2 -cipher ECDHE-RSA-AES128-GCM-SHA256", "refused: "),
        ],
    );
}

#[test]
fn under_the_originals_names_a_stock_peer_and_a_modern_one_are_served_on_one_port() {
    let folder = Folder::new();
    let master = folder.master(&[
        ("CERT_FILE", "@rsa.pem"),
        ("KEY_FILE", "@rsa-key.pem"),
        ("ALT_CERT_FILE", "@ecdsa.pem"),
        ("ALT_KEY_FILE", "@ecdsa-key.pem"),
    ]);
    rows(master.address, TARGET, folder.path(), NEVER);
    rows(
        master.address,
        TARGET,
        folder.path(),
        &[
            ("whatever is best", "", "TLSv1.3 TLS_AES_"),
            ("1.3", "-tls1_3", "TLSv1.3 TLS_AES_"),
            ("1.2", "-tls1_2", "TLSv1.2 ECDHE-ECDSA-AES128-GCM-SHA256 X25519"),
            ("a stock peer", "-tls1_2 -cipher AES128-SHA", "TLSv1.2 AES128-SHA RSA 200"),
            ("its other suite", "-tls1_2 -cipher AES256-SHA", "TLSv1.2 AES256-SHA RSA 200"),
            (
                "the original's whole list, as far as the library has it",
                "-tls1_2 -cipher AES128-SHA:AES256-SHA:DHE-RSA-AES128-SHA:DHE-RSA-AES256-SHA",
                "TLSv1.2 AES128-SHA RSA 200",
            ),
            (
                "legacy suites come last",
                "-tls1_2 -cipher AES128-SHA:ECDHE-RSA-AES128-GCM-SHA256",
                "TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256",
            ),
            (
                "ECDSA only",
                "-tls1_2 -sigalgs ECDSA+SHA256 -cipher ECDHE-ECDSA-AES128-GCM-SHA256",
                "TLSv1.2 ECDHE-ECDSA-AES128-GCM-SHA256",
            ),
            ("ECDSA only in 1.3", "-tls1_3 -sigalgs ECDSA+SHA256", "TLSv1.3"),
            (
                "RSA only in 1.3",
                "-tls1_3 -sigalgs RSA-PSS+SHA256:RSA+SHA256:ECDSA+SHA256",
                "TLSv1.3",
            ),
            (
                "256 bits",
                "-tls1_2 -cipher ECDHE-ECDSA-AES256-GCM-SHA384",
                "TLSv1.2 ECDHE-ECDSA-AES256-GCM-SHA384",
            ),
            (
                "256 bits with RSA",
                "-tls1_2 -cipher ECDHE-RSA-AES256-GCM-SHA384",
                "TLSv1.2 ECDHE-RSA-AES256-GCM-SHA384",
            ),
            (
                "ChaCha",
                "-tls1_2 -cipher ECDHE-RSA-CHACHA20-POLY1305",
                "TLSv1.2 ECDHE-RSA-CHACHA20-POLY1305",
            ),
            (
                "ChaCha in 1.3",
                "-tls1_3 -ciphersuites TLS_CHACHA20_POLY1305_SHA256",
                "TLSv1.3 TLS_CHACHA20_POLY1305_SHA256",
            ),
            ("X25519", "-tls1_3 -groups X25519", "X25519"),
            ("P-256", "-tls1_3 -groups P-256", "ECDH prime256v1"),
            ("X25519 rather than P-256", "-tls1_2 -groups P-256:X25519", "X25519"),
            ("ALPN", "-alpn h2,http/1.1", "200 http/1.1"),
            ("ALPN that we do not speak", "-alpn h2", "200"),
        ],
    );
}

#[test]
fn versions_of_old_are_spoken_when_they_are_switched_on_and_the_newest_not_when_off() {
    let folder = Folder::new();
    let master = folder.master(&[
        ("CERT_FILE", "@rsa.pem"),
        ("KEY_FILE", "@rsa-key.pem"),
        ("ENABLE_TLS_V1_0", "true"),
        ("ENABLE_TLS_V1_1", "true"),
        ("ENABLE_TLS_V1_3", "false"),
        ("ENABLE_SSL_V3", "true"),
    ]);
    rows(
        master.address,
        TARGET,
        folder.path(),
        &[
            ("1.0", "-tls1 -cipher ALL:@SECLEVEL=0", "TLSv1 ECDHE-RSA-AES128-SHA"),
            ("1.1", "-tls1_1 -cipher ALL:@SECLEVEL=0", "TLSv1.1 ECDHE-RSA-AES128-SHA"),
            ("1.2", "-tls1_2", "TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256"),
            ("1.3", "-tls1_3", "refused: protocol_version"),
            ("any", "", "TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256"),
        ],
    );
}

#[test]
fn suites_and_groups_are_those_that_are_named() {
    let folder = Folder::new();
    let master = folder.master(&[
        ("CERT_FILE", "@rsa.pem"),
        ("KEY_FILE", "@rsa-key.pem"),
        // The documented default, most of which no library has any more, and one suite more.
        (
            "CIPHERS",
            "RC4-SHA:DHE-DSS-AES128-SHA:NO-SUCH-SUITE:ECDHE-RSA-AES256-GCM-SHA384:AES256-SHA",
        ),
        ("ECDH_CURVE", "P-384:P-521"),
    ]);
    rows(
        master.address,
        TARGET,
        folder.path(),
        &[
            ("1.2", "-tls1_2", "TLSv1.2 ECDHE-RSA-AES256-GCM-SHA384 ECDH secp384r1"),
            ("a named group", "-tls1_2 -groups P-521", "ECDH secp521r1"),
            ("a named group in 1.3", "-tls1_3 -groups P-384", "ECDH secp384r1"),
            ("a suite without a group", "-tls1_2 -cipher AES256-SHA", "TLSv1.2 AES256-SHA RSA"),
            ("not named", "-tls1_2 -cipher AES128-SHA", "refused: handshake_failure"),
            ("group not named", "-tls1_3 -groups X25519", "refused: handshake_failure"),
            ("group not named in 1.2", "-tls1_2 -groups P-256 -cipher ECDHE", "refused: "),
        ],
    );
}

#[test]
fn the_profile_modern_is_tls_1_3_with_ecdsa() {
    let folder = Folder::new();
    let master = folder.master(&[
        ("CERT_FILE", "@ecdsa.pem"),
        ("KEY_FILE", "@ecdsa-key.pem"),
        ("PROFILE", "modern"),
    ]);
    rows(master.address, TARGET, folder.path(), NEVER);
    rows(
        master.address,
        TARGET,
        folder.path(),
        &[
            ("1.3", "-tls1_3", "TLSv1.3 TLS_AES_"),
            ("1.2", "-tls1_2", "refused: protocol_version"),
            ("RSA only", "-tls1_3 -sigalgs RSA-PSS+SHA256", "refused: "),
            ("P-256", "-groups P-256", "ECDH prime256v1"),
        ],
    );
}

#[test]
fn the_profile_intermediate_has_forward_secrecy_only() {
    let folder = Folder::new();
    let master = folder.master(&[
        ("CERT_FILE", "@rsa.pem"),
        ("KEY_FILE", "@rsa-key.pem"),
        ("PROFILE", "intermediate"),
    ]);
    rows(master.address, TARGET, folder.path(), NEVER);
    rows(
        master.address,
        TARGET,
        folder.path(),
        &[
            ("1.3", "-tls1_3", "TLSv1.3 TLS_AES_"),
            ("1.2", "-tls1_2", "TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256"),
            ("a stock peer", "-tls1_2 -cipher AES128-SHA", "refused: handshake_failure"),
            ("its other suite", "-tls1_2 -cipher AES256-SHA", "refused: handshake_failure"),
        ],
    );
}
