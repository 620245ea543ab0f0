//! Attacks by clients that are not ours, over real sockets.

use std::sync::Arc;
use std::time::Duration;

use alcazar_transport::server::bind;
use alcazar_transport::sessions::{Peer, SameAddress};
use libprocess::channel::{Anchor, Direction};
use libprocess::sender::{PeerFacts, Tie};
use libprocess::upid::Upid;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_openssl::SslStream;

use crate::authority::Wanted;
use crate::fixture::{
    CRAM, Daemon, KEY, Pair, Posture, SCRAM, World, claim_for, established, exporter_of, raw, soon,
    tell, tie_key, tls_to, with_certificate,
};

/// Refused: a stranger's connection is closed after it.
const REFUSED: u16 = 403;

/// Tells a daemon something on a new connection, without a certificate.
async fn tell_anew(posture: Posture, daemon: &Daemon, message: &str) -> u16 {
    match posture {
        Posture::Plaintext => tell(&mut daemon.connect().await, message).await,
        Posture::Unverified | Posture::Identities => {
            tell(&mut daemon.connect_tls(|_| {}).await, message).await
        }
    }
}

const POSTURES: [Posture; 3] = [Posture::Plaintext, Posture::Unverified, Posture::Identities];

#[tokio::test]
async fn attack_a1_nobody_speaks_for_who_has_authenticated() {
    for posture in POSTURES {
        let Pair { mut master, mut agent, .. } = Pair::new(posture, SameAddress::Refused).await;
        let (leader, pid) = (master.actor("master"), agent.actor("slave(1)"));
        let observer = master.actor("slave-observer(1)");
        let garbage = format!("{}.1.{}", "0".repeat(32), "0".repeat(64));
        for claim in [None, Some("garbage"), Some(garbage.as_str())] {
            let update = raw(&pid, "master", "mesos.internal.StatusUpdateMessage", claim);
            assert_eq!(tell_anew(posture, &master, &update).await, REFUSED, "{posture:?}");
            for from in [&leader, &observer] {
                let run = raw(from, "slave(1)", "mesos.internal.RunTaskMessage", claim);
                assert_eq!(tell_anew(posture, &agent, &run).await, REFUSED, "{posture:?}");
            }
        }
        assert_eq!((master.unbound(), agent.unbound()), (3, 6), "{posture:?}");
        assert!(master.messages.try_recv().is_err() && agent.messages.try_recv().is_err());
    }
}

/// However a message is dressed, it passes the same door; and none is an HTTP request.
#[tokio::test]
async fn attack_a2_no_form_of_a_message_passes_another_door() {
    for posture in POSTURES {
        let Pair { mut master, agent, .. } = Pair::new(posture, SameAddress::Refused).await;
        let pid = agent.actor("slave(1)");
        let name = "mesos.internal.StatusUpdateMessage";
        let here = master.address;
        let forms = [
            format!("POST /master/{name} HTTP/1.1\r\nUser-Agent: libprocess/{pid}\r\n"),
            format!("POST http://{here}/master/{name} HTTP/1.1\r\nLibprocess-From: {pid}\r\n"),
            format!("POST /%6daster/{name} HTTP/1.1\r\nlibprocess-from: {pid}\r\n"),
            format!("POST /master/{name} HTTP/1.0\r\nLibprocess-From: {pid}\r\n"),
            format!(
                "POST /master/{name} HTTP/1.1\r\nLibprocess-From: x@127.0.0.1:1\r\n\
                 Libprocess-From: {pid}\r\n"
            ),
            format!(
                "POST /master/{name} HTTP/1.1\r\nUser-Agent: libprocess/x@127.0.0.1:1\r\n\
                 Libprocess-From: {pid}\r\nAuthorization: Basic YWdlbnQtcHJpbmNpcGFsOnM=\r\n"
            ),
        ];
        for form in &forms {
            let message = format!("{form}Content-Length: 2\r\n\r\nhi");
            assert_eq!(tell_anew(posture, &master, &message).await, REFUSED, "{form}");
        }
        assert_eq!(master.unbound(), forms.len() as u64);
        assert!(master.messages.try_recv().is_err() && master.requests.try_recv().is_err());
    }
}

