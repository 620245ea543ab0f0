//! A few threads for answers that take long to make.
//!
//! They yield to those that serve connections: what is small is answered at once however much is
//! being rendered. Who waits for a turn costs no thread, and nothing is done for who has gone.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rustix::process::setpriority_process;
use tokio::sync::{Semaphore, oneshot};

use crate::refusal::Refusal;

type Job = Box<dyn FnOnce() + Send>;

/// How many answers are made at a time.
const THREADS: usize = 2;

/// How much less urgent they are than others: a *nice* value.
const NICENESS: i32 = 10;

/// The threads. They are started when there is something to do and end with this.
#[derive(Debug)]
pub struct Workers {
    turns: Arc<Semaphore>,
    jobs: OnceLock<SyncSender<Job>>,
}

impl Default for Workers {
    fn default() -> Self {
        Self { turns: Arc::new(Semaphore::new(THREADS)), jobs: OnceLock::new() }
    }
}

impl Workers {
    /// Does `work` when its turn has come.
    ///
    /// # Errors
    /// 500 if it panics, or if there is no thread.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let failed = |what: &str| Refusal::internal(format!("an answer was not made: {what}"));
        let turn = Arc::clone(&self.turns).acquire_owned().await;
        let turn = turn.map_err(|_| failed("the threads have ended"))?;
        let (sender, receiver) = oneshot::channel();
        let job = Box::new(move || {
            // To the end, even if nobody waits for it any more.
            let _turn = turn;
            if let Ok(result) = catch_unwind(AssertUnwindSafe(work)) {
                // Nobody may wait.
                let _ = sender.send(result);
            }
        });
        // There is room: as many have a turn as there are threads.
        self.jobs.get_or_init(start).send(job).map_err(|_| failed("there is no thread"))?;
        receiver.await.map_err(|_| failed("it panicked"))
    }
}

fn start() -> SyncSender<Job> {
    let (sender, jobs) = sync_channel(THREADS);
    let jobs = Arc::new(Mutex::new(jobs));
    for n in 0..THREADS {
        let jobs = Arc::clone(&jobs);
        let started =
            std::thread::Builder::new().name(format!("answers-{n}")).spawn(move || serve(&jobs));
        if let Err(error) = started {
            tracing::error!(%error, "a thread for answers was not started");
        }
    }
    sender
}

fn serve(jobs: &Mutex<Receiver<Job>>) {
    // Of this thread, on Linux.
    if let Err(error) = setpriority_process(None, NICENESS) {
        tracing::debug!(%error, "answers are made with the priority of everything else");
    }
    loop {
        let job = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match job {
            Ok(job) => job(),
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[tokio::test]
    async fn so_much_is_done_at_a_time_and_the_rest_waits() {
        let workers = Arc::new(Workers::default());
        let (release, blocked) = mpsc::channel::<()>();
        let blocked = Arc::new(Mutex::new(blocked));
        let hold = || {
            let (workers, blocked) = (Arc::clone(&workers), Arc::clone(&blocked));
            tokio::spawn(async move {
                workers.run(move || drop(blocked.lock().map(|b| b.recv()))).await
            })
        };
        let held: Vec<_> = (0..THREADS).map(|_| hold()).collect();
        while workers.turns.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let mut waiting = Box::pin(workers.run(|| 1));
        assert!(futures_now(&mut waiting).is_none());
        drop(release);
        assert_eq!(waiting.await.unwrap(), 1);
        for one in held {
            one.await.unwrap().unwrap();
        }
    }

    fn futures_now<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        match std::pin::Pin::new(future).poll(&mut cx) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        }
    }

    #[tokio::test]
    async fn a_panic_is_a_failure_of_one() {
        let workers = Workers::default();
        for _ in 0..2 * THREADS {
            workers.run(|| -> () { panic!("as this test wants it") }).await.unwrap_err();
        }
        assert_eq!(workers.run(|| 1).await.unwrap(), 1);
    }
}
