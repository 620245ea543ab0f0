//! Keeps a daemon running: one that dies is started again, ever more slowly while it keeps dying.

use std::process::ExitStatus;
use std::time::Duration;

use scheduler::backoff::Backoff;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::daemon::{Daemon, Spec};

/// A daemon that ran this long was well: the next restart comes at once again.
const WELL: Duration = Duration::from_secs(60);

/// What happened to a daemon.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// It died and is started again after the delay.
    Died { name: String, why: String, last_words: Option<String>, retry_in: Duration },
    /// It is ready again.
    Back { name: String, pid: Option<u32> },
    /// It did not end when its lifeline did, and was killed.
    Killed { name: String },
}

/// Watches over `daemon`, which is ready, until `stop` says true or its sender is gone; then ends
/// it.
pub(crate) async fn supervise(
    spec: Spec,
    daemon: Daemon,
    mut stop: watch::Receiver<bool>,
    reports: mpsc::Sender<Report>,
) {
    let mut backoff = Backoff::new(
        Duration::from_millis(200),
        Duration::from_secs(30),
        std::process::id().into(),
    );
    let mut running = Ok(daemon);
    loop {
        let started = Instant::now();
        let (why, last_words) = match &mut running {
            Ok(daemon) => {
                let status = tokio::select! {
                    biased;
                    () = told(&mut stop) => break,
                    status = daemon.ended() => status,
                };
                (describe(status), daemon.last_words())
            }
            Err(error) => (format!("could not be started: {error:#}"), None),
        };
        if started.elapsed() >= WELL {
            backoff.reset();
        }
        let retry_in = backoff.next_delay();
        let report = Report::Died { name: spec.name.clone(), why, last_words, retry_in };
        let _ = reports.send(report).await;
        tokio::select! {
            biased;
            () = told(&mut stop) => return,
            () = tokio::time::sleep(retry_in) => {}
        }
        running = Daemon::start(&spec);
        let Ok(daemon) = &mut running else { continue };
        tokio::select! {
            biased;
            () = told(&mut stop) => break,
            // One that ends instead of getting ready is seen to have ended by the next round.
            ready = daemon.ready() => if ready.is_some() {
                let back = Report::Back { name: spec.name.clone(), pid: daemon.pid() };
                let _ = reports.send(back).await;
            },
        }
    }
    if let Ok(daemon) = running
        && !matches!(daemon.stop().await, Ok(false))
    {
        let _ = reports.send(Report::Killed { name: spec.name }).await;
    }
}

/// Returns when `stop` says true or nobody is left to say it.
async fn told(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// How a process ended, in words.
pub(crate) fn describe(status: std::io::Result<ExitStatus>) -> String {
    use std::os::unix::process::ExitStatusExt as _;
    match status {
        Ok(status) => match (status.code(), status.signal()) {
            (Some(code), _) => format!("ended with status {code}"),
            (None, Some(signal)) => format!("was ended by signal {signal}"),
            (None, None) => "ended".to_owned(),
        },
        Err(error) => format!("cannot be waited for: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_daemon_that_dies_comes_back_and_stops_when_told() {
        let temp = tempfile::tempdir().unwrap();
        let spec = Spec {
            name: "agent-1".into(),
            program: "/bin/sh".into(),
            args: vec!["-c".into(), "echo ready u; cat >/dev/null".into()],
            log: temp.path().join("d.log"),
            audit: temp.path().join("audit.log"),
        };
        let mut daemon = Daemon::start(&spec).unwrap();
        daemon.ready().await.unwrap();
        let first = daemon.pid().unwrap();
        let (stop, stopped) = watch::channel(false);
        let (reports, mut inbox) = mpsc::channel(8);
        let task = tokio::spawn(supervise(spec, daemon, stopped, reports));

        let pid = rustix::process::Pid::from_raw(i32::try_from(first).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
        let Some(Report::Died { name, why, retry_in, .. }) = inbox.recv().await else {
            panic!("no report of the death")
        };
        assert_eq!((name.as_str(), why.as_str()), ("agent-1", "was ended by signal 9"));
        assert!(retry_in <= Duration::from_millis(200));
        let Some(Report::Back { pid: Some(second), .. }) = inbox.recv().await else {
            panic!("no report of the return")
        };
        assert_ne!(first, second);

        stop.send(true).unwrap();
        task.await.unwrap();
        assert_eq!(inbox.recv().await, None, "it ended by its lifeline alone");
    }
}
