//! The book without sockets: its bounds, and its time.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

use tokio::time::advance;

use super::*;

fn upid(id: &str, port: u16) -> Upid {
    Upid::new(id, SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 1), port))
}

/// The facts of a plain connection from the client's address.
fn facts() -> Arc<PeerFacts> {
    let address = "10.0.0.1:40000".parse().unwrap();
    Arc::new(PeerFacts::plaintext(fresh_connection(), address))
}

fn established(client: Upid, channel: &Arc<PeerFacts>, key: Option<[u8; 32]>) -> Established {
    Established {
        ours: Upid::new("master", SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 9), 5050)),
        peer: Peer::Client(client),
        channel: Arc::clone(channel),
        principal: None,
        kinds: Kinds::ANY,
        mechanism: "X".to_owned(),
        key: key.map(SessionKey::new),
    }
}

fn tie(ties: &mut Ties, claimed: &Upid) -> Option<Tie> {
    match ties.prove(claimed, "master") {
        Finding::Tied(proof) => Some(proof.tie),
        Finding::Nothing | Finding::Untied(_) => None,
    }
}

fn ties(sessions: &Arc<Sessions>, facts: &Arc<PeerFacts>) -> Ties {
    Ties::new(Arc::clone(sessions), Arc::clone(facts), Certificates::NotAsked)
}

#[tokio::test(start_paused = true)]
async fn authn_the_rule_for_stock_peers_lasts_as_long_as_it_says() {
    const AFTER: Duration = Duration::from_secs(15 * 60);
    const INSTANT: Duration = Duration::from_millis(1);
    assert_eq!(SameAddress::DANGER, SameAddress::Danger { after: AFTER });
    let sessions = Arc::new(Sessions::new(SameAddress::DANGER));
    let (exchange, other) = (facts(), facts());
    let mut first = ties(&sessions, &exchange);
    let mut second = ties(&sessions, &other);
    let client = upid("slave(1)", 5051);
    sessions.establish(established(client.clone(), &exchange, None)).unwrap();
    assert_eq!(tie(&mut first, &client), Some(Tie::Exchange));
    // While the exchange's connection lives, however long that is.
    advance(AFTER * 100).await;
    assert_eq!(tie(&mut second, &client), Some(Tie::DangerSameAddress));
    assert!(matches!(sessions.prove(&client, &other), Finding::Tied(_)));
    drop(first);
    advance(AFTER - INSTANT).await;
    assert_eq!(tie(&mut second, &client), Some(Tie::DangerSameAddress));
    advance(INSTANT).await;
    assert_eq!(tie(&mut second, &client), None);
    assert!(matches!(sessions.prove(&client, &other), Finding::Untied(_)));
    // An exchange whose connection has ended before it was entered has no more time than that.
    sessions.establish(established(client.clone(), &exchange, None)).unwrap();
    assert_eq!(tie(&mut second, &client), Some(Tie::DangerSameAddress));
    advance(AFTER).await;
    assert_eq!(tie(&mut second, &client), None);
}

#[tokio::test]
async fn authn_another_address_and_another_privacy_are_not_the_same() {
    let sessions = Arc::new(Sessions::new(SameAddress::DANGER));
    let exchange = facts();
    let _first = ties(&sessions, &exchange);
    let client = upid("slave(1)", 5051);
    sessions.establish(established(client.clone(), &exchange, None)).unwrap();
    let mut elsewhere = PeerFacts::plaintext(fresh_connection(), exchange.address);
    elsewhere.address.set_ip("10.0.0.2".parse().unwrap());
    assert_eq!(tie(&mut ties(&sessions, &Arc::new(elsewhere)), &client), None);
    let mut private = PeerFacts::plaintext(fresh_connection(), exchange.address);
    private.encrypted = true;
    let private = Arc::new(private);
    assert_eq!(tie(&mut ties(&sessions, &private), &client), Some(Tie::DangerSameAddress));
    // What was agreed in private is not believed in public.
    let _private = ties(&sessions, &private);
    sessions.establish(established(client.clone(), &private, None)).unwrap();
    assert_eq!(tie(&mut ties(&sessions, &facts()), &client), None);
}

