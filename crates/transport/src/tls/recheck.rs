//! Whether the peer of a resumed session would be let in today.
//!
//! A session proves that a certificate was good when it was made. The library looks at it no
//! more, so we do: the chain is built and verified again, with the revocation lists, at the
//! present time.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use openssl::asn1::{Asn1Time, Asn1TimeRef};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::ssl::{SslFiletype, SslRef};
use openssl::stack::Stack;
use openssl::x509::store::{X509Lookup, X509Store, X509StoreBuilder};
use openssl::x509::verify::{X509VerifyFlags, X509VerifyParam};
use openssl::x509::{X509, X509Crl, X509PurposeId, X509Ref, X509StoreContext};

use super::MaterialError;
use super::failure::{Failure, HandshakeError};
use super::files::MemoryFile;
use super::inputs::Believed;

/// Intermediates that peers presented and that are kept to build their chains again.
const MOST_INTERMEDIATES: usize = 256;
/// Verdicts that are kept.
const MOST_VERDICTS: usize = 4096;

/// The means to verify a peer's certificate outside a handshake.
pub(super) struct Recheck {
    store: X509Store,
    /// Sessions hold only the peer's own certificate. What stood between it and a root in the
    /// full handshake is here; sessions do not outlive this, as their keys do not.
    intermediates: Mutex<Vec<X509>>,
    /// Certificates that were verified, by digest, and the time until which nothing can change.
    verdicts: Mutex<HashMap<[u8; 32], i64>>,
    /// When the first revocation list runs out.
    lists_until: i64,
}

impl std::fmt::Debug for Recheck {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recheck").finish_non_exhaustive()
    }
}

/// A store with roots and revocation lists.
pub(super) fn store(
    believed: &Believed,
    revocation: Option<&[u8]>,
) -> Result<X509StoreBuilder, MaterialError> {
    let mut store = X509StoreBuilder::new().map_err(MaterialError::Roots)?;
    for root in &believed.roots {
        store.add_cert(root.clone()).map_err(MaterialError::Roots)?;
    }
    if let Some(lists) = revocation {
        let file = MemoryFile::new(lists).map_err(MaterialError::Memory)?;
        let lookup = store.add_lookup(X509Lookup::file()).map_err(MaterialError::Roots)?;
        lookup.load_crl_file(file.path(), SslFiletype::PEM).map_err(MaterialError::Roots)?;
        store
            .set_flags(X509VerifyFlags::CRL_CHECK | X509VerifyFlags::CRL_CHECK_ALL)
            .map_err(MaterialError::Roots)?;
    }
    Ok(store)
}

/// The revocation lists in a PEM text.
pub(super) fn lists(pem: &[u8]) -> Result<Vec<X509Crl>, ErrorStack> {
    const BEGIN: &[u8] = b"-----BEGIN X509 CRL-----";
    let starts = pem.windows(BEGIN.len()).enumerate().filter(|(_, window)| *window == BEGIN);
    let starts: Vec<usize> = starts.map(|(at, _)| at).collect();
    starts.into_iter().map(|at| X509Crl::from_pem(&pem[at..])).collect()
}

/// When the first of the revocation lists runs out; `None` if there are none.
pub(super) fn lists_until(revocation: Option<&[u8]>) -> Result<Option<i64>, ErrorStack> {
    let mut first = None;
    for list in revocation.map(lists).transpose()?.iter().flatten() {
        if let Some(next) = list.next_update() {
            let next = unix(next)?;
            first = Some(first.map_or(next, |first: i64| first.min(next)));
        }
    }
    Ok(first)
}

/// Seconds since the epoch.
pub(super) fn unix(time: &Asn1TimeRef) -> Result<i64, ErrorStack> {
    let since = Asn1Time::from_unix(0)?.diff(time)?;
    Ok(i64::from(since.days) * 86_400 + i64::from(since.secs))
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

impl Recheck {
    /// `purpose` is what the peers use their certificates for, `level` the security level of the
    /// library for these connections.
    pub(super) fn new(
        believed: &Believed,
        revocation: Option<&[u8]>,
        purpose: X509PurposeId,
        level: u32,
    ) -> Result<Self, MaterialError> {
        let mut store = store(believed, revocation)?;
        let mut parameters = X509VerifyParam::new().map_err(MaterialError::Roots)?;
        parameters.set_depth(believed.depth.try_into().unwrap_or(i32::MAX));
        parameters.set_auth_level(level.try_into().unwrap_or(i32::MAX));
        parameters.set_purpose(purpose).map_err(MaterialError::Roots)?;
        store.set_param(&parameters).map_err(MaterialError::Roots)?;
        let lists_until =
            lists_until(revocation).map_err(MaterialError::Roots)?.unwrap_or(i64::MAX);
        Ok(Self {
            store: store.build(),
            intermediates: Mutex::default(),
            verdicts: Mutex::default(),
            lists_until,
        })
    }

    /// Keeps what stood between the peer of a full handshake and its root.
    pub(super) fn remember(&self, ssl: &SslRef) {
        let chain = ssl.verified_chain().into_iter().flatten();
        // Neither the leaf nor the root.
        let between: Vec<&X509Ref> = chain.skip(1).collect();
        let Some((_root, between)) = between.split_last() else { return };
        if between.is_empty() {
            return;
        }
        let mut kept = self.intermediates.lock().unwrap_or_else(PoisonError::into_inner);
        for certificate in between {
            if !kept.iter().any(|known| **known == **certificate) {
                if kept.len() == MOST_INTERMEDIATES {
                    kept.remove(0);
                }
                kept.push((*certificate).to_owned());
            }
        }
    }

    /// Verifies the certificate of a resumed session.
    pub(super) fn check(&self, certificate: &X509Ref) -> Result<(), HandshakeError> {
        let digest = certificate.digest(MessageDigest::sha256())?;
        let key: [u8; 32] = (*digest).try_into().unwrap_or_default();
        let now = now();
        if self.verdicts().get(&key).is_some_and(|until| now < *until) {
            return Ok(());
        }
        let mut untrusted = Stack::new()?;
        for known in self.intermediates.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            untrusted.push(known.clone())?;
        }
        let mut context = X509StoreContext::new()?;
        let verdict = context.init(&self.store, certificate, &untrusted, |context| {
            if !context.verify_cert()? {
                return Ok(Err(context.error()));
            }
            let mut until = self.lists_until;
            for link in context.chain().into_iter().flatten() {
                until = until.min(unix(link.not_after())?);
            }
            Ok(Ok(until))
        })?;
        let until = verdict.map_err(|error| HandshakeError::Outdated {
            failure: Failure::of_verification(error),
            reason: error.error_string().to_owned(),
        })?;
        let mut verdicts = self.verdicts();
        if verdicts.len() >= MOST_VERDICTS {
            verdicts.clear();
        }
        verdicts.insert(key, until);
        Ok(())
    }

    fn verdicts(&self) -> std::sync::MutexGuard<'_, HashMap<[u8; 32], i64>> {
        self.verdicts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
