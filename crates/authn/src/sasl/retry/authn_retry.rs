use proptest::prelude::*;

use super::*;
use crate::proved::Method;
use crate::sasl::ServerProof;
use crate::sasl::attempt::AttemptError;

fn failed() -> Ended {
    Ended::Failed(AttemptError::Master("no".into()))
}

fn authenticated() -> Ended {
    let proof = ServerProof { mutual: false, key: None };
    Ended::Authenticated { method: Method::new("CRAM-MD5"), proof }
}

fn framework() -> RetrySettings {
    RetrySettings { first_wait: Duration::ZERO, ..RetrySettings::default() }
}

fn begun(effects: &[Effect]) -> (Number, Duration) {
    match effects {
        [.., Effect::Begin { number, time }] => (*number, *time),
        other => panic!("{other:?}"),
    }
}

#[test]
fn attempts_that_nobody_answers_get_more_time_and_follow_at_once() {
    for (random, expected) in [(u64::MAX, [7, 9, 13, 21, 37, 60, 60, 60]), (0, [5; 8])] {
        let mut retries = Retries::new(framework());
        let (mut number, mut time) = begun(&retries.handle(Event::MasterDetected, random));
        let mut times = vec![time];
        while times.len() < expected.len() {
            let effects = retries.handle(Event::TimeUp(number), random);
            assert_eq!(effects[0], Effect::Discard(number));
            assert_eq!(effects.len(), 2);
            (number, time) = begun(&effects);
            times.push(time);
        }
        let rounded: Vec<f64> = times.iter().map(|time| time.as_secs_f64().round()).collect();
        assert_eq!(rounded, expected.map(f64::from));
    }
}

#[test]
fn attack_a_master_that_answers_with_errors_meets_pauses_that_double() {
    for (random, expected) in [
        (u64::MAX, [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]),
        (0, [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0]),
    ] {
        let mut retries = Retries::new(framework());
        let (mut number, _) = begun(&retries.handle(Event::MasterDetected, random));
        let mut pauses = Vec::new();
        for _ in expected {
            let effects = retries.handle(Event::Ended(number, failed()), random);
            let [Effect::Wait(wait, pause)] = effects[..] else { panic!("{effects:?}") };
            pauses.push((pause.as_secs_f64() * 1000.0).round() / 1000.0);
            (number, _) = begun(&retries.handle(Event::WaitOver(wait), random));
        }
        assert_eq!(pauses, expected);
    }
}

#[test]
fn attack_even_without_backoff_factor_there_is_a_pause_after_an_error() {
    let settings = RetrySettings { backoff_factor: Duration::ZERO, ..framework() };
    let mut retries = Retries::new(settings);
    let (number, _) = begun(&retries.handle(Event::MasterDetected, 0));
    let effects = retries.handle(Event::Ended(number, failed()), 0);
    assert_eq!(effects, [Effect::Wait(Number(2), Duration::from_millis(50))]);
}

#[test]
fn a_refusal_is_the_end_of_trying() {
    let mut retries = Retries::new(framework());
    let (number, _) = begun(&retries.handle(Event::MasterDetected, 0));
    assert_eq!(retries.handle(Event::Ended(number, Ended::Refused), 0), [Effect::Refused]);
    assert_eq!(retries.handle(Event::MasterDetected, 0), []);
    assert_eq!(retries.handle(Event::TimeUp(number), 0), []);
}

#[test]
fn success_ends_trying_until_a_master_is_detected_again() {
    let mut retries = Retries::new(framework());
    let (number, _) = begun(&retries.handle(Event::MasterDetected, 0));
    let effects = retries.handle(Event::Ended(number, authenticated()), 0);
    assert_eq!(effects, [Effect::Authenticated(number, authenticated())]);
    assert_eq!(retries.handle(Event::TimeUp(number), 0), []);
    let (next, _) = begun(&retries.handle(Event::MasterDetected, 0));
    assert!(next > number);
}

