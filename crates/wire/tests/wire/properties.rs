//! Round trips of random messages, and arbitrary input.

use alcazar_wire::check;
use alcazar_wire::descriptor::MESSAGES;
use alcazar_wire::json::{self, Names, Style};
use alcazar_wire::protocol::mesos::{AcLs, scheduler, slave};
use alcazar_wire::{Described, Limits, internal, v1};
use proptest::prelude::*;

use crate::random::{self, Random};

/// Protobuf to a value, to JSON, to the value again, in both families of names.
fn round_trip<T: Described + PartialEq + std::fmt::Debug>(seed: u64) {
    let bytes = random::message(T::DESCRIPTOR, &mut Random(seed), 0);
    let (value, report) =
        check::decode::<T>(&bytes, &Limits::default()).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(report, check::Report::default());
    let encoded = alcazar_wire::encode(&value);
    let (again, _) = check::decode::<T>(&encoded, &Limits::default()).unwrap();
    assert_eq!(again, value);
    for (names, style) in [
        (Names::V0, Style::V0),
        (Names::V1, Style { agent_checkpoint: false, ..Style::MASTER_READ }),
    ] {
        let mut text = Vec::new();
        json::write(&value, style, &mut text);
        let text = String::from_utf8(text).unwrap();
        let _: serde_json::Value = serde_json::from_str(&text).unwrap();
        let read: T = json::read(text.as_bytes(), names, &Limits::default())
            .unwrap_or_else(|e| panic!("{e}: {text}"));
        // What JSON printed as a default is set now, so the prints are compared.
        let mut reprinted = Vec::new();
        json::write(&read, style, &mut reprinted);
        assert_eq!(String::from_utf8(reprinted).unwrap(), text);
        let mut transcoded = Vec::new();
        json::transcode(T::DESCRIPTOR, &encoded, style, &mut transcoded).unwrap();
        assert_eq!(String::from_utf8(transcoded).unwrap(), text);
    }
    // Read under its own names a message comes back whole, defaults aside.
    let mut text = Vec::new();
    json::write(&value, Style::V0, &mut text);
    let read: T = json::read(&text, Names::V0, &Limits::default()).unwrap();
    let (sparse, dense) = (alcazar_wire::encode(&value).len(), alcazar_wire::encode(&read).len());
    assert!(dense >= sparse, "{dense} {sparse}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn messages_survive_json_in_both_families_of_names(seed in any::<u64>()) {
        round_trip::<v1::TaskInfo>(seed);
        round_trip::<v1::AgentInfo>(seed);
        round_trip::<v1::Offer>(seed);
        round_trip::<v1::scheduler::Call>(seed);
        round_trip::<v1::scheduler::Event>(seed);
        round_trip::<v1::executor::Call>(seed);
        round_trip::<v1::executor::Event>(seed);
        round_trip::<v1::master::Call>(seed);
        round_trip::<v1::master::Event>(seed);
        round_trip::<v1::agent::Call>(seed);
        round_trip::<v1::resource_provider::Call>(seed);
        round_trip::<scheduler::Call>(seed);
        round_trip::<internal::ReregisterSlaveMessage>(seed);
        round_trip::<internal::UpdateSlaveMessage>(seed);
        round_trip::<internal::Registry>(seed);
        round_trip::<slave::ContainerConfig>(seed);
        round_trip::<AcLs>(seed);
    }

    #[test]
    fn every_message_of_the_tables_passes_check_and_is_json(seed in any::<u64>()) {
        let mut random = Random(seed);
        for m in MESSAGES {
            let bytes = random::message(m, &mut random, 3);
            let (same, report) =
                check::check(m, Names::V1, &bytes, &Limits::default())
                    .unwrap_or_else(|e| panic!("{}: {e}", m.name));
            assert_eq!(&same[..], &bytes[..], "{}", m.name);
            assert_eq!(report, check::Report::default());
            let mut text = Vec::new();
            json::transcode(m, &bytes, Style::V1, &mut text).unwrap();
            let _: serde_json::Value = serde_json::from_slice(&text).unwrap();
        }
    }

    #[test]
    fn damaged_messages_are_refused_or_decode(seed in any::<u64>(), hits in 1_usize..6) {
        damaged::<v1::scheduler::Call>(seed, hits);
        damaged::<internal::ReregisterSlaveMessage>(seed, hits);
        damaged::<v1::master::Call>(seed, hits);
        damaged::<slave::ContainerLaunchInfo>(seed, hits);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        arbitrary::<v1::scheduler::Call>(&bytes);
        arbitrary::<v1::ContainerId>(&bytes);
        arbitrary::<internal::Registry>(&bytes);
    }

    #[test]
    fn arbitrary_json_never_panics(
        text in r#"([\[\]{}:,"\\\n\x00-\x7f]|"(name|user|task_id|value|type|data)":|null|true|-?[0-9.e]{1,5}|\\u[0-9a-fd]{4}|é){0,60}"#
    ) {
        // Whatever is accepted as JSON here is accepted as such by another parser, numbers aside.
        let _ = json::read::<v1::TaskInfo>(text.as_bytes(), Names::V1, &Limits::default());
        let object = format!("{{\"name\":\"n\",\"resources\":[{text}]}}");
        let _ = json::read::<v1::TaskInfo>(object.as_bytes(), Names::V0, &Limits::default());
    }
}

/// Bytes that passed the check must decode: a refusal by the decoder is a defect of the check.
fn arbitrary<T: Described>(bytes: &[u8]) {
    match check::decode::<T>(bytes, &Limits::default()) {
        Ok((value, _)) => {
            let mut out = Vec::new();
            json::write(&value, Style::V1, &mut out);
            // What was put right once is right.
            let (_, report) =
                check::decode::<T>(&alcazar_wire::encode(&value), &Limits::default()).unwrap();
            assert_eq!(report, check::Report::default());
        }
        Err(check::DecodeError::Rejected { message, reason }) => {
            panic!("{message}: {reason}: {bytes:?}")
        }
        Err(_) => {}
    }
    let mut out = Vec::new();
    let _ = json::transcode(T::DESCRIPTOR, bytes, Style::V1, &mut out);
}

fn damaged<T: Described>(seed: u64, hits: usize) {
    let mut random = Random(seed);
    let mut bytes = random::message(T::DESCRIPTOR, &mut random, 0);
    for _ in 0..hits {
        if bytes.is_empty() {
            break;
        }
        let at = random.below(bytes.len() as u64) as usize;
        match random.below(4) {
            0 => bytes.truncate(at),
            1 => drop(bytes.remove(at)),
            2 => bytes.insert(at, random.next() as u8),
            _ => bytes[at] = random.next() as u8,
        }
    }
    arbitrary::<T>(&bytes);
}
