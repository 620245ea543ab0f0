//! Values that both ends of a TLS connection can compute, and nobody else: what ties an exchange,
//! or a later message, to the connection.

use libprocess::sender::ChannelSecret;
use openssl::error::ErrorStack;
use openssl::ssl::{SslRef, SslVersion};

/// The label of the channel binding `tls-exporter` (RFC 9266).
const CHANNEL_BINDING: &str = "EXPORTER-Channel-Binding";
/// The label of the value that goes into keys of sessions. Another one, since channel bindings
/// are shown to whoever takes part in an exchange.
const SESSION: &str = "EXPORTER-Alcazar-Session";

/// What is exported from one connection.
#[derive(Debug)]
pub(super) struct Exported {
    /// The channel binding.
    pub(super) binding: [u8; 32],
    /// What keys of sessions are made of.
    pub(super) secret: ChannelSecret,
}

impl Exported {
    /// Computes both, after the handshake. `None` where they would not be unique to the
    /// connection: before TLS 1.3 whoever stands in the middle can give two connections the same
    /// keys, unless both ends put the whole handshake into them (RFC 7627). A resumed connection
    /// has what the one had that it resumes.
    pub(super) fn of(ssl: &SslRef) -> Result<Option<Self>, ErrorStack> {
        let unique = match ssl.version2() {
            Some(SslVersion::TLS1_3) => true,
            Some(SslVersion::TLS1_2) => ssl.extms_support() == Some(true),
            _ => false,
        };
        if !unique {
            return Ok(None);
        }
        // An empty context, which before TLS 1.3 is not the same as none.
        let context: Option<&[u8]> = Some(b"");
        let mut binding = [0; 32];
        ssl.export_keying_material(&mut binding, CHANNEL_BINDING, context)?;
        let mut secret = [0; 32];
        ssl.export_keying_material(&mut secret, SESSION, context)?;
        Ok(Some(Self { binding, secret: ChannelSecret::new(secret) }))
    }
}
