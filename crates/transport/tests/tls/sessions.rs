//! Sessions that are resumed, and those that must not be.

use std::time::{Duration, SystemTime};

use alcazar_transport::tls::Reloaded;
use openssl::asn1::Asn1Time;
use tls_policy::{NameCheck, TlsRules, Versions};

use crate::authority::{Authority, DAY, Issued, Wanted, names};
use crate::fixture::{Folder, Ours, Running, serve};

const RESUMED: &str = "tls/handshakes/resumed";
const TLS12: Versions = Versions { tls10: false, tls11: false, tls12: true, tls13: false };
const TLS13: Versions = Versions { tls10: false, tls11: false, tls12: false, tls13: true };

/// Seconds that a certificate lives which runs out during a test: enough for two exchanges on a
/// machine that is busy.
const SHORT: i64 = 6;

/// Both ends verify each other; the certificates are issued by intermediates, which a session does
/// not hold.
struct Pair {
    folder: Folder,
    root: Authority,
    issuer: Authority,
    rules: TlsRules,
    client_rules: TlsRules,
    client_certificate: Issued,
}

impl Pair {
    fn new(server: &Wanted<'_>, client: &Wanted<'_>) -> Self {
        let (folder, root) = (Folder::new(), Authority::root("root"));
        let issuer = root.intermediate("issuer");
        let own =
            issuer.issue(&Wanted { names: &["IP:127.0.0.1", "DNS:a.example"], ..server.clone() });
        let rules = folder.asking(&own, &root, NameCheck::ChainOnly);
        let client_certificate = issuer.issue(client);
        let mut client_rules = folder.verifying(&root, NameCheck::Dialled { ip: true });
        client_rules.materials.pairs = vec![folder.pair("client", &client_certificate)];
        Self { folder, root, issuer, rules, client_rules, client_certificate }
    }

    fn lists(&self, revoked: &[&Issued]) {
        let lists = [self.issuer.revocations(revoked, DAY), self.root.revocations(&[], DAY)];
        self.folder.write("lists.pem", lists.concat());
    }
}

async fn exchange(client: &Ours, server: &Running) {
    assert_eq!(client.exchange(server, None).await, "true Some(\"leaf\")");
}

/// Waits until a certificate has run out.
async fn expired(issued: &Issued) {
    let end = Asn1Time::from_unix(0).unwrap().diff(issued.certificate.not_after()).unwrap();
    let end = SystemTime::UNIX_EPOCH
        + Duration::from_secs((i64::from(end.days) * DAY + i64::from(end.secs)) as u64 + 1);
    // What is awaited is the time itself.
    tokio::time::sleep(end.duration_since(SystemTime::now()).unwrap_or_default()).await;
}

#[tokio::test]
async fn d6_tls_sessions_are_resumed_on_both_sides_and_prove_the_same() {
    for versions in [TLS12, TLS13] {
        let mut pair = Pair::new(&Wanted::default(), &Wanted::default());
        pair.rules.versions = versions;
        pair.rules.revocation = Some(pair.folder.path("lists.pem"));
        pair.client_rules.revocation = pair.rules.revocation.clone();
        pair.lists(&[]);
        let (server, client) = (serve(&pair.rules), Ours::new(&pair.client_rules));
        for earlier in 0..5 {
            exchange(&client, &server).await;
            assert_eq!(server.count(RESUMED), earlier, "{versions:?}");
            assert_eq!(client.contexts.counters().get(RESUMED), earlier);
        }
        let suites = server.contexts.counters().entries();
        let handshakes = suites.iter().filter(|(name, _)| name.starts_with("tls/suites/"));
        assert_eq!(handshakes.map(|(_, n)| n).sum::<u64>(), 5);
    }
}

#[tokio::test]
async fn tls_a_client_that_was_revoked_is_refused_although_it_has_a_ticket() {
    for versions in [TLS12, TLS13] {
        let mut pair = Pair::new(&Wanted::default(), &Wanted::default());
        pair.rules.versions = versions;
        pair.rules.revocation = Some(pair.folder.path("lists.pem"));
        pair.lists(&[]);
        let (server, client) = (serve(&pair.rules), Ours::new(&pair.client_rules));
        exchange(&client, &server).await;
        exchange(&client, &server).await;
        assert_eq!(server.count(RESUMED), 1);
        pair.lists(&[&pair.client_certificate]);
        assert_eq!(server.contexts.reload().unwrap(), Reloaded::Replaced);
        if let Ok(mut connection) = client.dial(server.address, None).await {
            let call = alcazar_transport::client::Call::get("/facts");
            connection.call(call).await.map(|reply| reply.status).unwrap_err();
        }
        server.until("tls/failures/revoked", 1).await;
        assert_eq!(server.count(RESUMED), 1);
    }
}