#[tokio::test]
async fn authn_the_book_is_bounded_per_address_and_in_all() {
    let caps = SessionCaps { per_address: 2, all: 3 };
    let sessions = Arc::new(Sessions::with_caps(SameAddress::Refused, caps));
    let (one, two) = (facts(), facts());
    let alive = ties(&sessions, &one);
    let enter = |id: &str, at: [u8; 4], channel: &Arc<PeerFacts>| {
        let client = Upid::new(id, SocketAddrV4::new(at.into(), 5051));
        sessions.establish(established(client, channel, Some([1; 32]))).map(drop)
    };
    let (here, there, third) = ([10, 0, 0, 1], [10, 0, 0, 2], [10, 0, 0, 3]);
    assert_eq!(enter("a", here, &one), Ok(()));
    assert_eq!(enter("b", here, &one), Ok(()));
    assert_eq!(enter("c", here, &one), Err(NotEstablished::TooMany));
    // A new exchange of one who has a place takes that place.
    assert_eq!(enter("a", here, &one), Ok(()));
    assert_eq!(enter("a", there, &one), Ok(()));
    assert_eq!(enter("b", there, &one), Err(NotEstablished::TooMany), "three in all");
    assert_eq!(sessions.count(), 3);
    // Those that are over make room, and those whose exchange's connection has ended.
    sessions.end(&Upid::new("a", SocketAddrV4::new(here.into(), 5051))).unwrap();
    assert_eq!(enter("c", here, &two), Ok(()));
    assert_eq!(enter("d", here, &one), Ok(()), "nothing is on the connection of c");
    assert_eq!(sessions.count(), 3);
    drop(alive);
    assert_eq!(enter("a", third, &two), Ok(()));
    assert_eq!(sessions.count(), 1);
    let book = sessions.book();
    assert!(book.is_tidy(), "{book:?}");
}

#[tokio::test]
async fn authn_what_a_connection_knows_is_bounded_by_what_lives() {
    let sessions = Arc::new(Sessions::default());
    let (exchange, other) = (facts(), facts());
    let _first = ties(&sessions, &exchange);
    let mut introductions = Introductions::new(Arc::clone(&sessions), Arc::clone(&other));
    let client = upid("slave(1)", 5051);
    for _ in 0..10_000 {
        sessions.establish(established(client.clone(), &exchange, Some([1; 32]))).unwrap();
        assert!(introductions.introduce("master", &client).is_some());
        assert!(introductions.introduce("slave-observer(1)", &client).is_none());
        assert!(introductions.introduce("master", &upid("other", 5051)).is_none());
    }
    assert!(introductions.known() < 1000, "{}", introductions.known());
}

/// Whoever holds any credential and shares the address could otherwise push somebody out.
#[tokio::test]
async fn attack_a4_nobody_takes_the_place_of_another_principal_whose_connection_is_open() {
    let sessions = Arc::new(Sessions::default());
    let (exchange, other) = (facts(), facts());
    let mut first = ties(&sessions, &exchange);
    let mut second = ties(&sessions, &other);
    let client = upid("slave(1)", 5051);
    let enter = |principal: &str, channel: &Arc<PeerFacts>| {
        let mut made = established(client.clone(), channel, Some([1; 32]));
        made.principal = Some(principal.to_owned());
        sessions.establish(made).map(drop)
    };
    assert_eq!(enter("agent", &exchange), Ok(()));
    assert_eq!(enter("thief", &other), Err(NotEstablished::Occupied));
    assert_eq!(tie(&mut first, &client), Some(Tie::Exchange));
    assert_eq!(tie(&mut second, &client), None);
    // The same principal may come again from elsewhere, and another on the same connection.
    assert_eq!(enter("agent", &other), Ok(()));
    assert_eq!(tie(&mut second, &client), Some(Tie::Exchange));
    assert_eq!(enter("renamed", &other), Ok(()));
    // When the connection has ended, or the session, the place is free.
    drop(second);
    assert_eq!(enter("agent", &exchange), Ok(()));
    assert_eq!(enter("thief", &facts()), Err(NotEstablished::Occupied));
    sessions.end(&client).unwrap();
    assert_eq!(enter("other", &facts()), Ok(()));
}
