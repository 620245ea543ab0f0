//! Claims of channels: what is written is read, and no other claim verifies.

#![allow(clippy::unwrap_used, reason = "test code: a panic is a failed test")]

use alcazar_libprocess as libprocess;
use libprocess::channel::{Anchor, ChannelClaim, Direction, Ingredients, TieKey};
use libprocess::upid::Upid;
use proptest::prelude::*;

fn key(bytes: [u8; 32]) -> TieKey {
    let client: Upid = "slave(1)@10.0.0.7:5051".parse().unwrap();
    let ingredients = Ingredients {
        mechanism: "SCRAM-SHA-256",
        client: &client,
        key: Some(&bytes),
        channel: None,
    };
    TieKey::derive(ingredients).unwrap()
}

/// So that both ends of two versions of this program agree: computed once, elsewhere, by the
/// formula in the decision note.
#[test]
fn authn_the_worked_example_of_a_claim() {
    let claim = key([7; 32]).claim(Direction::FromServer, 1, Anchor::Exporter([9; 32]));
    assert_eq!(claim.to_string(), include_str!("channel.txt").trim_end());
}

#[test]
fn authn_what_is_no_claim_is_not_read() {
    let good = key([7; 32]).claim(Direction::FromClient, 10, Anchor::Plaintext).to_string();
    assert!(good.parse::<ChannelClaim>().is_ok());
    let (session, rest) = good.split_once('.').unwrap();
    let (_, mac) = rest.split_once('.').unwrap();
    for bad in [
        String::new(),
        "..".to_owned(),
        good.to_uppercase(),
        format!("{good}."),
        format!("{good}0"),
        format!(" {good}"),
        format!("{session}.+10.{mac}"),
        format!("{session}.010.{mac}"),
        format!("{session}..{mac}"),
        format!("{session}.0.{mac}"),
        format!("{session}.18446744073709551616.{mac}"),
        format!("{session}é.10.{mac}"),
        good[1..].to_owned(),
        good[..good.len() - 1].to_owned(),
    ] {
        assert!(bad.parse::<ChannelClaim>().is_err(), "{bad}");
    }
}

fn directions() -> impl Strategy<Value = Direction> {
    prop_oneof![Just(Direction::FromClient), Just(Direction::FromServer)]
}

fn anchors() -> impl Strategy<Value = Anchor> {
    prop_oneof![Just(Anchor::Plaintext), any::<[u8; 32]>().prop_map(Anchor::Exporter)]
}

proptest! {
    #[test]
    fn authn_a_claim_verifies_for_its_connection_and_no_other(
        secret: [u8; 32],
        other: [u8; 32],
        counter in 1_u64..,
        direction in directions(),
        other_direction in directions(),
        anchor in anchors(),
        other_anchor in anchors(),
    ) {
        let made = key(secret).claim(direction, counter, anchor);
        let read: ChannelClaim = made.to_string().parse().unwrap();
        prop_assert_eq!(read, made);
        prop_assert!(key(secret).verifies(&read, direction, anchor));
        let same = direction == other_direction && anchor == other_anchor;
        prop_assert_eq!(key(secret).verifies(&read, other_direction, other_anchor), same);
        prop_assert_eq!(key(other).verifies(&read, direction, anchor), other == secret);
    }

    #[test]
    fn authn_one_flipped_bit_never_verifies(
        secret: [u8; 32],
        counter in 1_u64..,
        direction in directions(),
        anchor in anchors(),
        at: prop::sample::Index,
        bit in 0_u8..8,
    ) {
        let made = key(secret).claim(direction, counter, anchor);
        let mut text = made.to_string().into_bytes();
        let at = at.index(text.len());
        text[at] ^= 1 << bit;
        let read = String::from_utf8(text).ok().and_then(|t| t.parse::<ChannelClaim>().ok());
        prop_assert!(!read.is_some_and(|read| key(secret).verifies(&read, direction, anchor)));
    }
}
