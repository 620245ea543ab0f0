use super::*;

const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
const ELSEWHERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));

fn caps(connections: usize, per_address: usize, handshakes: usize) -> Caps {
    let handshakes_per_address = handshakes;
    Caps { connections, per_address, handshakes, handshakes_per_address, ..Caps::default() }
}

fn admitted(gate: &Arc<Gate>, address: IpAddr) -> (Ticket, u64) {
    match gate.admit(address) {
        Admission::Admitted { ticket, evicted } => (ticket, evicted),
        Admission::Full => panic!("full"),
    }
}

fn must_end(ticket: &Ticket) -> bool {
    use std::task::{Context, Poll, Waker};
    let notified = ticket.end();
    let mut notified = std::pin::pin!(notified.notified());
    let ready = notified.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    ready == Poll::Ready(())
}

/// A connection from `address` that wants to make its handshake, and what says that it may.
fn handshaking(gate: &Arc<Gate>, address: IpAddr) -> (Ticket, oneshot::Receiver<()>) {
    let (mut ticket, _) = admitted(gate, address);
    let (turn, _) = ticket.handshake().unwrap();
    (ticket, turn)
}

fn has_come(turn: &mut oneshot::Receiver<()>) -> bool {
    turn.try_recv().is_ok()
}

#[test]
fn at_the_cap_the_oldest_idle_unproven_connection_goes_first() {
    let gate = Gate::new(caps(3, 3, 3));
    let (mut proven, _) = admitted(&gate, HERE);
    proven.now(Doing::Worthy).unwrap();
    let (idle, _) = admitted(&gate, HERE);
    let (young, _) = admitted(&gate, THERE);
    let (_new, evicted) = admitted(&gate, THERE);
    assert_eq!(evicted, 1);
    assert!(must_end(&idle) && !must_end(&young) && !must_end(&proven));
}

#[test]
fn at_the_cap_the_address_that_has_most_loses_one_although_others_are_older() {
    let gate = Gate::new(caps(4, 4, 3));
    let (old, _) = admitted(&gate, THERE);
    let (first, _) = admitted(&gate, HERE);
    let (_second, _) = admitted(&gate, HERE);
    let (_third, _) = admitted(&gate, HERE);
    let (_new, evicted) = admitted(&gate, ELSEWHERE);
    assert_eq!(evicted, 1);
    assert!(must_end(&first) && !must_end(&old));
}

#[test]
fn who_was_heard_stays_longer_than_who_said_nothing() {
    let gate = Gate::new(caps(3, 3, 3));
    let (mut heard, _) = admitted(&gate, HERE);
    heard.now(Doing::Worthy).unwrap();
    heard.now(Doing::IdleHeard).unwrap();
    let (mut also_heard, _) = admitted(&gate, HERE);
    also_heard.now(Doing::IdleHeard).unwrap();
    let (silent, _) = admitted(&gate, THERE);
    let (mut new, _) = admitted(&gate, ELSEWHERE);
    assert!(must_end(&silent) && !must_end(&heard));
    // When nobody is silent, they are next.
    new.now(Doing::Worthy).unwrap();
    let (_new, evicted) = admitted(&gate, ELSEWHERE);
    assert_eq!(evicted, 1);
    assert!(must_end(&heard) && !must_end(&also_heard));
}

#[test]
fn one_address_cannot_take_the_places_of_others() {
    let gate = Gate::new(caps(10, 2, 3));
    let (elsewhere, _) = admitted(&gate, THERE);
    let (first, _) = admitted(&gate, HERE);
    let (_second, _) = admitted(&gate, HERE);
    let (_third, evicted) = admitted(&gate, HERE);
    assert_eq!(evicted, 1);
    assert!(must_end(&first) && !must_end(&elsewhere));
}

