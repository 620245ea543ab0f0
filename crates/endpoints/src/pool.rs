//! A few threads for work that takes long, with a deadline.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;

/// How much of it goes on at the same time.
const AT_A_TIME: usize = 2;
/// How much waits for that.
const WAITING: usize = 64;
/// How long one may wait, and then work, at most.
const DEADLINE: Duration = Duration::from_secs(10);

/// Work that blocks or computes for long, some at a time: what strangers cause by it is bounded.
#[derive(Debug)]
pub(crate) struct Pool {
    running: Arc<Semaphore>,
    admitted: Arc<Semaphore>,
    deadline: Duration,
}

/// Why work was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PoolError {
    /// There is too much of it.
    #[error("the authenticators are busy")]
    Busy,
    /// It was begun, and takes too long. Its thread stays occupied until it ends.
    #[error("the authenticator did not answer within {} s", DEADLINE.as_secs())]
    Late,
    /// It panicked.
    #[error("the authenticator failed unexpectedly")]
    Panicked,
}

impl Default for Pool {
    fn default() -> Self {
        Self::new(AT_A_TIME, WAITING, DEADLINE)
    }
}

impl Pool {
    fn new(at_a_time: usize, waiting: usize, deadline: Duration) -> Self {
        Self {
            running: Arc::new(Semaphore::new(at_a_time)),
            admitted: Arc::new(Semaphore::new(at_a_time + waiting)),
            deadline,
        }
    }

    /// Does `work` on a thread of its own.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, PoolError> {
        let place = Arc::clone(&self.admitted).try_acquire_owned();
        let place = place.map_err(|_| PoolError::Busy)?;
        let turn = timeout(self.deadline, Arc::clone(&self.running).acquire_owned()).await;
        let Ok(Ok(turn)) = turn else { return Err(PoolError::Busy) };
        let working = tokio::task::spawn_blocking(move || {
            // Held to the end, even if nobody waits for it any more.
            let _held = (place, turn);
            work()
        });
        match timeout(self.deadline, working).await {
            Ok(done) => done.map_err(|_| PoolError::Panicked),
            Err(_) => Err(PoolError::Late),
        }
    }
}

#[cfg(test)]
mod authn_pool {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn what_blocks_for_ever_is_late_and_keeps_its_place() {
        // The real clock: a paused one stands still while any thread is at work.
        let pool = Pool::new(1, 1, Duration::from_millis(50));
        let (release, blocked) = mpsc::channel::<()>();
        assert_eq!(pool.run(move || blocked.recv()).await, Err(PoolError::Late));
        // One may wait for the thread, in vain; a second one may not even wait.
        let (waited, refused) = tokio::join!(pool.run(|| 1), pool.run(|| 2));
        assert_eq!((waited, refused), (Err(PoolError::Busy), Err(PoolError::Busy)));
        drop(release);
        let freed = pool.running.acquire().await.unwrap();
        drop(freed);
        assert_eq!(pool.run(|| 3).await, Ok(3));
    }

    #[tokio::test]
    async fn a_panic_is_a_failure_of_one() {
        let pool = Pool::new(1, 0, Duration::from_secs(60));
        let failed = pool.run(|| panic!("as this test wants it")).await;
        assert_eq!(failed, Err::<(), _>(PoolError::Panicked));
        assert_eq!(pool.run(|| 1).await, Ok(1));
    }
}
