//! Certificates of clients, row by row, and what a missing one means at a door.

use rustix::process::Signal;
use testkit::certificates::{Authority, Keys, Leaf};
use testkit::process::eventually;

use crate::fixture::{Folder, HERE};
use crate::openssl::{Row, rows, s_client};

/// A realm that demands what the whole port demands.
const TARGET: &str = "/master/state";

/// Clients of every kind: `<kind>.pem` each.
fn clients() -> (Folder, Authority) {
    let folder = Folder::new();
    let client = Leaf::host("client", Some(HERE));
    folder.issue("client", &client);
    folder.issue("client-rsa", &client.clone().keys(Keys::Rsa));
    folder.issue("expired", &client.clone().expired());
    folder.issue("early", &client.clone().not_yet_valid());
    folder.issue("elsewhere", &Leaf::host("elsewhere.example", None));
    folder.keep("self", client.self_signed());
    let stranger = Authority::root("stranger", Keys::Ecdsa);
    folder.keep("stranger", stranger.issue(&client));
    // An authority of the same name that is another.
    let impostor = Authority::root("root", Keys::Ecdsa);
    folder.keep("impostor", impostor.issue(&client));
    let one = folder.root.intermediate("one");
    let two = one.intermediate("two");
    let three = two.intermediate("three");
    folder.keep("one", one.issue(&client));
    folder.keep("two", two.issue(&client));
    folder.keep("three", three.issue(&client));
    (folder, one)
}

/// What does not depend on demands: who presents something wrong never gets in.
const WRONG: &[Row<'_>] = &[
    ("expired", "-cert expired.pem -key expired-key.pem", "refused: certificate_expired"),
    ("not yet valid", "-cert early.pem -key early-key.pem", "refused: bad_certificate"),
    ("self-signed", "-cert self.pem -key self-key.pem", "refused: unknown_ca"),
    ("wrong authority", "-cert stranger.pem -key stranger-key.pem", "refused: unknown_ca"),
    ("authority of the same name", "-cert impostor.pem -key impostor-key.pem", "refused: "),
    (
        "expired in 1.2",
        "-tls1_2 -cert expired.pem -key expired-key.pem",
        "refused: certificate_expired",
    ),
    ("self-signed in 1.2", "-tls1_2 -cert self.pem -key self-key.pem", "refused: unknown_ca"),
];

#[test]
fn a_demanded_certificate_must_verify_and_its_absence_is_judged_at_the_door() {
    let (folder, _) = clients();
    let master = folder.master(&[
        ("CERT_FILE", "@rsa.pem"),
        ("KEY_FILE", "@rsa-key.pem"),
        ("CA_FILE", "@ca.pem"),
        ("REQUIRE_CLIENT_CERT", "true"),
        ("VERIFY_IPADD", "true"),
        ("HOSTNAME_VALIDATION_SCHEME", "openssl"),
    ]);
    rows(master.address, TARGET, folder.path(), WRONG);
    rows(
        master.address,
        TARGET,
        folder.path(),
        &[
            ("none", "", " 401"),
            ("none in 1.2", "-tls1_2", " 401"),
            ("valid", "-cert client.pem -key client-key.pem", "TLSv1.3 "),
            ("valid, and served", "-cert client.pem -key client-key.pem", " 200"),
            ("valid in 1.2", "-tls1_2 -cert client.pem -key client-key.pem", " 200"),
            ("RSA", "-cert client-rsa.pem -key client-rsa-key.pem", " 200"),
            (
                "RSA with a stock peer's suite",
                "-tls1_2 -cipher AES128-SHA -cert client-rsa.pem -key client-rsa-key.pem",
                "TLSv1.2 AES128-SHA RSA 200",
            ),
            (
                "the scheme checks no name of a client",
                "-cert elsewhere.pem -key elsewhere-key.pem",
                " 200",
            ),
            ("one intermediate", "-cert one.pem -key one-key.pem -cert_chain one.pem", " 200"),
            ("three", "-cert three.pem -key three-key.pem -cert_chain three.pem", " 200"),
            ("intermediates kept back", "-cert one.pem -key one-key.pem", "refused: unknown_ca"),
        ],
    );
}

#[test]
fn chains_may_be_as_long_as_is_said() {
    let (folder, _) = clients();
    let master = folder.master(&[
        ("CERT_FILE", "@rsa.pem"),
        ("KEY_FILE", "@rsa-key.pem"),
        ("CA_FILE", "@ca.pem"),
        ("REQUIRE_CLIENT_CERT", "true"),
        ("VERIFICATION_DEPTH", "1"),
        ("HOSTNAME_VALIDATION_SCHEME", "openssl"),
    ]);
    rows(
        master.address,
        TARGET,
        folder.path(),
        &[
            ("no intermediate", "-cert client.pem -key client-key.pem", " 200"),
            ("one", "-cert one.pem -key one-key.pem -cert_chain one.pem", " 200"),
            ("two", "-cert two.pem -key two-key.pem -cert_chain two.pem", "refused: "),
            ("three", "-cert three.pem -key three-key.pem -cert_chain three.pem", "refused: "),
        ],
    );
}

