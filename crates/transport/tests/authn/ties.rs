//! What our own components do: every connection of a session is tied to it.

use std::sync::Arc;

use alcazar_transport::messenger::ChannelError;
use alcazar_transport::sessions::{Peer, SameAddress};
use alcazar_transport::tls::Expected;
use libprocess::sender::Tie;
use libprocess::upid::Upid;
use model::identity::Kind;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use crate::fixture::{
    CRAM, Daemon, KEY, Pair, Posture, SCRAM, World, established, exchange, soon, tie_key,
};

const POSTURES: [Posture; 3] = [Posture::Plaintext, Posture::Unverified, Posture::Identities];

#[tokio::test]
async fn authn_every_connection_of_a_session_is_tied_to_it() {
    for posture in POSTURES {
        let Pair { mut master, mut agent, dialled, .. } =
            Pair::new(posture, SameAddress::Refused).await;
        let (leader, pid) = (master.actor("master"), agent.actor("slave(1)"));
        // The exchange's connection.
        agent.send("slave(1)", &leader, "first");
        assert_eq!(master.tie("first").await, Some(Tie::Exchange), "{posture:?}");
        // The reverse one, from its first message on, whichever actor of the master speaks.
        for (from, name) in [("master", "m1"), ("slave-observer(1)", "m2"), ("master", "m3")] {
            master.send(from, &pid, name);
            assert_eq!(agent.tie(name).await, Some(Tie::Keyed), "{posture:?} {name}");
        }
        // One that takes the place of the exchange's, and a second reverse one.
        agent.messenger.relink(&leader, Expected::Member);
        let now = soon(agent.messenger.channel(&leader, Expected::Member)).await.unwrap();
        assert_ne!(now.connection, dialled.connection);
        agent.send("slave(1)", &leader, "again");
        assert_eq!(master.tie("again").await, Some(Tie::Keyed), "{posture:?}");
        master.messenger.relink(&pid, Expected::Member);
        master.send("master", &pid, "m4");
        assert_eq!(agent.tie("m4").await, Some(Tie::Keyed), "{posture:?}");
        // Other actors of the agent have no session.
        agent.send("other", &leader, "other");
        assert_eq!(master.tie("other").await, None, "{posture:?}");
        let counts = [master.unbound(), agent.unbound()];
        assert_eq!(counts, [0, 0], "{posture:?}");
    }
}

#[tokio::test]
async fn authn_a_mechanism_without_key_is_tied_by_the_channel_of_its_exchange() {
    let refused = SameAddress::Refused;
    let Pair { mut master, mut agent, .. } =
        Pair::of(Posture::Unverified, refused, CRAM, None).await;
    let (leader, pid) = (master.actor("master"), agent.actor("slave(1)"));
    master.send("master", &pid, "m1");
    assert_eq!(agent.tie("m1").await, Some(Tie::Keyed));
    agent.messenger.relink(&leader, Expected::Member);
    agent.send("slave(1)", &leader, "again");
    assert_eq!(master.tie("again").await, Some(Tie::Keyed));
    // In plaintext there is nothing that only the two ends know.
    let Pair { mut master, agent, .. } = Pair::of(Posture::Plaintext, refused, CRAM, None).await;
    let pid = agent.actor("slave(1)");
    agent.send("slave(1)", &master.actor("master"), "first");
    assert_eq!(master.tie("first").await, Some(Tie::Exchange));
    master.send("master", &pid, "m1");
    agent.until_unbound(1).await;
}

/// A session may be used by one end before the other knows of it.
#[tokio::test]
async fn authn_a_claim_waits_for_the_session_that_it_is_about() {
    let world = World::new();
    let daemon =
        |path| Daemon::new(world.security(Posture::Unverified, path), SameAddress::Refused);
    let (mut master, agent) = (daemon("master/m"), daemon("agent/a"));
    let leader = master.actor("master");
    let (dialled, accepted) = exchange(&mut master, &agent, &leader).await;
    let mut pair = Pair { master, agent, dialled, accepted };
    pair.establish_master(SCRAM, Some(KEY));
    let pid = pair.agent.actor("slave(1)");
    pair.master.send("master", &pid, "early");
    assert_eq!(pair.agent.tie("early").await, None);
    pair.establish_agent(SCRAM, Some(KEY));
    pair.master.send("master", &pid, "late");
    assert_eq!(pair.agent.tie("late").await, Some(Tie::Keyed));
}

