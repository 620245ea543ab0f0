//! `alcazar logs`.

use anyhow::{Context as _, bail};
use clap::Args;
use tokio::sync::{mpsc, watch};

use super::{list, text};
use crate::client::Client;
use crate::exit::Failure;
use crate::printer::write_stdout;
use crate::task::output::{Piece, follow};
use crate::task::run::is_terminal_name;
use crate::task::screen::Stream;

/// How often the state of a task is asked for, while its output is followed.
const STATE_INTERVAL: std::time::Duration = std::time::Duration::from_secs(1);

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The task's id, or its beginning if only one begins so
    #[arg(value_name = "TASK")]
    task: String,
    /// Go on until the task has ended
    #[arg(long, short)]
    follow: bool,
    /// stderr instead of stdout
    #[arg(long)]
    stderr: bool,
}

/// Prints what the task printed.
pub(crate) async fn run(options: &Options, client: &mut Client) -> anyhow::Result<()> {
    let tasks = list(&client.get("/tasks").await?, "tasks");
    let task = crate::find::task(&tasks, &options.task)?;
    let id = text(task, "id").to_owned();
    let framework = text(task, "framework_id").to_owned();
    let executor = match text(task, "executor_id") {
        "" => id.clone(),
        executor => executor.to_owned(),
    };
    let agent = text(task, "slave_id");
    let agents = list(&client.get("/slaves").await?, "slaves");
    let place = agents
        .iter()
        .find(|a| text(a, "id") == agent)
        .and_then(|a| text(a, "pid").split_once('@'))
        .and_then(|(_, place)| place.rsplit_once(':'))
        .and_then(|(host, port)| Some((host.to_owned(), port.parse().ok()?)));
    let Some((host, port)) = place else {
        bail!(Failure::NotFound(format!("the agent {agent} of task `{id}` is not there")));
    };
    let sandbox = client.sandbox((&host, port), &framework, &executor);
    let over = !options.follow || is_terminal_name(text(task, "state"));
    let (ended, watched) = watch::channel(over);
    let stream = if options.stderr { Stream::Stderr } else { Stream::Stdout };
    let (pieces, mut inbox) = mpsc::channel(16);
    tokio::spawn(follow(sandbox, stream, watched, pieces));
    let mut look = tokio::time::interval(STATE_INTERVAL);
    loop {
        tokio::select! {
            piece = inbox.recv() => match piece {
                Some(Piece::Bytes(_, bytes)) => write_stdout(&bytes)?,
                Some(Piece::Cut(_, error)) if error.is_not_found() => bail!(Failure::NotFound(
                    format!("task `{id}` has no {} on {host}:{port}", stream.file())
                )),
                Some(Piece::Cut(_, error)) => {
                    return Err(error).with_context(|| format!("cannot read what `{id}` printed"));
                }
                None => return Ok(()),
            },
            _ = look.tick(), if !*ended.borrow() => {
                // A master that is away for a moment does not end the reading.
                let Ok(answer) = client.get("/tasks").await else { continue };
                let tasks = list(&answer, "tasks");
                let state = tasks
                    .iter()
                    .find(|t| text(t, "id") == id && text(t, "framework_id") == framework)
                    .map_or("", |t| text(t, "state"));
                if state.is_empty() || is_terminal_name(state) {
                    ended.send_replace(true);
                }
            }
        }
    }
}
