//! A task as a person waits for it: its launch, its output, its end, and the signals of the one
//! who waits.

use std::time::Duration;

use anyhow::{Context as _, bail};
use scheduler::CallError;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use wire::v1::scheduler::call;
use wire::v1::{Resource, TaskInfo, TaskState};

use super::capacity::some_agent_is_large_enough;
use super::drive::{Drive, Failed, Happening};
use super::output::{Piece, follow};
use super::run::{Placement, Run, Step};
use super::screen::{Screen, Stream};
use crate::client::Client;
use crate::exit;
use crate::printer::Tone;
use crate::signals::{End, Signals};

/// Why we killed the task ourselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum KilledFor {
    Signal(End),
    Timeout,
}

impl KilledFor {
    fn exit_status(self) -> u8 {
        match self {
            Self::Signal(end) => end.exit_status(),
            Self::Timeout => exit::TIMEOUT,
        }
    }
}

/// One task on its way.
pub(crate) struct Execution<'a> {
    client: &'a mut Client,
    task_id: String,
    /// What the task needs, as it was written and as it was read.
    wanted: &'a str,
    needs: Vec<Resource>,
    run: Run,
    drive: Drive,
    screen: Screen,
    signals: Signals,
    pieces: mpsc::Sender<Piece>,
    inbox: mpsc::Receiver<Piece>,
    /// Says true when the task has ended: what the readers read from then on is all.
    ended: watch::Sender<bool>,
    readers: Vec<JoinHandle<()>>,
    killed_for: Option<KilledFor>,
    /// Where the task went, until its output is read there.
    placement: Option<Placement>,
    /// Whether the user knows that no offer fits yet.
    waited: bool,
    /// Whether an offer was too small since we last asked how large agents are.
    passed: bool,
}

impl<'a> Execution<'a> {
    /// The task, its resources as they were written, and what it runs over.
    pub(crate) fn new(
        task: TaskInfo,
        wanted: &'a str,
        client: &'a mut Client,
        drive: Drive,
        screen: Screen,
        signals: Signals,
    ) -> Self {
        let (pieces, inbox) = mpsc::channel(16);
        Self {
            client,
            task_id: task.task_id.value.clone(),
            wanted,
            needs: task.resources.clone(),
            run: Run::new(task),
            drive,
            screen,
            signals,
            pieces,
            inbox,
            ended: watch::Sender::new(false),
            readers: Vec::new(),
            killed_for: None,
            placement: None,
            waited: false,
            passed: false,
        }
    }

    /// Follows the task to its end and says with which exit status to end.
    pub(crate) async fn run(mut self, timeout: Option<Duration>) -> anyhow::Result<u8> {
        let deadline = timeout.map(|t| tokio::time::Instant::now() + t);
        let outcome = self.until_ended(deadline).await;
        // The calls that are still to be made come first: what the agent hears, it need not
        // repeat. The last one ends the framework, whatever became of the task.
        self.drive.call(scheduler::teardown());
        let read = match &outcome {
            Ok(_) => self.rest_of_output().await,
            Err(_) => Ok(()),
        };
        let Self { drive, mut screen, run, task_id, killed_for, .. } = self;
        drive.finish().await;
        screen.close();
        outcome?;
        read?;
        let Some(status) = run.status() else {
            return Ok(killed_for.map_or(exit::EXECUTE_FAILED, KilledFor::exit_status));
        };
        let state = status.state().as_str_name();
        let mut line = format!("{task_id}: {state}");
        if !matches!(exit::of_task(status), Some(exit::SUCCESS)) && !status.message().is_empty() {
            line = format!("{line}: {}", status.message());
        }
        screen.say(&line, Tone::of_task_state(state));
        let killed = status.state() == TaskState::TaskKilled;
        match killed_for {
            Some(why) if killed => Ok(why.exit_status()),
            _ => Ok(exit::of_task(status).unwrap_or(exit::EXECUTE_FAILED)),
        }
    }

    /// Until every task has ended, or there is no use in waiting any longer.
    async fn until_ended(
        &mut self,
        mut deadline: Option<tokio::time::Instant>,
    ) -> anyhow::Result<()> {
        loop {
            let steps = tokio::select! {
                happening = self.drive.happening() => match happening? {
                    Happening::Notice(notice) => self.run.handle(notice),
                    Happening::Failed(failed) => {
                        self.failed(&failed)?;
                        Vec::new()
                    }
                },
                Some(piece) = self.inbox.recv() => {
                    self.print(piece)?;
                    continue;
                },
                end = self.signals.next() => {
                    if self.killed_for.replace(KilledFor::Signal(end)).is_some() {
                        self.screen.say("not waiting for the task any longer", Tone::Warn);
                        return Ok(());
                    }
                    self.screen.progress("killing the task; once more to stop waiting for it");
                    self.run.kill()
                },
                () = super::at(deadline) => {
                    deadline = None;
                    self.killed_for.get_or_insert(KilledFor::Timeout);
                    self.screen.progress("the time is over, killing the task");
                    self.run.kill()
                },
            };
            for step in steps {
                if self.step(step) {
                    return Ok(());
                }
            }
            if std::mem::take(&mut self.passed) {
                let checked = some_agent_is_large_enough(self.client, &self.needs).await;
                // A master that has just gone away is the session's affair.
                if checked.as_ref().is_err_and(|e| exit::status_of(e) != exit::NO_CLUSTER) {
                    return checked;
                }
            }
        }
    }

