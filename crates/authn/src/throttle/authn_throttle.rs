use proptest::prelude::*;

use super::*;

const ATTACKER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 66));
const OWNER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

fn at(seconds: u64) -> Instant {
    Instant::new(Duration::from_secs(seconds))
}

fn address(n: u32) -> IpAddr {
    IpAddr::V4(std::net::Ipv4Addr::from(0x0a00_0000 + n))
}

fn throttle() -> Throttle {
    Throttle::new(ThrottleSettings::default())
}

/// Tries as soon as it may, until `end`; says how often it was answered.
fn guess(throttle: &mut Throttle, principal: &str, from: IpAddr, start: u64, end: u64) -> usize {
    let (mut now, mut answered) = (at(start), 0);
    while now < at(end) {
        match throttle.judge(Some(principal), from, Tried::Failed, now) {
            Judgement::Answer => answered += 1,
            Judgement::Withhold(wait) => now = now + wait,
        }
    }
    answered
}

#[test]
fn failures_make_wait_longer_and_longer_and_successes_never_do() {
    let mut throttle = throttle();
    for n in 0..10_000 {
        let judgement = throttle.judge(Some("ops"), OWNER, Tried::Proved, at(n / 1000));
        assert_eq!(judgement, Judgement::Answer);
    }
    let (mut now, mut waits) = (at(100), Vec::new());
    while waits.len() < 12 {
        match throttle.judge(Some("ops"), ATTACKER, Tried::Failed, now) {
            Judgement::Answer => waits.push(0),
            Judgement::Withhold(wait) => {
                now = now + wait;
                waits.push(wait.as_secs());
            }
        }
    }
    assert_eq!(waits, [0, 0, 0, 0, 0, 0, 1, 0, 2, 0, 4, 0]);
    assert_eq!(throttle.totals().1, 3);
}

#[test]
fn attack_a9_a_day_of_guessing_at_one_principal_from_one_address_is_some_hundred_guesses() {
    let guesses = guess(&mut throttle(), "ops", ATTACKER, 0, 86_400);
    assert!((20..=200).contains(&guesses), "{guesses}");
}

#[test]
fn attack_a9_who_waits_does_not_learn_whether_the_guess_was_right() {
    let mut throttle = throttle();
    for _ in 0..6 {
        assert_eq!(throttle.judge(Some("ops"), ATTACKER, Tried::Failed, at(0)), Judgement::Answer);
    }
    let wrong = throttle.clone().judge(Some("ops"), ATTACKER, Tried::Failed, at(0));
    let right = throttle.judge(Some("ops"), ATTACKER, Tried::Proved, at(0));
    assert_eq!(right, Judgement::Withhold(Duration::from_secs(1)));
    assert_eq!(right, wrong);
    // Nor has the right one changed anything.
    let again = throttle.judge(Some("ops"), ATTACKER, Tried::Failed, at(0));
    assert_eq!(again, wrong);
}

#[test]
fn attack_a9_the_owner_gets_in_from_elsewhere_while_somebody_guesses_from_one_address() {
    let mut throttle = throttle();
    for hour in 0..48 {
        guess(&mut throttle, "ops", ATTACKER, hour * 3600, (hour + 1) * 3600);
        // From where it never was, too, and after its own typing errors.
        let new = address(u32::try_from(hour).unwrap());
        for tried in [Tried::Failed, Tried::Failed, Tried::Proved] {
            let judgement = throttle.judge(Some("ops"), new, tried, at((hour + 1) * 3600));
            assert_eq!(judgement, Judgement::Answer, "hour {hour}");
        }
    }
}

#[test]
fn attack_a9_the_owner_gets_in_while_many_addresses_guess() {
    let mut throttle = throttle();
    let known = throttle.judge(Some("ops"), OWNER, Tried::Proved, at(0));
    assert_eq!(known, Judgement::Answer);
    let mut answered = 0;
    for second in 0..600 {
        for n in 0..100 {
            let judged = throttle.judge(Some("ops"), address(n), Tried::Failed, at(second));
            answered += usize::from(judged == Judgement::Answer);
        }
    }
    // Each its first, then one in a while for all of them.
    assert!(answered < 200, "{answered}");
    for new in [OWNER, address(1000)] {
        let judgement = throttle.judge(Some("ops"), new, Tried::Proved, at(600));
        assert_eq!(judgement, Judgement::Answer, "{new}");
    }
    // With ever more addresses only those get in that were in before.
    for n in 2000..4000 {
        let _ = throttle.judge(Some("ops"), address(n), Tried::Failed, at(600));
    }
    let new = throttle.judge(Some("ops"), address(1001), Tried::Proved, at(600));
    assert!(matches!(new, Judgement::Withhold(wait) if wait <= Duration::from_mins(1)), "{new:?}");
    let known = throttle.judge(Some("ops"), OWNER, Tried::Proved, at(600));
    assert_eq!(known, Judgement::Answer);
}

