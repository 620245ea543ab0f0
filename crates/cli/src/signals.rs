//! The signals that ask a program to end.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Which of them came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// SIGHUP: the terminal is gone.
    Hangup,
    /// SIGINT: Ctrl-C.
    Interrupt,
    /// SIGTERM.
    Terminate,
}

impl End {
    /// 128 plus the signal's number, as shells have it.
    pub(crate) fn exit_status(self) -> u8 {
        match self {
            Self::Hangup => 129,
            Self::Interrupt => crate::exit::INTERRUPTED,
            Self::Terminate => 143,
        }
    }
}

/// From here on the signals no longer end the program by themselves.
#[derive(Debug)]
pub(crate) struct Signals {
    hangup: Signal,
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Takes them over. Within a tokio runtime.
    pub(crate) fn take() -> std::io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// The next one. Nothing is lost when the future is dropped before it is ready.
    pub(crate) async fn next(&mut self) -> End {
        tokio::select! {
            _ = self.hangup.recv() => End::Hangup,
            _ = self.interrupt.recv() => End::Interrupt,
            _ = self.terminate.recv() => End::Terminate,
        }
    }
}