/// Whoever asks for an exchange has an address of their own, and the session is about the actor
/// that it is about.
#[tokio::test]
async fn attack_a3_a_session_is_about_one_actor_and_is_not_lent() {
    let Pair { mut master, agent, accepted, .. } =
        Pair::new(Posture::Unverified, SameAddress::Refused).await;
    let victim = agent.actor("slave(1)");
    // Another client at the same address, with a session of its own.
    let thief = agent.actor("scheduler-2");
    let mut stream = master.connect_tls(|_| {}).await;
    let first = raw(&agent.actor("crammd5-authenticatee(2)"), "master", "m", None);
    assert_eq!(tell(&mut stream, first).await, 202);
    let channel = master.message().await.peer;
    assert_ne!(channel.connection, accepted.connection);
    let ours = master.actor("master");
    let peer = Peer::Client(thief.clone());
    let made = established(ours, peer, Arc::clone(&channel), SCRAM, Some([1; 32]));
    master.sessions.establish(made).unwrap();
    assert_eq!(tell(&mut stream, raw(&thief, "master", "own", None)).await, 202);
    assert_eq!(master.tie("own").await, Some(Tie::Exchange));
    assert_eq!(tell(&mut stream, raw(&victim, "master", "stolen", None)).await, REFUSED);
    // Nor does its key speak for the other: a header from another session.
    let key = tie_key(SCRAM, &thief, Some([1; 32]), &channel);
    let mut second = master.connect_tls(|_| {}).await;
    let claim = claim_for(&key, Direction::FromClient, 1, &second);
    let stolen = raw(&victim, "master", "stolen", Some(&claim));
    assert_eq!(tell(&mut second, stolen).await, REFUSED);
    // The session of the other is as it was.
    agent.send("slave(1)", &master.actor("master"), "after");
    assert_eq!(master.tie("after").await, Some(Tie::Exchange));
    // For its own actor the same claim would have done.
    let mut third = master.connect_tls(|_| {}).await;
    let claim = claim_for(&key, Direction::FromClient, 2, &third);
    assert_eq!(tell(&mut third, raw(&thief, "master", "own", Some(&claim))).await, 202);
    assert_eq!(master.tie("own").await, Some(Tie::Keyed));
}

#[tokio::test]
async fn attack_a4_whoever_takes_an_address_over_inherits_nothing() {
    for posture in POSTURES {
        let Pair { mut master, agent, .. } = Pair::new(posture, SameAddress::Refused).await;
        let pid = agent.actor("slave(1)");
        let leader = master.actor("master");
        agent.send("slave(1)", &leader, "proved");
        assert_eq!(master.tie("proved").await, Some(Tie::Exchange));
        let address = agent.address;
        agent.stop().await;
        // The port is somebody else's now.
        let taken = bind(address.into()).unwrap();
        let world = World::new();
        let thief = Daemon::on(
            taken,
            world.security(posture, "agent/a"),
            SameAddress::Refused,
            Some(address),
        );
        assert_eq!(thief.address, address);
        if posture == Posture::Identities {
            // Its certificate is of another authority: no connection at all.
            let status = tell_anew(posture, &master, &raw(&pid, "master", "m", None)).await;
            assert_eq!(status, REFUSED);
        } else {
            thief.send("slave(1)", &leader, "stolen");
            master.until_unbound(1).await;
        }
        assert!(master.messages.try_recv().is_err(), "{posture:?}");
    }
}

/// The same where the rule for stock peers is on: so long after the end of the exchange's
/// connection, and no longer. Here that is no time at all.
#[tokio::test]
async fn attack_a4_the_rule_for_stock_peers_ends_with_the_connection_and_its_time() {
    let danger = SameAddress::Danger { after: Duration::ZERO };
    let Pair { mut master, agent, .. } = Pair::of(Posture::Plaintext, danger, CRAM, None).await;
    let pid = agent.actor("slave(1)");
    let mut second = master.connect().await;
    assert_eq!(tell(&mut second, raw(&pid, "master", "stock", None)).await, 202);
    assert_eq!(master.tie("stock").await, Some(Tie::DangerSameAddress));
    drop(agent);
    // The end of the exchange's connection is noticed in its own time.
    let refused = async {
        loop {
            match tell(&mut second, raw(&pid, "master", "stock", None)).await {
                202 => assert_eq!(master.tie("stock").await, Some(Tie::DangerSameAddress)),
                status => return status,
            }
        }
    };
    assert_eq!(soon(refused).await, REFUSED);
    assert_eq!(tell(&mut master.connect().await, raw(&pid, "master", "m", None)).await, REFUSED);
}

