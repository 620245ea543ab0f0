//! The four messages as text (RFC 5802 §7). Everything that is read comes from outside.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::LONGEST;

/// What a client says about channel binding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flag<'a> {
    /// `n`: it knows none.
    Unknown,
    /// `y`: it knows some, and thinks that the server does not.
    Unused,
    /// `p=`: it uses this one.
    Used(&'a str),
}

/// `client-first-message`
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ClientFirst<'a> {
    /// The header with its commas, which the last message repeats.
    pub(super) header: &'a str,
    pub(super) flag: Flag<'a>,
    pub(super) authorization: Option<String>,
    /// All that follows the header.
    pub(super) bare: &'a str,
    pub(super) principal: String,
    pub(super) nonce: &'a str,
}

/// `server-first-message`
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ServerFirst<'a> {
    pub(super) nonce: &'a str,
    pub(super) salt: Vec<u8>,
    pub(super) iterations: u32,
}

/// `client-final-message`
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ClientFinal<'a> {
    /// All but the proof.
    pub(super) bare: &'a str,
    /// In base64, as sent.
    pub(super) binding: &'a str,
    pub(super) nonce: &'a str,
    pub(super) proof: [u8; 32],
}

/// UTF-8 of acceptable length without control characters.
pub(super) fn text(input: &[u8]) -> Result<&str, &'static str> {
    if input.len() > LONGEST {
        return Err("the message is longer than 1024 bytes");
    }
    let text = std::str::from_utf8(input).map_err(|_| "the message is not UTF-8")?;
    if text.chars().any(char::is_control) {
        return Err("the message has control characters");
    }
    Ok(text)
}

pub(super) fn client_first(text: &str) -> Result<ClientFirst<'_>, &'static str> {
    let mut parts = text.splitn(3, ',');
    let (Some(flag), Some(authorization), Some(bare)) = (parts.next(), parts.next(), parts.next())
    else {
        return Err("the first message has no header");
    };
    let header = &text[..text.len() - bare.len()];
    let flag = match flag {
        "n" => Flag::Unknown,
        "y" => Flag::Unused,
        _ => match flag.strip_prefix("p=") {
            Some(name) if !name.is_empty() => Flag::Used(name),
            _ => return Err("the header does not say whether there is channel binding"),
        },
    };
    let authorization = match authorization {
        "" => None,
        some => Some(unescaped(some.strip_prefix("a=").ok_or("the header has an unknown part")?)?),
    };
    let mut attributes = bare.split(',');
    let principal = unescaped(attribute(attributes.next(), 'n')?)?;
    let nonce = attribute(attributes.next(), 'r')?;
    check_nonce(nonce)?;
    extensions(attributes)?;
    Ok(ClientFirst { header, flag, authorization, bare, principal, nonce })
}

pub(super) fn server_first(text: &str) -> Result<ServerFirst<'_>, &'static str> {
    let mut attributes = text.split(',');
    let nonce = attribute(attributes.next(), 'r')?;
    check_nonce(nonce)?;
    let salt = base64(attribute(attributes.next(), 's')?)?;
    let iterations = attribute(attributes.next(), 'i')?;
    let digits = !iterations.starts_with('0') && iterations.bytes().all(|b| b.is_ascii_digit());
    let iterations = iterations.parse().ok().filter(|_| digits);
    let iterations = iterations.ok_or("the iteration count is no number")?;
    extensions(attributes)?;
    if salt.is_empty() {
        return Err("the salt is empty");
    }
    Ok(ServerFirst { nonce, salt, iterations })
}

pub(super) fn client_final(text: &str) -> Result<ClientFinal<'_>, &'static str> {
    let (bare, proof) = text.rsplit_once(",p=").ok_or("the last message has no proof")?;
    let proof = base64(proof)?.try_into().map_err(|_| "the proof has not 32 bytes")?;
    let mut attributes = bare.split(',');
    let binding = attribute(attributes.next(), 'c')?;
    let nonce = attribute(attributes.next(), 'r')?;
    extensions(attributes)?;
    Ok(ClientFinal { bare, binding, nonce, proof })
}

/// The signature in `server-final-message`.
pub(super) fn server_final(text: &str) -> Result<Vec<u8>, &'static str> {
    if text.starts_with("e=") {
        return Err("the server reports an error");
    }
    let mut attributes = text.split(',');
    let signature = base64(attribute(attributes.next(), 'v')?)?;
    extensions(attributes)?;
    Ok(signature)
}

/// The value of the attribute that must be here.
fn attribute(part: Option<&str>, name: char) -> Result<&str, &'static str> {
    let part = part.unwrap_or_default();
    if part.starts_with("m=") {
        return Err("mandatory extensions are not known here");
    }
    let value = part.strip_prefix(name).and_then(|rest| rest.strip_prefix('='));
    value.filter(|value| !value.is_empty()).ok_or("an attribute is missing or out of its place")
}

/// What follows the attributes that must be there.
fn extensions<'a>(parts: impl Iterator<Item = &'a str>) -> Result<(), &'static str> {
    for part in parts {
        let mut chars = part.chars();
        let name = chars.next().unwrap_or_default();
        if name == 'm' {
            return Err("mandatory extensions are not known here");
        }
        if !name.is_ascii_alphabetic() || chars.next() != Some('=') || chars.next().is_none() {
            return Err("an extension is malformed");
        }
    }
    Ok(())
}

fn check_nonce(nonce: &str) -> Result<(), &'static str> {
    let fits = nonce.bytes().all(|byte| matches!(byte, 0x21..=0x7e));
    if fits { Ok(()) } else { Err("the nonce has characters that it may not have") }
}

fn base64(text: &str) -> Result<Vec<u8>, &'static str> {
    STANDARD.decode(text).map_err(|_| "what should be base64 is not")
}

/// `saslname`: `=` and `,` are written as `=3D` and `=2C`, and nothing else is.
pub(super) fn escaped(name: &str) -> String {
    name.replace('=', "=3D").replace(',', "=2C")
}

fn unescaped(name: &str) -> Result<String, &'static str> {
    if name.is_empty() {
        return Err("a name is empty");
    }
    let mut parts = name.split('=');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (c, rest) = match (part.strip_prefix("2C"), part.strip_prefix("3D")) {
            (Some(rest), _) => (',', rest),
            (None, Some(rest)) => ('=', rest),
            (None, None) => return Err("a name has an = that does not stand for a character"),
        };
        text.push(c);
        text.push_str(rest);
    }
    Ok(text)
}