#[test]
fn another_master_discards_the_attempt_and_begins_anew() {
    let mut retries = Retries::new(framework());
    let (first, _) = begun(&retries.handle(Event::MasterDetected, u64::MAX));
    let (second, _) = begun(&retries.handle(Event::TimeUp(first), u64::MAX));
    let effects = retries.handle(Event::MasterDetected, u64::MAX);
    assert_eq!(effects[0], Effect::Discard(second));
    // And with the time of a first attempt.
    let (third, time) = begun(&effects);
    assert_eq!(time.as_secs_f64().round(), 7.0);
    // What came of the attempt that was discarded is nobody's business.
    assert_eq!(retries.handle(Event::Ended(second, authenticated()), 0), []);
    assert_eq!(retries.handle(Event::Ended(second, Ended::Refused), 0), []);
    assert_eq!(retries.handle(Event::MasterLost, 0), [Effect::Discard(third)]);
    assert_eq!(retries.handle(Event::Ended(third, failed()), 0), []);
}

#[test]
fn an_agent_waits_before_its_first_attempt_with_a_master() {
    let mut retries = Retries::new(RetrySettings::default());
    let effects = retries.handle(Event::MasterDetected, u64::MAX / 2);
    let [Effect::Wait(wait, time)] = effects[..] else { panic!("{effects:?}") };
    assert_eq!((time.as_secs_f64() * 10.0).round(), 5.0);
    // A master that is lost meanwhile is not tried.
    assert_eq!(retries.clone().handle(Event::MasterLost, 0), []);
    let mut lost = retries.clone();
    let _ = lost.handle(Event::MasterLost, 0);
    assert_eq!(lost.handle(Event::WaitOver(wait), 0), []);
    let _ = begun(&retries.handle(Event::WaitOver(wait), 0));
}

#[test]
fn settings_that_contradict_each_other_still_give_an_attempt_its_time() {
    let settings = RetrySettings {
        timeout_min: Duration::from_secs(30),
        timeout_max: Duration::from_secs(10),
        backoff_factor: Duration::MAX,
        first_wait: Duration::ZERO,
    };
    let mut retries = Retries::new(settings);
    let (number, time) = begun(&retries.handle(Event::MasterDetected, u64::MAX));
    assert_eq!(time, Duration::from_secs(10));
    let _ = begun(&retries.handle(Event::TimeUp(number), u64::MAX));
}

proptest! {
    /// Whatever happens, in whatever order: there is at most one attempt at a time, it is given up
    /// before the next begins, and numbers never come back.
    #[test]
    fn there_is_at_most_one_attempt_at_a_time(
        story in prop::collection::vec((0_u8..6, 0_u64..8, any::<u64>()), 1..100),
    ) {
        let mut retries = Retries::new(RetrySettings::default());
        let (mut running, mut last) = (None, Number(0));
        for (what, number, random) in story {
            let number = Number(number.min(last.0));
            let event = match what {
                0 => Event::MasterDetected,
                1 => Event::MasterLost,
                2 => Event::WaitOver(last),
                3 => Event::TimeUp(last),
                4 => Event::Ended(number, failed()),
                _ => Event::Ended(number, authenticated()),
            };
            if let Event::Ended(number, _) = &event && running == Some(*number) {
                running = None;
            }
            for effect in retries.handle(event, random) {
                match effect {
                    Effect::Discard(number) => {
                        prop_assert_eq!(running, Some(number));
                        running = None;
                    }
                    Effect::Begin { number, time } => {
                        prop_assert!(running.is_none() && number > last);
                        prop_assert!(time >= Duration::from_secs(5));
                        prop_assert!(time <= Duration::from_mins(1));
                        (running, last) = (Some(number), number);
                    }
                    Effect::Wait(number, time) => {
                        prop_assert!(running.is_none() && number > last);
                        prop_assert!(time <= Duration::from_mins(1));
                        last = number;
                    }
                    Effect::Authenticated(..) => prop_assert!(running.is_none()),
                    Effect::Refused => prop_assert!(false, "nobody refused"),
                }
            }
        }
    }
}
