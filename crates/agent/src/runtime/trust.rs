//! What executors get to recognize the agent.

use std::sync::Arc;

use endpoints::tls::Tls;
use tls_policy::ServerTrust;
use transport::tls::Security;

use super::AgentError;
use super::inbox::Inbox;
use crate::engine::event::Event;

/// What an executor that is started now gets; nothing in plaintext.
pub(super) fn of(security: &Security) -> Result<Option<ServerTrust>, AgentError> {
    match security {
        Security::DangerPlaintext => Ok(None),
        Security::Tls(contexts) => {
            contexts.server_trust().map(Some).ok_or(AgentError::NoExecutorTrust)
        }
    }
}

/// Tells the engine when executors need something else: the agent has other roots now.
pub(super) async fn follow(tls: Arc<Tls>, inbox: Inbox) {
    let mut replaced = tls.replaced();
    while replaced.changed().await.is_ok() {
        let trust = match of(tls.security()) {
            Ok(Some(trust)) => trust,
            Ok(None) => continue,
            Err(error) => {
                tracing::error!(%error, "new executors get what they got before");
                continue;
            }
        };
        if inbox.put(Event::TrustChanged(trust)).await.is_err() {
            return;
        }
    }
}
