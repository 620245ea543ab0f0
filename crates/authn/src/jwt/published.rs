//! What tokens of an identity provider are judged by.

use std::sync::Arc;
use std::time::Duration;

use super::{Jwks, Signatures};
use crate::live::Live;

/// How far the identity provider's clock may be from ours, unless it is said.
pub const LEEWAY: Duration = Duration::from_secs(60);

/// The keys of an identity provider, and for whom its tokens have to be.
#[derive(Clone, Debug)]
pub struct Published {
    /// Its keys, replaced when the file is read again.
    pub keys: Arc<Live<Jwks>>,
    /// What verifies signatures with them.
    pub signatures: Arc<dyn Signatures>,
    /// What has to be among the token's `aud`: `--jwt_audience`. If it is not said, a token for
    /// some named audience is not for us.
    pub audience: Option<String>,
    /// How far the clocks may differ.
    pub leeway: Duration,
}
