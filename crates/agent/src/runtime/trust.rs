//! What executors get to recognize the agent.

use std::sync::Arc;

use endpoints::tls::Tls;
use tls_policy::ServerTrust;
use tokio::sync::watch;
use transport::tls::Security;

use super::AgentError;
use super::inbox::Inbox;
use crate::engine::event::Event;

/// What an executor that is started now gets. In plaintext it has nothing to recognize the agent
/// by; its token lets it prove itself all the same, also after a restart with TLS.
pub(super) fn of(security: &Security) -> Result<ServerTrust, AgentError> {
    match security {
        Security::DangerPlaintext => Ok(ServerTrust::plaintext()),
        Security::Tls(contexts) => contexts.server_trust().ok_or(AgentError::NoExecutorTrust),
    }
}

/// Tells the engine when executors need something else: the agent has other roots now.
/// `replaced` is older than what they get now, so that no change falls in between.
pub(super) async fn follow(tls: Arc<Tls>, mut replaced: watch::Receiver<u64>, inbox: Inbox) {
    while replaced.changed().await.is_ok() {
        let trust = match of(tls.security()) {
            Ok(trust) => trust,
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