/// Who has a mechanism with a key needs no rule for stock peers, and none applies to them.
#[tokio::test]
async fn attack_a4_the_rule_for_stock_peers_is_not_for_who_has_a_key() {
    let Pair { mut master, mut agent, .. } =
        Pair::new(Posture::Plaintext, SameAddress::DANGER).await;
    let (leader, pid) = (master.actor("master"), agent.actor("slave(1)"));
    let update = raw(&pid, "master", "m", None);
    assert_eq!(tell(&mut master.connect().await, update).await, REFUSED);
    let run = raw(&leader, "slave(1)", "m", None);
    assert_eq!(tell(&mut agent.connect().await, run).await, REFUSED);
    assert!(master.messages.try_recv().is_err() && agent.messages.try_recv().is_err());
}

#[tokio::test]
async fn attack_a_claim_is_of_use_once_and_on_its_own_connection() {
    // In TLS it is bound to the connection.
    let pair = Pair::new(Posture::Unverified, SameAddress::Refused).await;
    let key = pair.tie_key();
    let Pair { mut master, mut agent, dialled, .. } = pair;
    let pid = agent.actor("slave(1)");
    let mut one = master.connect_tls(|_| {}).await;
    let mut two = master.connect_tls(|_| {}).await;
    let claim = claim_for(&key, Direction::FromClient, 1, &one);
    let message = raw(&pid, "master", "m", Some(&claim));
    assert_eq!(tell(&mut two, &message).await, REFUSED);
    assert_eq!(tell(&mut one, &message).await, 202);
    assert_eq!(master.tie("m").await, Some(Tie::Keyed));
    // What the exchange's connection has in common with its other end is not enough either.
    let mut three = master.connect_tls(|_| {}).await;
    let anchor = Anchor::Exporter(dialled.channel_binding.unwrap());
    let claim = key.claim(Direction::FromClient, 2, anchor).to_string();
    assert_eq!(tell(&mut three, raw(&pid, "master", "m", Some(&claim))).await, REFUSED);
    // A claim of the wrong direction, as one gets it from the other end.
    let mut four = master.connect_tls(|_| {}).await;
    let claim = claim_for(&key, Direction::FromServer, 3, &four);
    assert_eq!(tell(&mut four, raw(&pid, "master", "m", Some(&claim))).await, REFUSED);
    // One for a plain connection, on an encrypted one.
    let mut five = master.connect_tls(|_| {}).await;
    let claim = key.claim(Direction::FromClient, 4, Anchor::Plaintext).to_string();
    assert_eq!(tell(&mut five, raw(&pid, "master", "m", Some(&claim))).await, REFUSED);
    // The same counter a second time, although for another connection.
    let mut six = master.connect_tls(|_| {}).await;
    let claim = claim_for(&key, Direction::FromClient, 1, &six);
    assert_eq!(tell(&mut six, raw(&pid, "master", "m", Some(&claim))).await, REFUSED);
    assert!(master.messages.try_recv().is_err() && agent.messages.try_recv().is_err());

    // In plaintext it was made once.
    let pair = Pair::new(Posture::Plaintext, SameAddress::Refused).await;
    let key = pair.tie_key();
    let Pair { mut master, agent, .. } = pair;
    let pid = agent.actor("slave(1)");
    let claim = key.claim(Direction::FromClient, 1, Anchor::Plaintext).to_string();
    let message = raw(&pid, "master", "m", Some(&claim));
    let (mut one, mut two) = (master.connect().await, master.connect().await);
    assert_eq!(tell(&mut one, &message).await, 202);
    assert_eq!(master.tie("m").await, Some(Tie::Keyed));
    assert_eq!(tell(&mut two, &message).await, REFUSED);
    // The connection that it tied stays tied, and hears it again without harm.
    assert_eq!(tell(&mut one, &message).await, 202);
    assert_eq!(master.tie("m").await, Some(Tie::Keyed));
}

#[tokio::test]
async fn attack_one_flipped_bit_of_a_claim_ties_nothing() {
    let pair = Pair::new(Posture::Plaintext, SameAddress::Refused).await;
    let key = pair.tie_key();
    let Pair { mut master, agent, .. } = pair;
    let pid = agent.actor("slave(1)");
    let claim = key.claim(Direction::FromClient, 12, Anchor::Plaintext).to_string();
    for at in 0..claim.len() {
        let mut flipped = claim.clone().into_bytes();
        flipped[at] ^= 1;
        let flipped = String::from_utf8(flipped).unwrap();
        let message = raw(&pid, "master", "m", Some(&flipped));
        let status = tell(&mut master.connect().await, message).await;
        assert_eq!(status, REFUSED, "{flipped}");
    }
    let message = raw(&pid, "master", "m", Some(&claim));
    assert_eq!(tell(&mut master.connect().await, message).await, 202);
    assert_eq!(master.tie("m").await, Some(Tie::Keyed));
}

