//! What the pass over raw bytes lets through, puts right and refuses.

use alcazar_wire::check::{self, DecodeError, Missing, Report};
use alcazar_wire::protocol::mesos::scheduler;
use alcazar_wire::{Described, Limits, Malformed, Names, internal, v1};

fn decode<T: Described>(bytes: &[u8]) -> Result<(T, Report), DecodeError> {
    check::decode(bytes, &Limits::default())
}

fn refused<T: Described + std::fmt::Debug>(bytes: &[u8]) -> String {
    decode::<T>(bytes).unwrap_err().to_string()
}

/// A length-delimited field.
fn field(number: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![number << 3 | 2];
    assert!(payload.len() < 128);
    bytes.push(payload.len() as u8);
    bytes.extend_from_slice(payload);
    bytes
}

#[test]
fn missing_fields_are_named_by_their_paths() {
    assert_eq!(refused::<v1::TaskId>(b""), "Missing required fields: value");
    let call = |framework: &[u8]| field(3, &field(1, framework));
    let nothing = call(b"");
    assert_eq!(
        refused::<v1::scheduler::Call>(&nothing),
        "Missing required fields: subscribe.framework_info.user, subscribe.framework_info.name"
    );
    assert_eq!(
        refused::<scheduler::Call>(&nothing),
        "Missing required fields: subscribe.framework_info.user, subscribe.framework_info.name"
    );
    // Own fields in the order of declaration, then parts in the order of numbers, by index.
    let bytes = [field(7, b""), field(3, b""), field(3, &field(1, b"n"))].concat();
    assert_eq!(
        refused::<internal::ReregisterSlaveMessage>(&bytes),
        "Missing required fields: slave, tasks[0].name, tasks[0].task_id, tasks[0].framework_id, \
         tasks[0].slave_id, tasks[0].state, tasks[1].task_id, tasks[1].framework_id, \
         tasks[1].slave_id, tasks[1].state, checkpointed_resources[0].name, \
         checkpointed_resources[0].type"
    );
    let many = field(3, b"").repeat(100_000);
    let Err(DecodeError::Missing(missing)) = decode::<internal::ReregisterSlaveMessage>(&many)
    else {
        panic!()
    };
    assert_eq!(missing.paths.len(), Missing::MOST);
}

#[test]
fn a_sound_message_is_not_copied() {
    let bytes = field(1, b"value");
    let limits = Limits::default();
    let (same, report) = check::check(v1::TaskId::DESCRIPTOR, Names::V1, &bytes, &limits).unwrap();
    assert!(matches!(same, std::borrow::Cow::Borrowed(_)));
    assert_eq!(report, Report::default());
}

#[test]
fn bytes_that_are_not_utf8_become_question_marks() {
    let status = [field(1, &field(1, b"a\xffb\xe2\x82")), vec![16, 6], field(4, b"ok")].concat();
    let (status, report) = decode::<v1::TaskStatus>(&status).unwrap();
    assert_eq!(status.task_id.value, "a?b??");
    assert_eq!(status.message.as_deref(), Some("ok"));
    assert_eq!(report, Report { not_utf8: 3, ..Report::default() });
}

#[test]
fn unknown_enum_values_are_unset() {
    // state (2) is required, reason (10) is not.
    let id = field(1, &field(1, b"t"));
    let (status, report) =
        decode::<v1::TaskStatus>(&[id.clone(), vec![16, 6, 80, 255, 7]].concat()).unwrap();
    assert_eq!((status.reason, report.unknown_enums), (None, 1));
    assert_eq!(
        refused::<v1::TaskStatus>(&[id.clone(), vec![16, 255, 7]].concat()),
        "Missing required fields: state"
    );
    // The known value before stays, in either order.
    for state in [[16, 6, 16, 99], [16, 99, 16, 6]] {
        let (status, _) = decode::<v1::TaskStatus>(&[id.clone(), state.to_vec()].concat()).unwrap();
        assert_eq!(status.state, 6);
    }
}

#[test]
fn a_wire_type_that_does_not_fit_makes_a_field_unknown() {
    // value (1) as a varint, as eight and four bytes, and as a group.
    for odd in [
        &b"\x08\x01"[..],
        b"\x09\x01\x02\x03\x04\x05\x06\x07\x08",
        b"\x0d\x01\x02\x03\x04",
        b"\x0b\x10\x01\x0c",
    ] {
        assert_eq!(refused::<v1::TaskId>(odd), "Missing required fields: value");
        let (id, report) = decode::<v1::TaskId>(&[odd, &field(1, b"x")[..]].concat()).unwrap();
        assert_eq!((id.value.as_str(), report.mismatched), ("x", 1));
    }
}

