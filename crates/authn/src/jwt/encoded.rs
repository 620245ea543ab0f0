//! The parts of a token as text.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Map, Value};

/// Padding is optional, as in the original; but the unused bits of the last character must be
/// zero, so that there are no two ways to write one signature.
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

pub(super) fn encode(bytes: &[u8]) -> String {
    URL_SAFE.encode(bytes)
}

/// White space is skipped, as in the original.
pub(super) fn decode(text: &str) -> Result<Vec<u8>, String> {
    let compact: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    URL_SAFE.decode(compact).map_err(|e| e.to_string())
}

/// A JSON object in base64url.
pub(super) fn decode_object(text: &str) -> Result<Map<String, Value>, String> {
    let bytes = decode(text).map_err(|e| format!("Failed to base64url-decode: {e}"))?;
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err("Failed to parse into JSON: not an object".to_owned()),
        Err(e) => Err(format!("Failed to parse into JSON: {e}")),
    }
}

/// Text from outside, for a text in quotes that goes outside again: printable, and not long.
pub(crate) fn quotable(text: &str) -> String {
    const MOST: usize = 100;
    let escaped = text.chars().take(MOST).flat_map(char::escape_default);
    escaped.collect::<String>().replace("\\'", "'")
}
