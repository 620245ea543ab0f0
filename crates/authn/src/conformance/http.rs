//! What every HTTP authenticator must hold.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use model::time::Timestamp;

use super::Violation;
use crate::http::{HttpAuthenticator, Outcome, Presented, Unauthorized};
use crate::proved::Certified;

/// An authenticator and those that it knows or does not know.
#[derive(Clone, Debug)]
pub struct Case {
    /// What is examined.
    pub authenticator: Arc<dyn HttpAuthenticator>,
    /// In which realm it asks.
    pub realm: String,
    /// What proves somebody: the value of `Authorization`, or the certificate if there is none.
    pub right: Option<Vec<u8>>,
    /// The certificate of the connection, with `right`.
    pub certificate: Option<Certified>,
    /// The same somebody with another secret, where there are secrets.
    pub impostor: Option<Vec<u8>>,
    /// Somebody who is not known.
    pub stranger: Option<Vec<u8>>,
    /// When it is asked.
    pub now: Timestamp,
}

/// Asks everything.
///
/// # Errors
/// The first rule that does not hold.
pub fn check(case: &Case) -> Result<(), Violation> {
    the_right_one_comes_in(case)?;
    nothing_shown_is_challenged(case)?;
    impostors_and_strangers_hear_the_same(case)?;
    no_flipped_bit_comes_in(case)?;
    nothing_shorter_comes_in(case)?;
    no_garbage_comes_in(case)
}

fn the_right_one_comes_in(case: &Case) -> Result<(), Violation> {
    let outcome = case.ask(case.right.as_deref(), case.certificate.as_ref());
    match outcome {
        Ok(Outcome::Proved(_)) => Ok(()),
        other => case.violation("what is right comes in", &other),
    }
}

fn nothing_shown_is_challenged(case: &Case) -> Result<(), Violation> {
    let why = case.refused("who shows nothing is challenged", None)?;
    if why.claimed.is_none() && !why.tried && why.body.contains("401 Unauthorized.") {
        return Ok(());
    }
    case.violation("who shows nothing has tried nothing", &why)
}

fn impostors_and_strangers_hear_the_same(case: &Case) -> Result<(), Violation> {
    let rule = "impostors and strangers hear the same";
    let mut heard = Vec::new();
    for header in [&case.impostor, &case.stranger].into_iter().flatten() {
        let why = case.refused(rule, Some(header))?;
        heard.push((why.challenge, why.body, why.tried));
    }
    if heard.windows(2).all(|pair| pair[0] == pair[1]) {
        Ok(())
    } else {
        case.violation(rule, &heard)
    }
}

fn no_flipped_bit_comes_in(case: &Case) -> Result<(), Violation> {
    let Some(right) = &case.right else { return Ok(()) };
    for bit in 0..right.len() * 8 {
        let mut flipped = right.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        case.refused("no flipped bit comes in", Some(&flipped))?;
    }
    Ok(())
}

/// Padding aside, which says nothing.
fn nothing_shorter_comes_in(case: &Case) -> Result<(), Violation> {
    let right = case.right.as_deref().unwrap_or_default();
    let bare = right.iter().rposition(|byte| *byte != b'=').map_or(0, |last| last + 1);
    for length in 0..bare {
        case.refused("nothing shorter comes in", Some(&right[..length]))?;
    }
    Ok(())
}

fn no_garbage_comes_in(case: &Case) -> Result<(), Violation> {
    let scheme = case.authenticator.scheme().split(' ').next().unwrap_or_default();
    let mut garbage: Vec<Vec<u8>> = [
        "",
        " ",
        "  ",
        "x",
        "x y",
        "x y z",
        ":",
        "\t",
        "Digest x",
        "Negotiate x",
        "\u{fffd} \u{1f511}",
    ]
    .iter()
    .map(|text| text.as_bytes().to_vec())
    .collect();
    for rest in [
        "",
        " ",
        "  ",
        " \"",
        " x",
        " x y",
        " =",
        " ==",
        " ....",
        " .",
        " ..",
        " Og==",
        " e30.e30.",
    ] {
        garbage.push(format!("{scheme}{rest}").into_bytes());
    }
    garbage.push(vec![0xff; 64]);
    garbage.push([scheme.as_bytes(), b" ", &[b'A'; 65_536]].concat());
    for header in garbage {
        case.refused("no garbage comes in", Some(&header))?;
    }
    Ok(())
}

impl Case {
    fn ask(
        &self,
        authorization: Option<&[u8]>,
        certificate: Option<&Certified>,
    ) -> Result<Outcome, crate::http::Failed> {
        self.authenticator.authenticate(&Presented {
            authorization,
            certificate,
            encrypted: true,
            address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            now: self.now,
        })
    }

    /// Whoever shows this, and no certificate, is told how to come in, in words that a header can
    /// carry, and that name the realm; and is neither forbidden nor a reason to fail.
    fn refused(
        &self,
        rule: &'static str,
        header: Option<&[u8]>,
    ) -> Result<Unauthorized, Violation> {
        let outcome = self.ask(header, None);
        let Ok(Outcome::Unauthorized(why)) = &outcome else {
            let header = header.map(String::from_utf8_lossy);
            return self.violation(rule, &(header, outcome));
        };
        let named = format!("realm=\"{}\"", self.realm);
        let schemes = self.authenticator.scheme().split(' ');
        let mut schemes = schemes.filter(|scheme| !why.challenge.contains(scheme));
        let printable = why.challenge.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if printable && why.challenge.contains(&named) && schemes.next().is_none() {
            return Ok(why.clone());
        }
        self.violation("a challenge names its schemes and its realm in printable text", &why)
    }

    fn violation<T>(
        &self,
        rule: &'static str,
        what: &impl std::fmt::Debug,
    ) -> Result<T, Violation> {
        let mechanism = self.authenticator.scheme().to_owned();
        Err(Violation { mechanism, rule, what: format!("{what:?}") })
    }
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod authn_conformance_http;