#[test]
fn who_is_on_the_revocation_list_is_refused() {
    let (folder, one) = clients();
    let revoked = folder.issue("revoked", &Leaf::host("client", Some(HERE)));
    let below = folder.keep("below", one.issue(&Leaf::host("client", Some(HERE))));
    let lists = [folder.root.revocation_list(&[&revoked]), one.revocation_list(&[&below])];
    folder.write("crl.pem", &lists.concat());
    let master = folder.master(&[
        ("CERT_FILE", "@rsa.pem"),
        ("KEY_FILE", "@rsa-key.pem"),
        ("CA_FILE", "@ca.pem"),
        ("CRL_FILE", "@crl.pem"),
        ("REQUIRE_CLIENT_CERT", "true"),
        ("HOSTNAME_VALIDATION_SCHEME", "openssl"),
    ]);
    rows(master.address, TARGET, folder.path(), WRONG);
    rows(
        master.address,
        TARGET,
        folder.path(),
        &[
            ("revoked", "-cert revoked.pem -key revoked-key.pem", "refused: certificate_revoked"),
            (
                "revoked in 1.2",
                "-tls1_2 -cert revoked.pem -key revoked-key.pem",
                "refused: certificate_revoked",
            ),
            ("not revoked", "-cert client.pem -key client-key.pem", " 200"),
            (
                "revoked by an intermediate",
                "-cert below.pem -key below-key.pem -cert_chain below.pem",
                "refused: certificate_revoked",
            ),
            ("its other", "-cert one.pem -key one-key.pem -cert_chain one.pem", " 200"),
            (
                "covered by no list",
                "-cert two.pem -key two-key.pem -cert_chain two.pem",
                "refused: ",
            ),
        ],
    );
}

#[test]
fn who_is_revoked_is_refused_although_there_is_a_session_to_resume() {
    let (folder, _) = clients();
    let revoked = folder.issue("revoked", &Leaf::host("client", Some(HERE)));
    folder.write("crl.pem", &folder.root.revocation_list(&[]));
    let master = folder.master(&[
        ("CERT_FILE", "@rsa.pem"),
        ("KEY_FILE", "@rsa-key.pem"),
        ("CA_FILE", "@ca.pem"),
        ("CRL_FILE", "@crl.pem"),
        ("REQUIRE_CLIENT_CERT", "true"),
        ("HOSTNAME_VALIDATION_SCHEME", "openssl"),
        // When this test says so, and not before.
        ("RELOAD", "false"),
    ]);
    let with = "-cert revoked.pem -key revoked-key.pem";
    let first = |version: &str| format!("-{version} {with} -sess_out {version}.session");
    let again = |version: &str| format!("-{version} {with} -sess_in {version}.session");
    let without = |version: &str| format!("-{version} -sess_in {version}.session");
    let versions = ["tls1_2", "tls1_3"];
    for version in versions {
        rows(
            master.address,
            TARGET,
            folder.path(),
            &[
                ("the first time", &first(version), " 200"),
                ("again", &again(version), " 200 resumed"),
                ("with nothing but the session", &without(version), " 200 resumed"),
            ],
        );
    }
    folder.write("crl.pem", &folder.root.revocation_list(&[&revoked]));
    master.process.signal(Signal::HUP);
    eventually("the list is read", || {
        let (outcome, _) = s_client(master.address, TARGET, folder.path(), with)?;
        outcome.ends_with("certificate_revoked").then_some(())
    });
    for version in versions {
        rows(
            master.address,
            TARGET,
            folder.path(),
            &[
                ("who is revoked", &again(version), "refused: certificate_revoked"),
                ("with nothing but the session", &without(version), " 401"),
            ],
        );
    }
}

#[test]
fn a_revocation_list_that_has_run_out_lets_nobody_in() {
    let (folder, _) = clients();
    folder.write("crl.pem", &folder.root.revocation_list_until(&[], -1));
    let master = folder.master(&[
        ("CERT_FILE", "@rsa.pem"),
        ("KEY_FILE", "@rsa-key.pem"),
        ("CA_FILE", "@ca.pem"),
        ("CRL_FILE", "@crl.pem"),
        ("REQUIRE_CLIENT_CERT", "true"),
        ("HOSTNAME_VALIDATION_SCHEME", "openssl"),
    ]);
    rows(
        master.address,
        TARGET,
        folder.path(),
        &[("anybody", "-cert client.pem -key client-key.pem", "refused: "), ("nobody", "", " 401")],
    );
}

#[test]
fn doors_of_one_port_demand_what_is_said_of_each() {
    let (folder, _) = clients();
    let master = folder.master(&[
        ("CERT_FILE", "@rsa.pem"),
        ("KEY_FILE", "@rsa-key.pem"),
        ("CA_FILE", "@ca.pem"),
        ("REQUIRE_CLIENT_CERT", "true"),
        ("CLIENT_CERTS", "required,mesos-master-readonly=optional"),
        ("HOSTNAME_VALIDATION_SCHEME", "openssl"),
    ]);
    let read = "/master/state";
    rows(master.address, read, folder.path(), WRONG);
    rows(
        master.address,
        read,
        folder.path(),
        &[
            ("a browser reads", "", " 200"),
            ("so does who has one", "-cert client.pem -key client-key.pem", " 200"),
        ],
    );
    rows(
        master.address,
        "/master/api/v1/scheduler",
        folder.path(),
        &[("a browser is no scheduler", "", " 401")],
    );
}
