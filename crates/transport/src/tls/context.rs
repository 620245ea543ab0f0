//! From inputs to contexts of the library. What can be done here once is not done for each
//! connection.

use openssl::error::ErrorStack;
use openssl::ssl::{
    AlpnError, SslConnector, SslContextBuilder, SslMethod, SslMode, SslOptions,
    SslSessionCacheMode, SslVerifyMode, SslVersion, select_next_proto,
};
use openssl::stack::Stack;
use openssl::x509::store::X509StoreBuilder;
use openssl::x509::{X509, X509StoreContext};

use super::dialler::Dialler;
use super::files::MemoryFile;
use super::inputs::{Believed, Inputs, OwnLeaf};
use super::notice::LoadNotice;
use super::{MaterialError, Offer, recheck};

/// The one protocol above TLS, as ALPN says it.
const ALPN: &[u8] = b"\x08http/1.1";

/// Groups in order of preference, the first list that the library takes. A hybrid one protects from
/// whoever records today and computes tomorrow: a server asks for it (after each slash) rather
/// than take what was sent. A client sends keys for those with a star at once.
const GROUPS: [&str; 2] = ["*X25519MLKEM768/*X25519:P-256/P-384", "X25519:P-256:P-384"];

/// The context for connections that we accept.
pub(super) fn server(
    inputs: &Inputs,
    notices: &mut Vec<LoadNotice>,
) -> Result<SslContextBuilder, MaterialError> {
    let mut builder =
        SslContextBuilder::new(SslMethod::tls_server()).map_err(MaterialError::Setting)?;
    common(&mut builder, inputs, notices)?;
    builder.set_alpn_select_callback(|_, offered| {
        // Without one in common the connection goes on without ALPN.
        select_next_proto(ALPN, offered).ok_or(AlpnError::NOACK)
    });
    // Framing says where a message ends, so that a missing close_notify can hide nothing.
    // Clients keep the error: the end of a response may be the end of the connection.
    builder.set_options(SslOptions::IGNORE_UNEXPECTED_EOF);
    // Tickets hold the session, encrypted with keys of this context: nothing is kept here.
    builder.set_session_cache_mode(SslSessionCacheMode::OFF);
    builder.set_num_tickets(1).map_err(MaterialError::Setting)?;
    let policy = inputs.digest().map_err(MaterialError::Setting)?;
    builder.set_session_id_context(&policy).map_err(MaterialError::Setting)?;
    match &inputs.inbound {
        None => builder.set_verify(SslVerifyMode::NONE),
        // A certificate is requested, an invalid one fails the handshake, a missing one is judged
        // at the door.
        Some(believed) => believe(&mut builder, believed, inputs)?,
    }
    Ok(builder)
}

/// The context for connections that we open.
pub(super) fn client(
    inputs: &Inputs,
    notices: &mut Vec<LoadNotice>,
) -> Result<Dialler, MaterialError> {
    let mut builder =
        SslConnector::builder(SslMethod::tls_client()).map_err(MaterialError::Setting)?;
    common(&mut builder, inputs, notices)?;
    builder.set_alpn_protos(ALPN).map_err(MaterialError::Setting)?;
    match &inputs.outbound {
        None => {
            // The library looks for roots even if it does not mind: it shall find none.
            let nobody = X509StoreBuilder::new().map_err(MaterialError::Setting)?;
            builder.set_cert_store(nobody.build());
            builder.set_verify(SslVerifyMode::NONE);
        }
        Some(believed) => believe(&mut builder, believed, inputs)?,
    }
    Dialler::new(builder, inputs.outbound.is_some()).map_err(MaterialError::Setting)
}

fn common(
    builder: &mut SslContextBuilder,
    inputs: &Inputs,
    notices: &mut Vec<LoadNotice>,
) -> Result<(), MaterialError> {
    limit(builder, &inputs.offer, notices)?;
    present(builder, inputs)
}

/// What we present. Each certificate has a chain of its own, which is complete: the library need
/// not look for it at each handshake.
fn present(builder: &mut SslContextBuilder, inputs: &Inputs) -> Result<(), MaterialError> {
    let mut kinds = Vec::new();
    for leaf in &inputs.leaves {
        let kind = leaf.key.id();
        if kinds.contains(&kind) {
            return Err(MaterialError::SameKind);
        }
        kinds.push(kind);
        let mut pem = Vec::new();
        for certificate in complete(leaf, inputs).map_err(MaterialError::Chain)? {
            pem.extend(certificate.to_pem().map_err(MaterialError::Chain)?);
        }
        let file = MemoryFile::new(&pem).map_err(MaterialError::Memory)?;
        builder.set_certificate_chain_file(file.path()).map_err(MaterialError::Chain)?;
        builder.set_private_key(&leaf.key).map_err(MaterialError::KeyMismatch)?;
        builder.check_private_key().map_err(MaterialError::KeyMismatch)?;
    }
    Ok(())
}

/// The chain of a leaf: as its file has it, or if that is the leaf alone, with the intermediates
/// that stand among the roots.
fn complete(leaf: &OwnLeaf, inputs: &Inputs) -> Result<Vec<X509>, ErrorStack> {
    let mut chain = leaf.chain.clone();
    if let [only] = &chain[..] {
        for believed in [&inputs.inbound, &inputs.outbound].into_iter().flatten() {
            let store = recheck::store(believed, None).map_err(|_| ErrorStack::get())?.build();
            let mut context = X509StoreContext::new()?;
            let none = Stack::new()?;
            let found = context.init(&store, only, &none, |context| {
                // Whether it verifies is for the peer to say.
                let _ = context.verify_cert();
                let links = context.chain().into_iter().flatten().skip(1);
                Ok(links.filter(|link| !is_self_issued(link)).map(ToOwned::to_owned).collect())
            });
            let found: Vec<X509> = found?;
            if !found.is_empty() {
                chain.extend(found);
                break;
            }
        }
    }
    Ok(chain)
}

