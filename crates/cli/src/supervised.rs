//! A daemon's side of its tie to `up`: stdin is the lifeline, stdout takes the one line that says
//! that the daemon is ready.
//!
//! `up` holds the other end of stdin and never writes to it. However `up` ends, the kernel closes
//! that end, and the daemon reads the end of the file. Both ends are moved away from their
//! numbers at once, so that nothing that the daemon starts or prints meets them.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::OwnedFd;

use anyhow::Context as _;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;

/// Both ends, taken from stdin and stdout.
#[derive(Debug)]
pub(crate) struct Ends {
    /// Says that the daemon is ready.
    pub(crate) ready: Ready,
    /// Ends when `up` does.
    pub(crate) lifeline: Lifeline,
}

/// The way to say that the daemon is ready.
#[derive(Debug)]
pub(crate) struct Ready(File);

/// Ends when `up` does.
#[derive(Debug)]
pub(crate) struct Lifeline(OwnedFd);

/// Takes both ends; stdin becomes `/dev/null` and stdout becomes stderr, which `up` has pointed
/// at the daemon's log. To be called once, before anything is printed or started.
pub(crate) fn take_stdio() -> anyhow::Result<Ends> {
    let lifeline = rustix::io::fcntl_dupfd_cloexec(std::io::stdin(), 3)
        .context("--supervised: stdin is not open")?;
    let ready = rustix::io::fcntl_dupfd_cloexec(std::io::stdout(), 3)
        .context("--supervised: stdout is not open")?;
    let null = File::open("/dev/null").context("cannot open /dev/null")?;
    rustix::stdio::dup2_stdin(null)?;
    rustix::stdio::dup2_stdout(std::io::stderr())?;
    Ok(Ends { ready: Ready(File::from(ready)), lifeline: Lifeline(lifeline) })
}

impl Ready {
    /// Writes the line `ready <url>`. That `up` is gone is no error here: the lifeline says so.
    pub(crate) fn say(mut self, url: &str) {
        if let Err(error) = writeln!(self.0, "ready {url}") {
            tracing::warn!(%error, "nobody waits to hear that this daemon is ready");
        }
    }
}

impl Lifeline {
    /// Returns when the other end is closed.
    pub(crate) async fn ended(self) -> std::io::Result<()> {
        let mut pipe = pipe::Receiver::from_owned_fd(self.0)?;
        let mut buffer = [0; 64];
        while pipe.read(&mut buffer).await? > 0 {}
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_lifeline_ends_when_the_other_end_is_closed_and_not_before() {
        let (reader, writer) = std::io::pipe().unwrap();
        let mut ended = Box::pin(Lifeline(OwnedFd::from(reader)).ended());
        let early = futures_poll_once(ended.as_mut()).await;
        assert!(early.is_none());
        drop(writer);
        ended.await.unwrap();
    }

    /// Polls once and says what came of it.
    async fn futures_poll_once<F: Future + Unpin>(mut future: F) -> Option<F::Output> {
        std::future::poll_fn(|cx| {
            std::task::Poll::Ready(match std::pin::Pin::new(&mut future).poll(cx) {
                std::task::Poll::Ready(value) => Some(value),
                std::task::Poll::Pending => None,
            })
        })
        .await
    }
}
