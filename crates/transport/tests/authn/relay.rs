//! Somebody in the middle, with a certificate of their own, between peers that verify nobody.

use std::net::{SocketAddr, SocketAddrV4};
use std::pin::Pin;

use alcazar_transport::sessions::{Peer, SameAddress};
use alcazar_transport::tls::Expected;
use libprocess::sender::Tie;
use openssl::ssl::{Ssl, SslAcceptor, SslContext, SslMethod};
use tokio::io::copy_bidirectional;
use tokio::net::TcpListener;
use tokio_openssl::SslStream;

use crate::authority::Wanted;
use crate::fixture::{
    CRAM, Daemon, KEY, Posture, SCRAM, World, established, exchange, soon, tls_to,
};

/// Ends the TLS of whoever connects, and passes what it reads on over TLS of its own.
struct Relay {
    address: SocketAddrV4,
}

impl Relay {
    /// A relay to whatever address it is told of.
    async fn new(world: &World, to: tokio::sync::watch::Receiver<Option<SocketAddrV4>>) -> Self {
        let issued = world.authority.issue(&Wanted::default());
        let mut builder = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server()).unwrap();
        builder.set_certificate(&issued.certificate).unwrap();
        builder.set_private_key(&issued.key).unwrap();
        let context: SslContext = builder.build().into_context();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let SocketAddr::V4(address) = listener.local_addr().unwrap() else { panic!("not IPv4") };
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let (context, mut to) = (context.clone(), to.clone());
                tokio::spawn(async move {
                    let mut victim = SslStream::new(Ssl::new(&context).unwrap(), socket).unwrap();
                    Pin::new(&mut victim).accept().await.unwrap();
                    let to = to.wait_for(Option::is_some).await.unwrap().unwrap();
                    let mut other = tls_to(to, |_| {}).await;
                    // How it ends is the peers' affair.
                    let _ = copy_bidirectional(&mut victim, &mut other).await;
                });
            }
        });
        Self { address }
    }
}

/// A master, an agent, and a relay before each of them, if it is wanted there.
struct Middle {
    master: Daemon,
    agent: Daemon,
}

impl Middle {
    /// They make an exchange whose messages pass as they are: with a mechanism that is not bound
    /// to a channel, nothing in it tells that there is somebody in between.
    async fn new(forward: bool, mechanism: &str, key: Option<[u8; 32]>) -> Self {
        let world = World::new();
        let secured = |path| world.security(Posture::Unverified, path);
        let (to_master, master_at) = tokio::sync::watch::channel(None);
        let (to_agent, agent_at) = tokio::sync::watch::channel(None);
        let before_master = Relay::new(&world, master_at).await.address;
        let before_agent = Relay::new(&world, agent_at).await.address;
        let refused = SameAddress::Refused;
        let advertised = forward.then_some(before_master);
        let mut master = Daemon::advertising(secured("master/m"), refused, advertised);
        let agent = Daemon::advertising(secured("agent/a"), refused, Some(before_agent));
        to_master.send_replace(Some(master.address));
        to_agent.send_replace(Some(agent.address));
        let leader = master.actor("master");
        let (dialled, accepted) = exchange(&mut master, &agent, &leader).await;
        assert_eq!(dialled.channel_binding == accepted.channel_binding, !forward);
        let client = agent.actor("slave(1)");
        let peer = Peer::Client(client.clone());
        let made = established(leader.clone(), peer, accepted, mechanism, key);
        master.sessions.establish(made).unwrap();
        let made = established(client, Peer::Server(leader), dialled, mechanism, key);
        agent.sessions.establish(made).unwrap();
        Self { master, agent }
    }
}

#[tokio::test]
async fn attack_a_man_in_the_middle_of_the_reverse_channel_is_not_the_master() {
    for (mechanism, key) in [(SCRAM, Some(KEY)), (CRAM, None)] {
        let Middle { mut master, mut agent } = Middle::new(false, mechanism, key).await;
        let pid = agent.actor("slave(1)");
        // What the master says reaches the agent through the relay, claim and all.
        for n in 1..3 {
            master.messenger.link(&pid, Expected::Member);
            master.send("master", &pid, "m1");
            agent.until_unbound(n).await;
            master.exited().await;
        }
        assert!(agent.messages.try_recv().is_err());
        // The channel of the exchange is not concerned.
        agent.send("slave(1)", &master.actor("master"), "first");
        assert_eq!(master.tie("first").await, Some(Tie::Exchange));
    }
}

#[tokio::test]
async fn attack_a_man_in_the_middle_of_both_channels_ties_nothing_by_key() {
    let Middle { mut master, mut agent } = Middle::new(true, SCRAM, Some(KEY)).await;
    let (leader, pid) = (master.actor("master"), agent.actor("slave(1)"));
    master.send("master", &pid, "m1");
    agent.until_unbound(1).await;
    // The agent's next connection passes the relay too.
    agent.messenger.relink(&leader, Expected::Member);
    soon(agent.messenger.channel(&leader, Expected::Member)).await.unwrap();
    agent.send("slave(1)", &leader, "again");
    master.until_unbound(1).await;
    assert!(agent.messages.try_recv().is_err() && master.messages.try_recv().is_err());
}