#[tokio::test]
async fn authn_a_new_exchange_ends_what_the_old_one_proved() {
    let mut pair = Pair::new(Posture::Unverified, SameAddress::Refused).await;
    let pid = pair.agent.actor("slave(1)");
    pair.master.send("master", &pid, "m1");
    let first = pair.agent.message().await;
    let first = Arc::clone(&first.from.session().unwrap().session);
    // The agent has a new session, of which the master's open connection knows nothing.
    pair.establish_agent(SCRAM, Some([8; 32]));
    pair.master.messenger.link(&pid, Expected::Member);
    pair.master.send("master", &pid, "old");
    pair.agent.until_unbound(1).await;
    // Who is refused is closed.
    pair.master.exited().await;
    pair.establish_master(SCRAM, Some([8; 32]));
    pair.master.send("master", &pid, "new");
    let second = pair.agent.message().await;
    assert_eq!(second.name, "new");
    let second = second.from.session().unwrap();
    assert_eq!(second.tie, Tie::Keyed);
    assert_ne!(second.session.id, first.id);
    // A session that ended ties nothing.
    let leader = pair.master.actor("master");
    assert!(pair.agent.sessions.end(&leader).is_some());
    assert!(pair.agent.sessions.end(&leader).is_none());
    assert!(pair.agent.sessions.with(&leader).is_none());
    pair.master.send("master", &pid, "after");
    assert_eq!(pair.agent.tie("after").await, None);
}

/// A master that has lost its connection to an agent has forgotten its authentication, and has to
/// tell it so.
#[tokio::test]
async fn authn_a_peer_hears_from_us_that_a_session_is_over_here() {
    let mut pair = Pair::new(Posture::Unverified, SameAddress::Refused).await;
    let (leader, pid) = (pair.master.actor("master"), pair.agent.actor("slave(1)"));
    pair.master.sessions.end(&pid).unwrap();
    pair.master.send("slave-observer(1)", &pid, "ping");
    assert_eq!(pair.agent.tie("ping").await, Some(Tie::Keyed));
    // The master believes nothing on its account.
    pair.agent.send("slave(1)", &leader, "update");
    assert_eq!(pair.master.tie("update").await, None);
}

/// Two drivers in one process have one address and one connection.
#[tokio::test]
async fn authn_two_clients_at_one_address_have_a_session_each() {
    for posture in POSTURES {
        let world = World::new();
        let daemon = |path| Daemon::new(world.security(posture, path), SameAddress::Refused);
        let (mut master, mut drivers) = (daemon("master/m"), daemon("framework/f"));
        let leader = master.actor("master");
        let (dialled, accepted) = exchange(&mut master, &drivers, &leader).await;
        let clients = ["scheduler-1", "scheduler-2"].map(|id| drivers.actor(id));
        for (n, client) in clients.iter().enumerate() {
            let key = Some([n as u8; 32]);
            let peer = Peer::Client(client.clone());
            let made = established(leader.clone(), peer, Arc::clone(&accepted), SCRAM, key);
            master.sessions.establish(made).unwrap();
            let peer = Peer::Server(leader.clone());
            let made = established(client.clone(), peer, Arc::clone(&dialled), SCRAM, key);
            drivers.sessions.establish(made).unwrap();
        }
        drivers.messenger.relink(&leader, Expected::Member);
        let mut proved = Vec::new();
        for round in ["a", "b"] {
            for client in &clients {
                drivers.send(&client.id, &leader, round);
                let message = master.message().await;
                let proof = message.from.session().unwrap();
                assert_eq!((proof.tie, message.from.upid()), (Tie::Keyed, client), "{posture:?}");
                proved.push(proof.session.id);
                master.send("master", client, round);
                assert_eq!(drivers.tie(round).await, Some(Tie::Keyed), "{posture:?}");
            }
        }
        assert!(proved[0] == proved[2] && proved[1] == proved[3] && proved[0] != proved[1]);
    }
}