#[test]
fn the_addresses_of_one_ipv6_network_are_one_address() {
    let gate = Gate::new(caps(10, 2, 3));
    let at = |text: &str| text.parse::<IpAddr>().unwrap();
    let (first, _) = admitted(&gate, at("2001:db8:0:1::1"));
    let (_second, evicted) = admitted(&gate, at("2001:db8:0:1:ffff::2"));
    assert_eq!(evicted, 0);
    let (other_network, evicted) = admitted(&gate, at("2001:db8:0:2::1"));
    assert_eq!(evicted, 0);
    let (_third, evicted) = admitted(&gate, at("2001:db8:0:1::3"));
    assert_eq!(evicted, 1);
    assert!(must_end(&first) && !must_end(&other_network));
    // One that is written as IPv6 is what it is.
    assert_eq!(origin_of(at("::ffff:10.0.0.1")), THERE);
}

#[test]
fn connections_that_work_or_are_proven_are_never_evicted() {
    let gate = Gate::new(caps(2, 2, 3));
    let (mut first, _) = admitted(&gate, HERE);
    let (mut second, _) = admitted(&gate, HERE);
    first.now(Doing::Worthy).unwrap();
    second.now(Doing::Worthy).unwrap();
    assert!(matches!(gate.admit(HERE), Admission::Full));
    assert!(matches!(gate.admit(THERE), Admission::Full));
    drop(first);
    admitted(&gate, HERE);
}

#[test]
fn who_has_lost_its_place_does_not_begin() {
    let gate = Gate::new(caps(1, 1, 1));
    let (mut first, _) = admitted(&gate, HERE);
    let (_second, evicted) = admitted(&gate, THERE);
    assert_eq!(evicted, 1);
    assert_eq!(first.now(Doing::Worthy), Err(PlaceLost));
    assert!(first.handshake().is_err() && first.overdue().is_err());
}

#[test]
fn c14_tls_handshakes_beyond_the_cap_wait_and_lose_nobody_its_place() {
    let gate = Gate::new(caps(9, 9, 2));
    let (mut first, mut first_turn) = handshaking(&gate, HERE);
    let (_second, mut second_turn) = handshaking(&gate, HERE);
    let (third, mut third_turn) = handshaking(&gate, THERE);
    let (_fourth, mut fourth_turn) = handshaking(&gate, THERE);
    assert!(has_come(&mut first_turn) && has_come(&mut second_turn));
    assert!(!has_come(&mut third_turn) && !has_come(&mut fourth_turn));
    // Done: the next.
    first.now(Doing::IdleUnproven).unwrap();
    assert!(has_come(&mut third_turn) && !has_come(&mut fourth_turn));
    // Gone: the next.
    drop(third);
    assert!(has_come(&mut fourth_turn));
    assert!(!must_end(&first));
}

#[test]
fn c14_turns_for_tls_handshakes_go_round_the_addresses() {
    let gate = Gate::new(caps(99, 99, 1));
    let (mut now, _) = handshaking(&gate, ELSEWHERE);
    // A crowd, and after it somebody else.
    let mut crowd: Vec<_> = (0..10).map(|_| handshaking(&gate, HERE)).collect();
    let (mut lone, mut turn) = handshaking(&gate, THERE);
    now.now(Doing::Worthy).unwrap();
    assert!(has_come(&mut crowd[0].1), "who came first is first");
    assert!(!has_come(&mut turn));
    crowd[0].0.now(Doing::Worthy).unwrap();
    assert!(has_come(&mut turn), "not behind the other nine");
    lone.now(Doing::Worthy).unwrap();
    assert!(has_come(&mut crowd[1].1));
}

#[test]
fn c14_tls_handshakes_of_one_address_are_in_the_way_of_that_address_only() {
    let gate = Gate::new(Caps { handshakes_per_address: 1, ..caps(9, 9, 9) });
    let (_elsewhere, mut turn) = handshaking(&gate, THERE);
    assert!(has_come(&mut turn));
    let (first, mut turn) = handshaking(&gate, HERE);
    assert!(has_come(&mut turn));
    let (_second, mut turn) = handshaking(&gate, HERE);
    assert!(!has_come(&mut turn));
    let (_another, mut other) = handshaking(&gate, ELSEWHERE);
    assert!(has_come(&mut other), "those who wait for their own address are in nobody's way");
    drop(first);
    assert!(has_come(&mut turn));
}