fn is_self_issued(certificate: &openssl::x509::X509Ref) -> bool {
    let names = (certificate.subject_name().to_der(), certificate.issuer_name().to_der());
    matches!(names, (Ok(subject), Ok(issuer)) if subject == issuer)
}

/// Whom we believe.
fn believe(
    builder: &mut SslContextBuilder,
    believed: &Believed,
    inputs: &Inputs,
) -> Result<(), MaterialError> {
    let store = recheck::store(believed, inputs.revocation.as_deref())?;
    builder.set_cert_store(store.build());
    builder.set_verify(SslVerifyMode::PEER);
    builder.set_verify_depth(believed.depth.min(100));
    Ok(())
}

/// What we are willing to speak.
fn limit(
    builder: &mut SslContextBuilder,
    offer: &Offer,
    notices: &mut Vec<LoadNotice>,
) -> Result<(), MaterialError> {
    let versions = [
        (offer.tls10, SslVersion::TLS1, SslOptions::NO_TLSV1),
        (offer.tls11, SslVersion::TLS1_1, SslOptions::NO_TLSV1_1),
        (offer.tls12, SslVersion::TLS1_2, SslOptions::NO_TLSV1_2),
        (offer.tls13, SslVersion::TLS1_3, SslOptions::NO_TLSV1_3),
    ];
    let mut offered = versions.iter().filter(|(on, ..)| *on).map(|(_, version, _)| *version);
    let lowest = offered.next().ok_or(MaterialError::NoVersion)?;
    let highest = offered.next_back().unwrap_or(lowest);
    if offer.tls10 || offer.tls11 {
        // Both sign with MD5 and SHA-1, which no higher level allows.
        builder.set_security_level(0);
        notices.push(LoadNotice::LoweredSecurity);
    }
    builder.set_min_proto_version(Some(lowest)).map_err(MaterialError::Setting)?;
    builder.set_max_proto_version(Some(highest)).map_err(MaterialError::Setting)?;
    // Versions in between that are off.
    for (_, _, without) in versions.iter().filter(|(on, ..)| !on) {
        builder.set_options(*without);
    }
    suites(builder, offer, lowest == SslVersion::TLS1_3, notices)?;
    groups(builder, offer, notices)?;
    builder.set_mode(
        SslMode::ENABLE_PARTIAL_WRITE
            | SslMode::ACCEPT_MOVING_WRITE_BUFFER
            | SslMode::RELEASE_BUFFERS
            | SslMode::AUTO_RETRY
            | SslMode::NO_AUTO_CHAIN,
    );
    builder.set_options(
        SslOptions::NO_COMPRESSION
            | SslOptions::NO_RENEGOTIATION
            | SslOptions::CIPHER_SERVER_PREFERENCE,
    );
    // One read of the socket for a record instead of two.
    builder.set_read_ahead(true);
    Ok(())
}

fn suites(
    builder: &mut SslContextBuilder,
    offer: &Offer,
    only_tls13: bool,
    notices: &mut Vec<LoadNotice>,
) -> Result<(), MaterialError> {
    let unknown = unknown(&offer.suites, |probe, name| probe.set_cipher_list(name))?;
    if !unknown.is_empty() {
        notices.push(LoadNotice::UnknownSuites(unknown));
    }
    match builder.set_cipher_list(&offer.suites) {
        Ok(()) => Ok(()),
        Err(_) if only_tls13 => Ok(()),
        Err(stack) => Err(MaterialError::Suites(stack)),
    }
}

fn groups(
    builder: &mut SslContextBuilder,
    offer: &Offer,
    notices: &mut Vec<LoadNotice>,
) -> Result<(), MaterialError> {
    let Some(list) = &offer.groups else {
        let mut last = Ok(());
        for list in GROUPS {
            last = builder.set_groups_list(list);
            if last.is_ok() {
                break;
            }
        }
        return last.map_err(MaterialError::Setting);
    };
    if builder.set_groups_list(list).is_ok() {
        return Ok(());
    }
    let unknown = unknown(list, |probe, name| probe.set_groups_list(name))?;
    let known: Vec<&str> =
        list.split(':').filter(|name| !unknown.iter().any(|other| other == name)).collect();
    if known.is_empty() {
        return Err(MaterialError::Groups);
    }
    builder.set_groups_list(&known.join(":")).map_err(MaterialError::Setting)?;
    notices.push(LoadNotice::UnknownGroups(unknown));
    Ok(())
}

/// The plain names of a list that the library refuses, each tried alone.
fn unknown(
    list: &str,
    set: impl Fn(&mut SslContextBuilder, &str) -> Result<(), ErrorStack>,
) -> Result<Vec<String>, MaterialError> {
    let plain = |name: &&str| {
        !name.is_empty() && !name.starts_with(['!', '-', '+', '@', '?', '*']) && !name.contains('@')
    };
    let mut probe = SslContextBuilder::new(SslMethod::tls()).map_err(MaterialError::Setting)?;
    // What a lowered level would allow is known all the same.
    probe.set_security_level(0);
    let names = list.split([':', ',', ' ']).filter(plain);
    Ok(names.filter(|name| set(&mut probe, name).is_err()).map(str::to_owned).collect())
}