/// A peer that knows nothing of claims sees one more header, and no other difference.
#[tokio::test]
async fn authn_a_claim_stands_in_the_first_message_and_in_no_other() {
    let master =
        Daemon::new(World::new().security(Posture::Plaintext, "master/m"), SameAddress::Refused);
    let stock = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = stock.local_addr().unwrap().to_string();
    let client: Upid = format!("slave(1)@{address}").parse().unwrap();
    let exchange = Arc::new(libprocess::sender::PeerFacts::plaintext(
        libprocess::sender::ConnectionId(u64::MAX),
        address.parse().unwrap(),
    ));
    let peer = Peer::Client(client.clone());
    let ours = master.actor("master");
    let made = established(ours, peer, Arc::clone(&exchange), SCRAM, Some(KEY));
    master.sessions.establish(made).unwrap();
    let key = tie_key(SCRAM, &client, Some(KEY), &exchange);
    for counter in 1..3 {
        // A connection of its own.
        master.messenger.relink(&client, Expected::Member);
        master.send("master", &client, "m1");
        master.send("master", &client, "m2");
        let other: Upid = format!("crammd5-authenticatee(1)@{address}").parse().unwrap();
        master.send("crammd5-authenticator-session(1)", &other, "m3");
        let (mut socket, _) = soon(stock.accept()).await.unwrap();
        let mut text = String::new();
        while text.matches("\r\n0\r\n\r\n").count() < 3 {
            let mut piece = vec![0; 4096];
            let read = soon(socket.read(&mut piece)).await.unwrap();
            assert_ne!(read, 0, "{text}");
            text.push_str(std::str::from_utf8(&piece[..read]).unwrap());
        }
        let claim = key.claim(
            libprocess::channel::Direction::FromServer,
            counter,
            libprocess::channel::Anchor::Plaintext,
        );
        let own = master.address;
        let lines = |to: &Upid, from: &str, name: &str, claim: &str| {
            format!(
                "POST /{}/{name} HTTP/1.1\r\n{claim}User-Agent: libprocess/{from}@{own}\r\n\
                 Libprocess-From: {from}@{own}\r\nConnection: Keep-Alive\r\nHost: {address}\r\n\
                 Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
                to.id
            )
        };
        let claim = format!("Alcazar-Channel: {claim}\r\n");
        let expected = [
            lines(&client, "master", "m1", &claim),
            lines(&client, "master", "m2", ""),
            lines(&other, "crammd5-authenticator-session(1)", "m3", ""),
        ];
        assert_eq!(text, expected.concat());
    }
}

#[tokio::test]
async fn authn_the_channel_of_an_exchange_says_who_is_there_or_why_nobody_is() {
    let world = World::new();
    let daemon =
        |path| Daemon::new(world.security(Posture::Identities, path), SameAddress::Refused);
    let (master, agent) = (daemon("master/m"), daemon("agent/a"));
    let leader = master.actor("master");
    let facts = soon(agent.messenger.channel(&leader, Expected::Kind(Kind::Master))).await.unwrap();
    assert_eq!(
        facts.identity.as_ref().map(ToString::to_string).unwrap(),
        "spiffe://test.local/master/m"
    );
    assert!(facts.channel_binding.is_some() && facts.channel_secret.is_some());
    let expected = Expected::Kind(Kind::Agent);
    let error = soon(agent.messenger.channel(&leader, expected.clone())).await.unwrap_err();
    let address = leader.address;
    assert_eq!(error, ChannelError::SomebodyElse { address, expected });
    // The same connection as long as it lives.
    let again = soon(agent.messenger.channel(&leader, Expected::Member)).await.unwrap();
    assert_eq!(again.connection, facts.connection);
    master.stop().await;
    let gone = async {
        // The end of the connection is noticed in its own time.
        loop {
            match agent.messenger.channel(&leader, Expected::Member).await {
                Err(error) => return error,
                Ok(facts) => assert_eq!(facts.connection, again.connection),
            }
            tokio::task::yield_now().await;
        }
    };
    let error = soon(gone).await;
    assert!(matches!(&error, ChannelError::NoConnection { .. }), "{error}");
}