#[test]
fn c14_a_tls_handshake_that_takes_long_goes_when_others_wait_and_stays_otherwise() {
    let gate = Gate::new(caps(9, 9, 2));
    let (mut slow, _) = handshaking(&gate, HERE);
    let (mut also_slow, _) = handshaking(&gate, THERE);
    assert_eq!(slow.overdue(), Ok(()), "nobody waits");
    // Who comes later takes its place at once.
    let (mut third, _) = admitted(&gate, THERE);
    let (mut turn, evicted) = third.handshake().unwrap();
    assert_eq!(evicted, 1);
    assert!(has_come(&mut turn) && must_end(&slow));
    // One that is not overdue yet is waited for, and goes when it is.
    let (fourth, mut turn) = handshaking(&gate, HERE);
    assert!(!has_come(&mut turn) && !must_end(&also_slow));
    assert_eq!(also_slow.overdue(), Err(PlaceLost));
    assert!(has_come(&mut turn));
    drop(fourth);
}

#[test]
fn c14_of_slow_tls_handshakes_one_of_the_address_that_has_most_goes() {
    let gate = Gate::new(caps(9, 9, 3));
    let (mut lone, _) = handshaking(&gate, THERE);
    let (mut first, _) = handshaking(&gate, HERE);
    let (mut second, _) = handshaking(&gate, HERE);
    for slow in [&mut lone, &mut first, &mut second] {
        slow.overdue().unwrap();
    }
    let (_new, mut turn) = handshaking(&gate, ELSEWHERE);
    assert!(has_come(&mut turn));
    assert!(must_end(&first) && !must_end(&lone) && !must_end(&second));
}

#[test]
fn tickets_given_back_leave_nothing_behind() {
    let gate = Gate::new(Caps { handshakes_per_address: 2, ..Caps::default() });
    let mut tickets: Vec<_> = (0..10).map(|_| admitted(&gate, HERE).0).collect();
    let turns: Vec<_> = (0..8).map(|_| handshaking(&gate, HERE)).collect();
    tickets[0].now(Doing::Worthy).unwrap();
    tickets[1].now(Doing::IdleHeard).unwrap();
    drop(turns);
    drop(tickets);
    let book = gate.book();
    assert!(book.entries.is_empty() && book.origins.is_empty());
    assert!(book.crowds.iter().all(BTreeSet::is_empty));
    assert_eq!((book.handshakes, book.overdue.len()), (0, 0));
    assert!(book.turns.is_empty());
}

#[test]
fn c14_who_leaves_while_it_waits_for_a_tls_handshake_waits_no_more() {
    let gate = Gate::new(caps(9, 9, 1));
    let (mut slow, mut turn) = handshaking(&gate, HERE);
    assert!(has_come(&mut turn));
    let (waiter, mut turn) = handshaking(&gate, THERE);
    assert!(!has_come(&mut turn));
    drop(waiter);
    assert_eq!(slow.overdue(), Ok(()), "nobody waits any more");
    assert!(gate.book().turns.is_empty());
}

#[test]
fn c14_who_leaves_and_comes_back_has_one_turn_for_its_tls_handshake() {
    let gate = Gate::new(caps(99, 99, 1));
    let (mut now, _) = handshaking(&gate, HERE);
    // Whether it leaves for good, or another connection of it stays.
    let (_stays, _) = admitted(&gate, ELSEWHERE);
    drop(handshaking(&gate, THERE));
    drop(handshaking(&gate, ELSEWHERE));
    let mut there: Vec<_> = (0..2).map(|_| handshaking(&gate, THERE)).collect();
    let mut elsewhere: Vec<_> = (0..2).map(|_| handshaking(&gate, ELSEWHERE)).collect();
    assert_eq!(gate.book().turns.values().copied().collect::<Vec<_>>(), [THERE, ELSEWHERE]);
    now.now(Doing::Worthy).unwrap();
    for n in 0..2 {
        for crowd in [&mut there, &mut elsewhere] {
            assert!(has_come(&mut crowd[n].1));
            crowd[n].0.now(Doing::Worthy).unwrap();
        }
    }
}
