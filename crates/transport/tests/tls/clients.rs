//! What a client of ours demands of a server.

use std::time::{Duration, SystemTime};

use alcazar_transport::client::{DialError, Settings};
use tls_policy::{NameCheck, Outbound, TrustAnchors};

use crate::authority::{Authority, DAY, Wanted, names};
use crate::fixture::{Folder, Ours, file, load};

const BY_NAME: NameCheck = NameCheck::Dialled { ip: false };
const BY_ADDRESS: NameCheck = NameCheck::Dialled { ip: true };

/// Whether a client that checks names so takes a server with this certificate for what it dialled.
async fn accepts(wanted: &Wanted<'_>, check: NameCheck, name: Option<&str>) -> Result<(), String> {
    let (folder, root) = (Folder::new(), Authority::root("root"));
    let server = folder.server(&root.issue(wanted));
    let client = Ours::new(&folder.verifying(&root, check));
    match client.dial(server.address, name).await {
        Ok(connection) => {
            assert!(connection.peer().certified && connection.peer().encrypted);
            assert_eq!(connection.peer().identity, None);
            Ok(())
        }
        Err(error @ DialError::Untrusted { .. }) => {
            assert_eq!(client.contexts.counters().get("tls/failures/name"), 1, "{error}");
            Err(error.to_string())
        }
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn tls_names_are_compared_with_what_was_dialled_by_the_rules_of_openssl() {
    let of = |common_name, names| Wanted { common_name, names, ..Wanted::default() };
    let host = Some("node1.example.org");
    let cases: &[(Wanted<'_>, NameCheck, Option<&str>, bool)] = &[
        (of("x", &["DNS:node1.example.org"]), BY_NAME, host, true),
        (of("x", &["DNS:NODE1.example.org"]), BY_NAME, host, true),
        (of("x", &["DNS:*.example.org"]), BY_NAME, host, true),
        (of("x", &["DNS:n*.example.org"]), BY_NAME, host, true),
        (of("x", &["DNS:*.org"]), BY_NAME, host, false),
        (of("x", &["DNS:node2.example.org"]), BY_NAME, host, false),
        // The common name counts only where there is no DNS name.
        (of("node1.example.org", &[]), BY_NAME, host, true),
        (of("node1.example.org", &["IP:10.0.0.1"]), BY_NAME, host, true),
        (of("node1.example.org", &["DNS:node2.example.org"]), BY_NAME, host, false),
        // With a name the address does not count, even where addresses may.
        (of("x", &["IP:127.0.0.1"]), BY_ADDRESS, host, false),
        (of("x", &["IP:127.0.0.1"]), BY_ADDRESS, None, true),
        (of("x", &["IP:127.0.0.2"]), BY_ADDRESS, None, false),
        (of("127.0.0.1", &[]), BY_ADDRESS, None, false),
        (of("127.0.0.1", &["DNS:127.0.0.1"]), BY_ADDRESS, None, false),
    ];
    for (wanted, check, name, accepted) in cases {
        let verdict = accepts(wanted, *check, *name).await;
        assert_eq!(
            verdict.is_ok(),
            *accepted,
            "{} {:?} {name:?}: {verdict:?}",
            wanted.common_name,
            wanted.names
        );
    }
}

#[tokio::test]
async fn tls_without_a_name_and_without_addresses_nothing_is_dialled() {
    let (folder, root) = (Folder::new(), Authority::root("root"));
    let client = Ours::new(&folder.verifying(&root, BY_NAME));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let error = client.dial(listener.local_addr().unwrap(), None).await.unwrap_err();
    assert!(error.to_string().contains("No DNS name given"), "{error}");
    // Whoever connects next is the first.
    let next = tokio::net::TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (_, first) = listener.accept().await.unwrap();
    assert_eq!(first, next.local_addr().unwrap());
}

#[tokio::test]
async fn tls_the_legacy_scheme_asks_for_the_name_of_the_address() {
    let check = NameCheck::ReverseDns { ip: false };
    // Every machine calls this address so, and the name that was dialled is not asked.
    let own = names(&["DNS:localhost"]);
    accepts(&own, check, None).await.unwrap();
    accepts(&own, check, Some("elsewhere.example.org")).await.unwrap();
    let common_name = Wanted { common_name: "localhost", ..Wanted::default() };
    accepts(&common_name, check, None).await.unwrap();
    accepts(&names(&["DNS:elsewhere.example.org"]), check, Some("elsewhere.example.org"))
        .await
        .unwrap_err();
    let address = names(&["IP:127.0.0.1"]);
    accepts(&address, check, None).await.unwrap_err();
    accepts(&address, NameCheck::ReverseDns { ip: true }, None).await.unwrap();
}

/// Why a client that believes `root` leaves a server with this chain, by its counter.
async fn refusal(folder: &Folder, root: &Authority, issued: &crate::authority::Issued) -> String {
    let server = folder.server(issued);
    let client = Ours::new(&folder.verifying(root, BY_ADDRESS));
    client.dial(server.address, None).await.unwrap_err();
    let failures = client.contexts.counters().entries().into_iter();
    let mut failures = failures.filter(|(name, n)| name.starts_with("tls/failures/") && *n > 0);
    let (name, count) = failures.next().unwrap();
    assert_eq!((count, failures.next()), (1, None));
    // The server hears of it too.
    server.until("tls/failures/refused_by_peer", 1).await;
    name
}

#[tokio::test]
async fn tls_servers_with_a_bad_chain_are_left_and_it_is_counted_why() {
    let (folder, root) = (Folder::new(), Authority::root("root"));
    let local = names(&["IP:127.0.0.1"]);
    let other = Authority::root("root").issue(&local);
    assert_eq!(refusal(&folder, &root, &other).await, "tls/failures/unknown_authority");
    let expired = root.issue(&Wanted { until: -10, ..local.clone() });
    assert_eq!(refusal(&folder, &root, &expired).await, "tls/failures/expired");
    let early = root.issue(&Wanted { from: DAY / 2, ..local.clone() });
    assert_eq!(refusal(&folder, &root, &early).await, "tls/failures/not_yet_valid");
    // An ordinary certificate issues nothing.
    let leaf = root.issue(&local);
    let mut by_leaf = root.intermediate("not an authority").issue(&local);
    by_leaf.chain = vec![leaf.certificate];
    assert_eq!(refusal(&folder, &root, &by_leaf).await, "tls/failures/unknown_authority");
}

#[tokio::test]
async fn tls_chains_are_as_deep_as_the_rules_allow() {
    let (folder, root) = (Folder::new(), Authority::root("root"));
    let deep = root.intermediate("1").intermediate("2").issue(&names(&["IP:127.0.0.1"]));
    let server = folder.server(&deep);
    for (depth, accepted) in [(0, false), (1, false), (2, true), (3, true)] {
        let mut rules = folder.verifying(&root, BY_ADDRESS);
        let Outbound::Verified(chain, _) = &mut rules.outbound else { panic!() };
        chain.depth = depth;
        let outcome = Ours::new(&rules).dial(server.address, None).await;
        assert_eq!(outcome.is_ok(), accepted, "{depth}: {outcome:?}");
    }
}

#[tokio::test]
async fn tls_revoked_servers_are_left_and_lists_must_cover_the_chain_and_be_current() {
    let (folder, root) = (Folder::new(), Authority::root("root"));
    let issuer = root.intermediate("issuer");
    let good = issuer.issue(&names(&["IP:127.0.0.1"]));
    let bad = issuer.issue(&names(&["IP:127.0.0.1"]));
    let lists = |until| [issuer.revocations(&[&bad], until), root.revocations(&[], DAY)].concat();
    let outcome = async |issued, lists: Vec<u8>| {
        let server = folder.server(issued);
        let mut rules = folder.verifying(&root, BY_ADDRESS);
        rules.revocation = Some(folder.write("lists.pem", lists));
        let client = Ours::new(&rules);
        let dialled = client.dial(server.address, None).await;
        let counters = client.contexts.counters();
        let count = |name: &str| counters.get(&format!("tls/failures/{name}"));
        (dialled.is_ok(), count("revoked"), count("revocation_unknown"))
    };
    assert_eq!(outcome(&good, lists(DAY)).await, (true, 0, 0));
    assert_eq!(outcome(&bad, lists(DAY)).await, (false, 1, 0));
    // The list of the issuer has run out; there is none of the root.
    assert_eq!(outcome(&good, lists(-10)).await, (false, 0, 1));
    assert_eq!(outcome(&good, issuer.revocations(&[], DAY)).await, (false, 0, 1));
}

#[tokio::test]
async fn tls_directories_of_authorities_are_believed_whatever_the_names_of_the_files() {
    let (folder, hashed, plain) = (Folder::new(), Authority::root("a"), Authority::root("b"));
    let hash = format!("ca/{:08x}.0", hashed.certificate.subject_name_hash());
    folder.write(&hash, hashed.pem());
    // As in the tutorial: the authority by any name, and things that are none beside it.
    folder.write("ca/hashed-again.pem", hashed.pem());
    folder.write("ca/ca.pem", plain.pem());
    folder.write(
        "ca/localhost-key.pem",
        hashed.issue(&names(&[])).key.private_key_to_pem_pkcs8().unwrap(),
    );
    folder.write("ca/notes.txt", "nothing to believe");
    std::fs::create_dir(folder.path("ca/empty")).unwrap();
    let mut rules = folder.verifying(&hashed, BY_ADDRESS);
    let Outbound::Verified(chain, _) = &mut rules.outbound else { panic!() };
    chain.anchors = TrustAnchors::Files { file: None, dir: Some(folder.path("ca")) };
    let client = Ours::new(&rules);
    let notices = client.contexts.notices();
    assert_eq!(notices.len(), 1, "{notices:?}");
    let notice = notices[0].to_string();
    assert!(notice.starts_with("ca.pem in ") && notice.contains("rehash"), "{notice}");
    for root in [&hashed, &plain] {
        let server = folder.server(&root.issue(&names(&["IP:127.0.0.1"])));
        client.dial(server.address, None).await.unwrap();
    }
    let stranger = folder.server(&Authority::root("a").issue(&names(&["IP:127.0.0.1"])));
    client.dial(stranger.address, None).await.unwrap_err();
}

#[tokio::test]
async fn tls_without_verification_any_server_will_do() {
    let (folder, root) = (Folder::new(), Authority::root("root"));
    let expired = root.issue(&Wanted { until: -10, ..Wanted::default() });
    let server = folder.server(&expired);
    let client = Ours::new(&folder.rules(Vec::new()));
    let connection = client.dial(server.address, None).await.unwrap();
    let peer = connection.peer();
    assert!(peer.encrypted && !peer.certified && peer.principal.is_none());
}

#[tokio::test]
async fn tls_the_roots_of_the_system_are_believed_and_nobody_else() {
    let (folder, root) = (Folder::new(), Authority::root("root"));
    let server = folder.server(&root.issue(&names(&["IP:127.0.0.1"])));
    let mut rules = folder.verifying(&root, BY_ADDRESS);
    let Outbound::Verified(chain, _) = &mut rules.outbound else { panic!() };
    chain.anchors = TrustAnchors::System;
    match load(&rules) {
        Ok(_) => {
            Ours::new(&rules).dial(server.address, None).await.unwrap_err();
        }
        // A machine without them: then nothing runs.
        Err(error) => {
            let reason = std::error::Error::source(&error).unwrap().to_string();
            assert!(reason.contains("this system has no certificates"), "{reason}");
        }
    }
}

#[tokio::test]
async fn tls_a_peer_that_speaks_none_is_told_from_one_whose_handshake_failed() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let folder = Folder::new();
    let answers: &[(&[u8], &str)] = &[
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "no_tls"),
        (b"", "no_tls"),
        // An alert: it speaks TLS.
        (&[0x15, 3, 3, 0, 2, 2, 40], "no_shared_suite"),
        (&[0x16, 3, 3, 0], "disconnected"),
    ];
    for (answer, reason) in answers {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let client = Ours::new(&folder.rules(Vec::new()));
        let peer = async {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut hello = [0; 64];
            socket.read_exact(&mut hello).await.unwrap();
            socket.write_all(answer).await.unwrap();
            socket.shutdown().await.unwrap();
            let mut rest = Vec::new();
            let _ = socket.read_to_end(&mut rest).await;
        };
        let (outcome, ()) = tokio::join!(client.dial(address, None), peer);
        outcome.unwrap_err();
        let count = client.contexts.counters().get(&format!("tls/failures/{reason}"));
        assert_eq!(count, 1, "{answer:?}: {:?}", client.contexts.counters().entries());
    }
}

#[tokio::test]
async fn tls_a_peer_that_never_answers_is_left_at_the_deadline_and_counted() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = Settings { connect_deadline: Duration::from_millis(50), ..Settings::default() };
    let client = Ours::with(&Folder::new().rules(Vec::new()), settings);
    let error = client.dial(listener.local_addr().unwrap(), None).await.unwrap_err();
    assert!(matches!(error, DialError::Deadline { .. }), "{error}");
    assert_eq!(client.contexts.counters().get("tls/failures/deadline"), 1);
}

