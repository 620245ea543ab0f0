//! The session beneath a [`Run`](super::run::Run): notices out, calls in, without the one ever
//! waiting for the other.

use std::time::Duration;

use scheduler::{CallError, Config, Notice, Notices, Scheduler, SessionError};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use wire::v1::scheduler::{Call, call};

/// How long the last calls may take.
const FAREWELL: Duration = Duration::from_secs(5);

/// How many calls wait to be made.
const MOST_CALLS: usize = 4096;

/// A session that is being driven.
#[derive(Debug)]
pub(crate) struct Drive {
    notices: Notices,
    calls: mpsc::Sender<Call>,
    failures: mpsc::Receiver<Failed>,
    sender: JoinHandle<()>,
}

/// A call that was not accepted.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) kind: call::Type,
    pub(crate) error: CallError,
}

/// What comes from the session.
#[derive(Debug)]
pub(crate) enum Happening {
    Failed(Failed),
    Notice(Notice),
}

impl Drive {
    /// Subscribes.
    pub(crate) fn start(config: Config) -> Self {
        let (scheduler, notices) = scheduler::start(config);
        let (calls, queue) = mpsc::channel(MOST_CALLS);
        let (failed, failures) = mpsc::channel(MOST_CALLS);
        let sender = tokio::spawn(send(scheduler, queue, failed));
        Self { notices, calls, failures, sender }
    }

    /// The next thing to react to. Nothing is lost when the future is dropped before it is ready.
    pub(crate) async fn happening(&mut self) -> Result<Happening, SessionError> {
        tokio::select! {
            Some(failed) = self.failures.recv() => Ok(Happening::Failed(failed)),
            notice = self.notices.next() => match notice {
                Some(Ok(notice)) => Ok(Happening::Notice(notice)),
                Some(Err(error)) => Err(error),
                // The sender holds the session until we are dropped.
                None => std::future::pending().await,
            },
        }
    }

    /// Makes a call when those before it are made.
    pub(crate) fn call(&self, call: Call) {
        // A master that sends offers faster than it takes their declining gets no more of it; one
        // whose session is gone says so through `happening`.
        let _ = self.calls.try_send(call);
    }

    /// Makes the calls that are still to be made, and leaves.
    pub(crate) async fn finish(self) {
        let Self { calls, sender, notices, failures } = self;
        drop(calls);
        let _ = tokio::time::timeout(FAREWELL, sender).await;
        drop((notices, failures));
    }
}

async fn send(scheduler: Scheduler, mut queue: mpsc::Receiver<Call>, failed: mpsc::Sender<Failed>) {
    while let Some(call) = queue.recv().await {
        let kind = call.r#type();
        let mut outcome = scheduler.call(call.clone()).await;
        // A broken connection leaves open whether the call arrived. These may arrive twice.
        let repeatable = matches!(
            kind,
            call::Type::Acknowledge
                | call::Type::Kill
                | call::Type::Reconcile
                | call::Type::Teardown
        );
        if repeatable && matches!(outcome, Err(CallError::Unanswered(_))) {
            outcome = scheduler.call(call).await;
        }
        if let Err(error) = outcome {
            let _ = failed.send(Failed { kind, error }).await;
        }
    }
}