#[test]
fn packed_and_unpacked_lists_are_the_same() {
    // supplementary_groups (19): tag 19 << 3 | 2 = 154 1.
    use alcazar_wire::protocol::mesos::slave::ContainerLaunchInfo;
    let (packed, _) = decode::<ContainerLaunchInfo>(&[154, 1, 3, 1, 0xac, 2]).unwrap();
    assert_eq!(packed.supplementary_groups, [1, 300]);
    let (info, report) = decode::<ContainerLaunchInfo>(&[154, 1, 2, 1, 0xac]).unwrap();
    assert_eq!((info.supplementary_groups.len(), report.mismatched), (0, 1));
    // v1.CapabilityInfo.capabilities (1) are enums; 999 is not one.
    let (known, report) = decode::<v1::CapabilityInfo>(&[10, 5, 0xe8, 7, 0xe7, 7, 0]).unwrap();
    assert_eq!((known.capabilities, report.unknown_enums), (vec![1000, 0], 1));
}

#[test]
fn a_message_in_two_parts_is_one() {
    let first = field(3, &field(1, &field(1, b"user")));
    let second = field(3, &field(1, &field(2, b"name")));
    let (call, report) =
        decode::<v1::scheduler::Call>(&[first, vec![16, 1], second].concat()).unwrap();
    let info = call.subscribe.unwrap().framework_info;
    assert_eq!((info.user.as_str(), info.name.as_str(), report.merged), ("user", "name", 1));
}

#[test]
fn malformed_bytes() {
    for (bytes, reason) in [
        (&b"\x0a"[..], Malformed::Truncated),
        (b"\x0a\x05abc", Malformed::Truncated),
        (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", Malformed::Truncated),
        (b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", Malformed::Varint),
        (b"\x00\x01", Malformed::Tag),
        (b"\x0e", Malformed::Tag),
        (b"\xf8\xff\xff\xff\x7f\x01", Malformed::Tag),
        (b"\x0c", Malformed::Group),
        (b"\x7b\x7b\x7c", Malformed::Group),
        (b"\x7b\x08", Malformed::Truncated),
        (b"\x7b\x0c", Malformed::Group),
        (&b"\x7b".repeat(200), Malformed::Depth),
    ] {
        let Err(DecodeError::Malformed { message, reason: found, .. }) =
            decode::<v1::TaskId>(bytes)
        else {
            panic!("{bytes:?}")
        };
        assert_eq!((message, found), ("mesos.v1.TaskID", reason), "{bytes:?}");
    }
    // An unknown group is skipped like any unknown field.
    let (id, report) =
        decode::<v1::TaskId>(&[&b"\x7b\x08\x01\x12\x00\x7c"[..], &field(1, b"x")].concat())
            .unwrap();
    assert_eq!((id.value.as_str(), report.unknown_fields), ("x", 1));
}

#[test]
fn limits() {
    let nested = |levels: usize| {
        let mut bytes = b"\x0a\x00".to_vec();
        for _ in 0..levels {
            let mut outer = b"\x0a\x00\x12".to_vec();
            let mut length = bytes.len();
            while length > 127 {
                outer.push(length as u8 | 128);
                length >>= 7;
            }
            outer.push(length as u8);
            outer.extend_from_slice(&bytes);
            bytes = outer;
        }
        bytes
    };
    assert!(decode::<v1::ContainerId>(&nested(100)).is_ok());
    for levels in [101, 10_000] {
        let deep = decode::<v1::ContainerId>(&nested(levels));
        assert!(matches!(deep, Err(DecodeError::TooDeep { limit: 100, .. })));
    }
    let small = Limits { max_bytes: 3, max_decoded: 1000, ..Limits::default() };
    let large = check::decode::<v1::TaskId>(&field(1, b"abc"), &small);
    assert!(matches!(large, Err(DecodeError::TooLarge { size: 5, limit: 3, .. })));
    // Two bytes each on the wire, a whole task each in memory.
    let roomy = Limits { max_bytes: 1000, ..small };
    let bomb = field(3, b"").repeat(100);
    let bomb = check::decode::<internal::ReregisterSlaveMessage>(&bomb, &roomy);
    assert!(matches!(bomb, Err(DecodeError::TooMuch { limit: 1000, .. })));
    let strings = field(2, b"").repeat(100);
    let strings = check::decode::<internal::ResourceOffersMessage>(&strings, &roomy);
    assert!(matches!(strings, Err(DecodeError::TooMuch { .. })));
}