#[test]
fn tls_the_first_end_of_a_revocation_list_is_known() {
    let (folder, root) = (Folder::new(), Authority::root("root"));
    let mut rules = folder.verifying(&root, BY_NAME);
    let ends =
        |rules: &tls_policy::TlsRules| load(rules).unwrap().contexts().unwrap().lists_expiry();
    assert_eq!(ends(&rules), None);
    let lists = [root.revocations(&[], 5 * DAY), root.revocations(&[], 3 * DAY)].concat();
    rules.revocation = Some(folder.write("lists.pem", lists));
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let left = (ends(&rules).unwrap().since_epoch() - now).as_secs() as i64;
    assert!((3 * DAY - 60..=3 * DAY).contains(&left), "{left}");
    // A file without a list is not taken for lists without entries.
    for text in ["", "-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n"] {
        folder.write("lists.pem", text);
        assert!(load(&rules).unwrap_err().to_string().contains("lists.pem"));
    }
}

#[test]
fn tls_roots_that_cannot_be_read_are_named() {
    let (folder, root) = (Folder::new(), Authority::root("root"));
    let reason = |anchors| {
        let mut rules = folder.verifying(&root, BY_ADDRESS);
        let Outbound::Verified(chain, _) = &mut rules.outbound else { panic!() };
        chain.anchors = anchors;
        let error = load(&rules).unwrap_err();
        std::error::Error::source(&error).unwrap().to_string()
    };
    assert!(reason(file(folder.path("missing.pem"))).contains("missing.pem"));
    assert!(reason(file(folder.write("text.pem", "no PEM"))).contains("text.pem"));
    std::fs::create_dir(folder.path("nobody")).unwrap();
    let dir = TrustAnchors::Files { file: None, dir: Some(folder.path("nobody")) };
    assert!(reason(dir).contains("nobody"));
}