#[test]
fn attack_a9_guessing_at_many_principals_stops_the_address_but_not_its_good_neighbours() {
    let mut throttle = throttle();
    assert_eq!(throttle.judge(Some("agent"), ATTACKER, Tried::Proved, at(0)), Judgement::Answer);
    let mut answered = 0;
    for n in 0..1000 {
        let name = format!("name-{n}");
        let judged = throttle.judge(Some(&name), ATTACKER, Tried::Failed, at(1));
        answered += usize::from(judged == Judgement::Answer);
    }
    assert_eq!(answered, 21);
    let neighbour = throttle.judge(Some("agent"), ATTACKER, Tried::Proved, at(1));
    assert_eq!(neighbour, Judgement::Answer);
    let elsewhere = throttle.judge(Some("name-1"), OWNER, Tried::Proved, at(1));
    assert_eq!(elsewhere, Judgement::Answer);
}

#[test]
fn attack_a9_a_success_of_ones_own_does_not_clear_guesses_at_others() {
    let mut throttle = throttle();
    let mut answered = 0;
    for n in 0..1000 {
        let _ = throttle.judge(Some("mine"), ATTACKER, Tried::Proved, at(1));
        let judged = throttle.judge(Some(&format!("name-{n}")), ATTACKER, Tried::Failed, at(1));
        answered += usize::from(judged == Judgement::Answer);
    }
    assert_eq!(answered, 21);
}

#[test]
fn authn_an_address_whose_failures_name_nobody_waits_before_it_is_computed_for() {
    let mut throttle = throttle();
    for _ in 0..21 {
        assert_eq!(throttle.may_try(ATTACKER, at(0)), Judgement::Answer);
        assert_eq!(throttle.judge(None, ATTACKER, Tried::Failed, at(0)), Judgement::Answer);
    }
    assert!(matches!(throttle.may_try(ATTACKER, at(0)), Judgement::Withhold(_)));
    assert_eq!(throttle.may_try(OWNER, at(0)), Judgement::Answer);
    // It fades.
    assert_eq!(throttle.may_try(ATTACKER, at(3600)), Judgement::Answer);
}

#[test]
fn authn_a_storm_of_retries_behind_one_address_keeps_nobody_out() {
    let mut throttle = throttle();
    // A new master, whose books are empty, and whose answers come too late for a while.
    for round in 0..6 {
        for n in 0..1000 {
            let (client, now) = (format!("slave(1)@192.0.2.1:{n}"), at(round * 5));
            assert_eq!(throttle.may_begin(&client, OWNER, now), Judgement::Answer);
            let judged = throttle.judge(Some(&client), OWNER, Tried::Nothing, now);
            assert_eq!(judged, Judgement::Answer, "{client} in round {round}");
        }
    }
    for n in 0..1000 {
        assert_eq!(throttle.may_try(OWNER, at(30)), Judgement::Answer);
        let judged = throttle.judge(Some(&format!("agent-{n}")), OWNER, Tried::Proved, at(30));
        assert_eq!(judged, Judgement::Answer);
    }
    assert_eq!(throttle.totals(), (0, 0));
}

#[test]
fn attack_a9_a_neighbour_who_guesses_locks_the_owner_out_for_seconds_only() {
    for minutes in [1, 60, 24 * 60] {
        let mut throttle = throttle();
        let owner = throttle.judge(Some("agent"), OWNER, Tried::Proved, at(0));
        assert_eq!(owner, Judgement::Answer);
        let end = minutes * 60;
        let answered = guess(&mut throttle, "agent", OWNER, 0, end);
        let most = usize::try_from(10 + end / 10).unwrap();
        assert!(answered <= most, "{answered} in {minutes} min");
        // As soon as the neighbour pauses.
        let owner = throttle.judge(Some("agent"), OWNER, Tried::Proved, at(end + 10));
        assert_eq!(owner, Judgement::Answer, "after {minutes} min");
        // And from elsewhere at any time, also where it never was.
        let elsewhere = throttle.judge(Some("agent"), address(1), Tried::Proved, at(end));
        assert_eq!(elsewhere, Judgement::Answer, "after {minutes} min");
    }
}