#[tokio::test]
async fn tls_a_client_whose_certificate_has_run_out_is_refused_although_it_has_a_ticket() {
    let with = async |versions| {
        let short = Wanted { until: SHORT, ..Wanted::default() };
        let mut pair = Pair::new(&Wanted::default(), &short);
        pair.rules.versions = versions;
        let (server, client) = (serve(&pair.rules), Ours::new(&pair.client_rules));
        exchange(&client, &server).await;
        exchange(&client, &server).await;
        assert_eq!(server.count(RESUMED), 1);
        expired(&pair.client_certificate).await;
        if let Ok(mut connection) = client.dial(server.address, None).await {
            let call = alcazar_transport::client::Call::get("/facts");
            connection.call(call).await.map(|reply| reply.status).unwrap_err();
        }
        server.until("tls/failures/expired", 1).await;
    };
    tokio::join!(with(TLS12), with(TLS13));
}

#[tokio::test]
async fn tls_a_server_whose_certificate_has_run_out_is_left_although_its_session_goes_on() {
    let with = async |versions| {
        let short = Wanted { until: SHORT, ..Wanted::default() };
        let mut pair = Pair::new(&short, &Wanted::default());
        pair.rules.versions = versions;
        let (server, client) = (serve(&pair.rules), Ours::new(&pair.client_rules));
        exchange(&client, &server).await;
        exchange(&client, &server).await;
        assert_eq!(server.count(RESUMED), 1);
        let presented = Issued {
            certificate: openssl::x509::X509::from_pem(
                &std::fs::read(pair.folder.path("server.pem")).unwrap(),
            )
            .unwrap(),
            ..pair.client_certificate.clone()
        };
        expired(&presented).await;
        client.dial(server.address, None).await.unwrap_err();
        assert_eq!(client.contexts.counters().get("tls/failures/expired"), 1);
    };
    tokio::join!(with(TLS12), with(TLS13));
}

#[tokio::test]
async fn tls_changed_keys_or_trust_drop_all_sessions_on_either_side() {
    let pair = Pair::new(&Wanted::default(), &Wanted::default());
    let (server, client) = (serve(&pair.rules), Ours::new(&pair.client_rules));
    exchange(&client, &server).await;
    exchange(&client, &server).await;
    assert_eq!(server.count(RESUMED), 1);
    // Nothing has changed: sessions go on.
    assert_eq!(server.contexts.reload().unwrap(), Reloaded::Unchanged);
    assert_eq!(client.contexts.reload().unwrap(), Reloaded::Unchanged);
    exchange(&client, &server).await;
    assert_eq!(server.count(RESUMED), 2);

    // A new certificate of the server: its keys for tickets are gone.
    pair.folder.pair("server", &pair.issuer.issue(&names(&["IP:127.0.0.1"])));
    assert_eq!(server.contexts.reload().unwrap(), Reloaded::Replaced);
    exchange(&client, &server).await;
    assert_eq!(server.count(RESUMED), 2);
    exchange(&client, &server).await;
    assert_eq!(server.count(RESUMED), 3);

    // Other authorities, among them the one before, and a new certificate of the client.
    let more = [pair.root.pem(), Authority::root("other").pem()].concat();
    pair.folder.write("ca.pem", more);
    assert_eq!(server.contexts.reload().unwrap(), Reloaded::Replaced);
    exchange(&client, &server).await;
    assert_eq!(server.count(RESUMED), 3);
    pair.folder.pair("client", &pair.issuer.issue(&Wanted::default()));
    assert_eq!(client.contexts.reload().unwrap(), Reloaded::Replaced);
    exchange(&client, &server).await;
    assert_eq!(server.count(RESUMED), 3);
}

#[tokio::test]
async fn tls_a_session_proves_only_what_was_asked_when_it_was_made() {
    let pair = Pair::new(&Wanted::default(), &Wanted::default());
    let (server, client) = (serve(&pair.rules), Ours::new(&pair.client_rules));
    for _ in 0..2 {
        client.exchange(&server, Some("a.example")).await;
    }
    assert_eq!(server.count(RESUMED), 1);
    client.dial(server.address, Some("b.example")).await.unwrap_err();
    assert_eq!(client.contexts.counters().get("tls/failures/name"), 1);
    client.exchange(&server, None).await;
    assert_eq!(server.count(RESUMED), 1);
}
