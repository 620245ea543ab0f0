//! Records, in whatever pieces they arrive.

use alcazar_wire::recordio::{self, Decoder, RecordError};
use proptest::prelude::*;

fn all(decoder: &mut Decoder) -> Vec<Vec<u8>> {
    let mut records = Vec::new();
    while let Some(record) = decoder.next().unwrap() {
        records.push(record.to_vec());
    }
    records
}

#[test]
fn split_at_every_offset() {
    let records: [&[u8]; 4] = [b"hello", b"", b"20\n{\"type\":\"HEARTBEAT\"}", &[0; 300]];
    let mut stream = Vec::new();
    for record in records {
        recordio::encode(record, &mut stream);
    }
    assert!(stream.starts_with(b"5\nhello0\n23\n20\n"));
    for split in 0..=stream.len() {
        let mut decoder = Decoder::new(300);
        decoder.push(&stream[..split]);
        let mut found = all(&mut decoder);
        decoder.push(&stream[split..]);
        found.extend(all(&mut decoder));
        assert_eq!(found, records, "{split}");
        assert!(decoder.is_between_records());
    }
}

#[test]
fn malformed_lengths_end_the_stream() {
    let wrong = |text: &str| RecordError::Length(text.to_owned());
    for (stream, error) in [
        ("\n", wrong("")),
        ("x\n", wrong("x")),
        ("-1\nx", wrong("-1")),
        ("+1\nx", wrong("+1")),
        (" 1\nx", wrong(" 1")),
        ("1 \nx", wrong("1 ")),
        ("18446744073709551616\n", wrong("18446744073709551616")),
        ("000000000000000000001\nx", wrong("00000000000000000000")),
        ("{\"type\":\"SUBSCRIBE\"}", wrong("{\"type\":\"SUBSCRIBE\"}")),
        ("301\n", RecordError::TooLarge { size: 301, limit: 300 }),
        ("18446744073709551615\n", RecordError::TooLarge { size: u64::MAX, limit: 300 }),
    ] {
        let mut decoder = Decoder::new(300);
        decoder.push(b"2\nok");
        decoder.push(stream.as_bytes());
        assert_eq!(decoder.next().unwrap().as_deref(), Some(&b"ok"[..]));
        let mut found = decoder.next();
        if found == Ok(None) {
            // Not too long to be a length yet.
            decoder.push(b"x");
            found = decoder.next();
        }
        assert_eq!(found, Err(error), "{stream:?}");
        assert_eq!(decoder.next(), Err(RecordError::Failed));
        decoder.push(b"2\nok");
        assert_eq!(decoder.next(), Err(RecordError::Failed));
        assert!(!decoder.is_between_records());
    }
    assert_eq!(
        wrong("x").to_string(),
        "Failed to decode length 'x': Failed to convert 'x' to number"
    );
}

proptest! {
    #[test]
    fn any_records_in_any_pieces(
        records in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..10),
        pieces in prop::collection::vec(1_usize..40, 1..40),
    ) {
        let mut stream = Vec::new();
        for record in &records {
            recordio::encode(record, &mut stream);
        }
        let mut decoder = Decoder::new(50);
        let mut found = Vec::new();
        let mut rest = &stream[..];
        let mut pieces = pieces.iter().cycle();
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(rest.len().min(*pieces.next().unwrap()));
            decoder.push(piece);
            found.extend(all(&mut decoder));
            rest = after;
        }
        found.extend(all(&mut decoder));
        prop_assert_eq!(found, records);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut decoder = Decoder::new(100);
        decoder.push(&bytes);
        while let Ok(Some(record)) = decoder.next() {
            prop_assert!(record.len() <= 100);
        }
    }
}
