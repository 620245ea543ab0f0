//! Messages that wait together travel together.

use alcazar_transport::tls::Expected;
use libprocess::upid::Upid;

use crate::fixture::{PATIENCE, Pki, local, messenger, serve, soon};
use crate::tap::Tap;

#[tokio::test]
async fn messages_that_wait_together_share_tls_records_and_so_do_their_answers() {
    const COUNT: usize = 2000;
    let pki = Pki::new();
    let mut server = serve(pki.component("master/m"));
    let tap = Tap::on(server.address).await;
    let (messenger, _exits) = messenger(local("", 4000).address, pki.component("agent/a"));
    let to = Upid::new("master", tap.address);
    messenger.send("me", &to, Expected::Member, "first", b"").unwrap();
    assert!(soon(messenger.drain(PATIENCE)).await);
    let handshake = tap.records();
    for n in 0..COUNT {
        messenger.send("me", &to, Expected::Member, &format!("m{n}"), &[7; 300]).unwrap();
    }
    assert!(soon(messenger.drain(PATIENCE)).await);
    let records = tap.records();
    // About 30 messages fit into the largest record.
    let there = records.to_server - handshake.to_server;
    assert!(there <= COUNT / 20, "{there} records for {COUNT} messages");
    let back = records.from_server - handshake.from_server;
    assert!(back <= COUNT / 20, "{back} records for {COUNT} answers");
    assert_eq!(server.message().await.name, "first");
    for n in 0..COUNT {
        assert_eq!(server.message().await.name, format!("m{n}"));
    }
}