/// Without what binds the keys of TLS 1.2 to the handshake there is no value that only the two
/// ends of a connection have, so that nothing can be claimed for it.
#[tokio::test]
async fn attack_a_connection_without_a_value_of_its_own_is_not_claimed() {
    let pair = Pair::new(Posture::Unverified, SameAddress::Refused).await;
    let key = pair.tie_key();
    let Pair { mut master, agent, .. } = pair;
    let pid = agent.actor("slave(1)");
    let mut stream = master
        .connect_tls(|builder| {
            builder.set_max_proto_version(Some(openssl::ssl::SslVersion::TLS1_2)).unwrap();
            builder.set_options(openssl::ssl::SslOptions::from_bits_retain(1));
        })
        .await;
    for (n, anchor) in
        [Anchor::Plaintext, Anchor::Exporter(exporter_of(&stream))].into_iter().enumerate()
    {
        let claim = key.claim(Direction::FromClient, 1 + n as u64, anchor).to_string();
        let message = raw(&pid, "master", "m", Some(&claim));
        assert_eq!(tell(&mut stream, message).await, REFUSED);
        stream = tls_to(master.address, |builder| {
            builder.set_max_proto_version(Some(openssl::ssl::SslVersion::TLS1_2)).unwrap();
            builder.set_options(openssl::ssl::SslOptions::from_bits_retain(1));
        })
        .await;
    }
    assert!(master.messages.try_recv().is_err());
}

/// Address, certificate and principal must agree, key or not.
#[tokio::test]
async fn attack_a_session_is_not_continued_with_another_certificate() {
    let world = World::new();
    let daemon = |name| Daemon::new(world.asking(name), SameAddress::DANGER);
    let (master, agent) = (daemon("master"), daemon("agent-a"));
    for (mechanism, secret, own) in
        [(SCRAM, Some(KEY), Tie::Keyed), (CRAM, None, Tie::DangerSameAddress)]
    {
        let (master, agent) = (daemon("master"), daemon("agent-a"));
        let mut pair = Pair::meet(master, agent, mechanism, secret).await;
        assert_eq!(pair.accepted.principal.as_deref(), Some("agent-a"));
        let pid = pair.agent.actor("slave(1)");
        let key = tie_key(mechanism, &pid, secret, &pair.accepted);
        let issue =
            |common_name| world.authority.issue(&Wanted { common_name, ..Wanted::default() });
        let mut counter = 0;
        for (presented, expected) in
            [(Some(issue("agent-b")), None), (None, None), (Some(issue("agent-a")), Some(own))]
        {
            let mut stream = match &presented {
                Some(issued) => pair.master.connect_tls(with_certificate(issued)).await,
                None => pair.master.connect_tls(|_| {}).await,
            };
            counter += 1;
            // Where the rule is to be shown there is no claim.
            let claim = claim_for(&key, Direction::FromClient, counter, &stream);
            let claim = secret.is_some().then_some(claim.as_str());
            let message = raw(&pid, "master", "m", claim);
            let status = tell(&mut stream, message).await;
            assert_eq!(status, if expected.is_some() { 202 } else { REFUSED });
            if expected.is_some() {
                assert_eq!(pair.master.tie("m").await, expected);
            }
        }
        // On the agent's side: the master's other connections show what it showed when dialled.
        let leader = pair.master.actor("master");
        pair.master.send("master", &pid, "m1");
        assert_eq!(pair.agent.tie("m1").await, Some(Tie::Keyed));
        for presented in [Some(issue("agent-b")), None] {
            let mut stream = match &presented {
                Some(issued) => pair.agent.connect_tls(with_certificate(issued)).await,
                None => pair.agent.connect_tls(|_| {}).await,
            };
            let message = raw(&leader, "slave(1)", "m", None);
            assert_eq!(tell(&mut stream, message).await, REFUSED);
        }
    }
    drop((master, agent));
}

