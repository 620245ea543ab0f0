//! What a task prints, while it runs: read from the files in its sandbox on the agent.

use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::screen::Stream;
use crate::client::{ReadError, Sandbox};

/// Between two looks at a file that grows.
const SOON: Duration = Duration::from_millis(50);
/// Between two looks at a file that does not grow.
const LATER: Duration = Duration::from_millis(400);
/// How long an agent that does not answer is asked on after the task has ended.
const PATIENCE: Duration = Duration::from_secs(10);

/// A piece of output, or why no more comes.
#[derive(Debug)]
pub(crate) enum Piece {
    Bytes(Stream, Vec<u8>),
    /// The file was not read to its end.
    Cut(Stream, ReadError),
}

/// Reads the file from its beginning and sends on what it holds, until `ended` says true (the
/// task writes no more) and everything was read.
pub(crate) async fn follow(
    mut sandbox: Sandbox,
    stream: Stream,
    mut ended: watch::Receiver<bool>,
    pieces: mpsc::Sender<Piece>,
) {
    let mut offset = 0_u64;
    let mut pause = SOON;
    let mut failing: Option<tokio::time::Instant> = None;
    loop {
        // Before the read: what the task wrote before it ended is seen by a read after it ended.
        let over = *ended.borrow_and_update();
        match sandbox.read(stream.file(), offset).await {
            Ok(bytes) if !bytes.is_empty() => {
                failing = None;
                pause = SOON;
                offset += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                if pieces.send(Piece::Bytes(stream, bytes)).await.is_err() {
                    return;
                }
                continue;
            }
            Ok(_) if over => return,
            Ok(_) => failing = None,
            // While the task runs, the agent may be on its way back.
            Err(_) if !over => {}
            Err(error) => {
                let since = *failing.get_or_insert_with(tokio::time::Instant::now);
                if error.is_final() || since.elapsed() >= PATIENCE {
                    let _ = pieces.send(Piece::Cut(stream, error)).await;
                    return;
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(LATER),
            changed = ended.changed(), if !over => {
                if changed.is_err() {
                    return;
                }
            }
        }
    }
}