#[test]
fn authn_a_client_that_begins_without_end_waits_and_its_good_neighbors_do_not() {
    let mut throttle = throttle();
    assert_eq!(throttle.judge(Some("agent"), ATTACKER, Tried::Proved, at(0)), Judgement::Answer);
    let (looping, other) = ("scheduler-1@192.0.2.66:7000", "slave(1)@192.0.2.66:5051");
    let mut begun = 0;
    for n in 0..1000 {
        if throttle.may_begin(looping, ATTACKER, at(n / 10)) == Judgement::Answer {
            begun += 1;
            let _ = throttle.judge(Some(looping), ATTACKER, Tried::Nothing, at(n / 10));
        }
    }
    assert!((11..25).contains(&begun), "{begun}");
    assert!(matches!(throttle.may_begin(looping, ATTACKER, at(99)), Judgement::Withhold(_)));
    assert_eq!(throttle.may_begin(other, ATTACKER, at(99)), Judgement::Answer);
    // What it says, it says to nobody; and it is never for long.
    let judged = throttle.judge(Some(looping), ATTACKER, Tried::Nothing, at(99));
    assert!(matches!(judged, Judgement::Withhold(wait) if wait <= Duration::from_secs(30)));
    assert_eq!(throttle.may_begin(looping, ATTACKER, at(130)), Judgement::Answer);
    assert_eq!(throttle.may_begin(looping, OWNER, at(100)), Judgement::Answer);
}

#[test]
fn authn_an_ipv6_subscriber_has_one_address() {
    let mut throttle = throttle();
    let mut answered = 0;
    for n in 0..100 {
        let from: IpAddr = format!("2001:db8:0:1::{n:x}").parse().unwrap();
        let judged = throttle.judge(Some("ops"), from, Tried::Failed, at(0));
        answered += usize::from(judged == Judgement::Answer);
    }
    assert_eq!(answered, 6);
    let mapped: IpAddr = "::ffff:192.0.2.1".parse().unwrap();
    assert_eq!(subscriber(mapped), subscriber(OWNER));
}

#[test]
fn attack_a9_books_are_bounded_and_keep_those_who_fail_most() {
    let settings = ThrottleSettings { most_entries: 64, ..ThrottleSettings::default() };
    let mut throttle = Throttle::new(settings);
    assert_eq!(throttle.judge(Some("ops"), OWNER, Tried::Proved, at(0)), Judgement::Answer);
    guess(&mut throttle, "ops", ATTACKER, 0, 100);
    for n in 0..10_000 {
        let _ = throttle.judge(Some(&format!("n{n}")), address(n), Tried::Failed, at(100));
        let _ = throttle.judge(Some(&format!("n{n}")), address(n), Tried::Nothing, at(100));
        let lengths = [
            throttle.pairs.len(),
            throttle.addresses.len(),
            throttle.principals.len(),
            throttle.clients.len(),
        ];
        assert!(lengths.into_iter().all(|length| length <= 64), "{lengths:?}");
    }
    let judged = throttle.judge(Some("ops"), ATTACKER, Tried::Failed, at(100));
    assert!(matches!(judged, Judgement::Withhold(_)));
    assert!(throttle.pairs[&(digest("ops"), subscriber(OWNER))].good);
}

proptest! {
    /// Whatever happens, whether a principal exists is not something that the books know, so it is
    /// enough that names do not matter: the same story under other names is judged alike.
    #[test]
    fn attack_a9_judgements_do_not_depend_on_names(
        story in prop::collection::vec((0_u8..4, 0_u32..4, 0_u8..3, 0_u64..30), 1..200),
    ) {
        let (mut one, mut other) = (throttle(), throttle());
        let mut now = 0;
        for (who, from, tried, later) in story {
            now += later;
            let tried = [Tried::Proved, Tried::Failed, Tried::Nothing][usize::from(tried)];
            let first = one.judge(Some(&format!("a{who}")), address(from), tried, at(now));
            let second = other.judge(Some(&format!("b{who}")), address(from), tried, at(now));
            prop_assert_eq!(first, second);
        }
    }

    /// No order of events makes anybody wait longer than the settings say.
    #[test]
    fn attack_a9_no_wait_is_longer_than_the_longest(
        story in prop::collection::vec((0_u8..3, 0_u32..3, 0_u64..5), 1..300),
    ) {
        let mut throttle = throttle();
        let mut now = 0;
        for (who, from, later) in story {
            now += later;
            let judged =
                throttle.judge(Some(&format!("a{who}")), address(from), Tried::Failed, at(now));
            if let Judgement::Withhold(wait) = judged {
                prop_assert!(wait <= Duration::from_mins(15));
            }
        }
    }
}