/// Claims that cost nothing to make cost little to forget.
#[tokio::test]
async fn attack_claims_without_end_are_neither_kept_nor_heard() {
    let pair = Pair::new(Posture::Plaintext, SameAddress::Refused).await;
    let key = pair.tie_key();
    let Pair { mut master, agent, .. } = pair;
    let (pid, other): (Upid, Upid) = (agent.actor("slave(1)"), agent.actor("other"));
    let mut stream = master.connect().await;
    // A good claim, then many about sessions that nobody has, in the name of somebody who has
    // none: the good one has to make room.
    let claim = key.claim(Direction::FromClient, 1, Anchor::Plaintext).to_string();
    let mut all = raw(&other, "master", "m", Some(&claim));
    for n in 0..100 {
        let nobody = format!("{n:032x}.1.{}", "0".repeat(64));
        all += &raw(&other, "master", "m", Some(&nobody));
    }
    stream.write_all(all.as_bytes()).await.unwrap();
    for _ in 0..101 {
        assert_eq!(master.tie("m").await, None);
    }
    stream.write_all(raw(&pid, "master", "m", None).as_bytes()).await.unwrap();
    master.until_unbound(1).await;
    // It was not used up.
    let mut second = master.connect().await;
    assert_eq!(tell(&mut second, raw(&pid, "master", "m", Some(&claim))).await, 202);
    assert_eq!(master.tie("m").await, Some(Tie::Keyed));
    let mut rest = Vec::new();
    drop(agent);
    let _ = soon(stream.shutdown()).await;
    let _ = soon(stream.read_to_end(&mut rest)).await;
}

/// What was agreed in private is not believed in public, where one port serves both.
#[tokio::test]
async fn attack_a_session_made_in_tls_is_not_continued_in_plaintext() {
    for (mechanism, secret) in [(SCRAM, Some(KEY)), (CRAM, None)] {
        let world = World::new();
        let daemon = |name| Daemon::new(world.both(name), SameAddress::DANGER);
        let pair = Pair::meet(daemon("master"), daemon("agent"), mechanism, secret).await;
        assert!(pair.accepted.encrypted);
        let Pair { mut master, agent, accepted, .. } = pair;
        let pid = agent.actor("slave(1)");
        let key = tie_key(mechanism, &pid, secret, &accepted);
        let claim = key.claim(Direction::FromClient, 1, Anchor::Plaintext).to_string();
        for claim in [None, Some(claim.as_str())] {
            let message = raw(&pid, "master", "m", claim);
            assert_eq!(tell(&mut master.connect().await, message).await, REFUSED, "{mechanism}");
        }
        // Whoever has no session is served in plaintext here.
        let message = raw(&agent.actor("other"), "master", "other", None);
        assert_eq!(tell(&mut master.connect().await, message).await, 202);
        assert_eq!(master.tie("other").await, None);
    }
}

/// Heads that were sent ahead are worth what their sender is worth when the message is complete.
#[tokio::test]
async fn attack_a4_a_message_does_not_outlive_the_session_in_which_it_began() {
    let Pair { mut master, agent, .. } = Pair::new(Posture::Unverified, SameAddress::Refused).await;
    let thief = agent.actor("scheduler-2");
    let mut streams = Vec::new();
    for _ in 0..2 {
        let mut stream = master.connect_tls(|_| {}).await;
        let first = raw(&agent.actor("crammd5-authenticatee(2)"), "master", "m", None);
        assert_eq!(tell(&mut stream, first).await, 202);
        streams.push((stream, master.message().await.peer));
    }
    let (sessions, ours) = (Arc::clone(&master.sessions), master.actor("master"));
    let session = |channel: &Arc<PeerFacts>| {
        let peer = Peer::Client(thief.clone());
        let made = established(ours.clone(), peer, Arc::clone(channel), SCRAM, Some([1; 32]));
        sessions.establish(made).unwrap()
    };
    let (mut one, channel) = streams.remove(0);
    session(&channel);
    assert_eq!(tell(&mut one, raw(&thief, "master", "own", None)).await, 202);
    assert_eq!(master.tie("own").await, Some(Tie::Exchange));
    // All but the last byte, and the session ends.
    let late = raw(&thief, "master", "late", None);
    let part = &late[..late.len() - 1];
    begun(&mut one, part, &master).await;
    master.sessions.end(&thief).unwrap();
    assert_eq!(tell(&mut one, "i").await, 202);
    assert_eq!(master.tie("late").await, None);
    // Or it goes over to another connection.
    session(&channel);
    begun(&mut one, part, &master).await;
    session(&streams[0].1);
    assert_eq!(tell(&mut one, "i").await, REFUSED);
    assert!(master.messages.try_recv().is_err());
}

/// Sends a part of a message, and waits until the daemon has looked at it: it answers in order.
async fn begun(stream: &mut SslStream<TcpStream>, part: &str, daemon: &Daemon) {
    let ahead = format!("GET /ahead HTTP/1.1\r\n\r\n{part}");
    assert_eq!(tell(stream, ahead).await, 200);
    // What came with the request is looked at before the daemon waits for more.
    let before = daemon.counters.snapshot();
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(before.messages_received, daemon.counters.snapshot().messages_received);
}