    /// A call was not accepted.
    fn failed(&mut self, failed: &Failed) -> anyhow::Result<()> {
        if failed.kind != call::Type::Accept {
            return Ok(());
        }
        match &failed.error {
            CallError::NotSubscribed | CallError::Busy => self.run.accept_refused(),
            CallError::Refused { .. } => bail!("the master refused the launch: {}", failed.error),
            // Whether it arrived is known after the next subscription.
            CallError::Unanswered(_) | CallError::Over => {}
        }
        Ok(())
    }

    /// Does what the run says; whether it has ended.
    fn step(&mut self, step: Step) -> bool {
        match step {
            Step::Call(call) => self.drive.call(*call),
            Step::Done => return true,
            Step::Lost { reason } => {
                self.screen.progress(&format!("cannot reach the master, trying again: {reason}"));
            }
            Step::Passed { hostname } => {
                self.passed = true;
                if !std::mem::replace(&mut self.waited, true) {
                    let wanted = self.wanted;
                    let text = format!("waiting: {hostname} offers less than {wanted}");
                    self.screen.say(&text, Tone::Warn);
                }
                self.screen.progress(&format!("waiting for {}", self.wanted));
            }
            Step::Placed(placement) => {
                self.screen.progress(&format!("{} goes to {}", self.task_id, placement.hostname));
                self.placement = Some(*placement);
            }
            Step::Subscribed(framework) => {
                if !self.run.is_placed() {
                    let text = format!("waiting for {} ({})", self.wanted, framework.value);
                    self.screen.progress(&text);
                }
            }
            Step::Updated(status) => {
                let state = status.state().as_str_name();
                self.screen.progress(&format!("{}: {state}", self.task_id));
                // From the first status on there is a sandbox, if there will be one.
                if let Some(placement) = self.placement.take() {
                    self.read_output(&placement);
                }
            }
        }
        false
    }

    /// Starts to read what the task prints, on the agent that it was sent to.
    fn read_output(&mut self, placement: &Placement) {
        let Some(address) = placement.url.as_ref().map(|url| &url.address) else {
            self.screen.say("the offer does not say where the agent is: no output", Tone::Warn);
            return;
        };
        let Ok(port) = u16::try_from(address.port) else { return };
        let host = address.ip.as_deref().or(address.hostname.as_deref()).unwrap_or_default();
        for stream in [Stream::Stdout, Stream::Stderr] {
            // A command task is its own executor and gives it its id.
            let framework = &placement.framework_id.value;
            let sandbox = self.client.sandbox((host, port), framework, &self.task_id);
            let (ended, pieces) = (self.ended.subscribe(), self.pieces.clone());
            self.readers.push(tokio::spawn(follow(sandbox, stream, ended, pieces)));
        }
    }

    /// Prints what the task printed before it ended and we have not read yet.
    async fn rest_of_output(&mut self) -> anyhow::Result<()> {
        if self.run.status().is_none() {
            // It never ran: there is nothing to read.
            self.readers.iter().for_each(JoinHandle::abort);
        }
        self.ended.send_replace(true);
        let readers = std::mem::take(&mut self.readers);
        let all_read = async {
            for reader in readers {
                let _ = reader.await;
            }
        };
        tokio::pin!(all_read);
        loop {
            tokio::select! {
                biased;
                Some(piece) = self.inbox.recv() => self.print(piece)?,
                () = &mut all_read => break,
                _ = self.signals.next() => break,
            }
        }
        while let Ok(piece) = self.inbox.try_recv() {
            self.print(piece)?;
        }
        Ok(())
    }

    fn print(&mut self, piece: Piece) -> anyhow::Result<()> {
        match piece {
            Piece::Bytes(stream, bytes) => self
                .screen
                .output(stream, &bytes)
                .with_context(|| format!("cannot write to {}", stream.file())),
            // A task that never started printed nothing.
            Piece::Cut(_, error) if error.is_not_found() => Ok(()),
            Piece::Cut(stream, error) => {
                let error = anyhow::Error::new(error);
                let text =
                    format!("the rest of the task's {} is missing: {error:#}", stream.file());
                self.screen.say(&text, Tone::Warn);
                Ok(())
            }
        }
    }
}
