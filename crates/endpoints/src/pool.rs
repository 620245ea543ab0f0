//! A few threads for work that takes long, with a deadline.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use authn::throttle::subscriber;

use tokio::sync::Semaphore;
use tokio::time::timeout;

/// How much of it goes on at the same time.
const AT_A_TIME: usize = 2;
/// How much waits for that.
const WAITING: usize = 64;
/// How much of it, running or waiting, one address may cause: the others get their turn.
const OF_ONE_ADDRESS: usize = 4;
/// How long one may wait, and then work, at most.
const DEADLINE: Duration = Duration::from_secs(10);

/// Work that blocks or computes for long, some at a time: what strangers cause by it is bounded.
#[derive(Debug)]
pub(crate) struct Pool {
    running: Arc<Semaphore>,
    admitted: Arc<Semaphore>,
    by_address: Arc<ByAddress>,
    deadline: Duration,
}

/// How much is admitted of each address that has anything admitted.
type ByAddress = Mutex<HashMap<[u8; 16], usize>>;

/// One of the places that an address has, until this is dropped.
#[derive(Debug)]
struct Place {
    of: Arc<ByAddress>,
    address: [u8; 16],
}

impl Place {
    fn take(of: &Arc<ByAddress>, address: IpAddr) -> Option<Self> {
        let address = subscriber(address);
        let mut taken = of.lock().unwrap_or_else(PoisonError::into_inner);
        let own = taken.entry(address).or_default();
        if *own >= OF_ONE_ADDRESS {
            return None;
        }
        *own += 1;
        drop(taken);
        Some(Self { of: Arc::clone(of), address })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = taken.get_mut(&self.address) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.address);
            }
        }
    }
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
            by_address: Arc::default(),
            deadline,
        }
    }

    /// Does `work` for a request from `address` on a thread of its own.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        address: IpAddr,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, PoolError> {
        let own = Place::take(&self.by_address, address).ok_or(PoolError::Busy)?;
        let place = Arc::clone(&self.admitted).try_acquire_owned();
        let place = place.map_err(|_| PoolError::Busy)?;
        let turn = timeout(self.deadline, Arc::clone(&self.running).acquire_owned()).await;
        let Ok(Ok(turn)) = turn else { return Err(PoolError::Busy) };
        let working = tokio::task::spawn_blocking(move || {
            // Held to the end, even if nobody waits for it any more.
            let _held = (own, place, turn);
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

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[tokio::test]
    async fn what_blocks_for_ever_is_late_and_keeps_its_place() {
        // The real clock: a paused one stands still while any thread is at work.
        let pool = Pool::new(1, 1, Duration::from_millis(50));
        let (release, blocked) = mpsc::channel::<()>();
        assert_eq!(pool.run(HERE, move || blocked.recv()).await, Err(PoolError::Late));
        // One may wait for the thread, in vain; a second one may not even wait.
        let (waited, refused) = tokio::join!(pool.run(HERE, || 1), pool.run(HERE, || 2));
        assert_eq!((waited, refused), (Err(PoolError::Busy), Err(PoolError::Busy)));
        drop(release);
        let freed = pool.running.acquire().await.unwrap();
        drop(freed);
        assert_eq!(pool.run(HERE, || 3).await, Ok(3));
    }

    /// Row A9: what one address causes keeps nobody else out.
    #[tokio::test]
    async fn attack_a9_one_address_does_not_take_all_places() {
        let pool = Arc::new(Pool::default());
        let (release, blocked) = mpsc::channel::<()>();
        let blocked = Arc::new(Mutex::new(blocked));
        let blocking = || {
            let (pool, blocked) = (Arc::clone(&pool), Arc::clone(&blocked));
            tokio::spawn(async move {
                let wait = move || blocked.lock().map(|b| b.recv()).is_ok();
                pool.run("10.0.0.1".parse().unwrap(), wait).await
            })
        };
        let held: Vec<_> = (0..OF_ONE_ADDRESS).map(|_| blocking()).collect();
        while pool.by_address.lock().unwrap().values().sum::<usize>() < OF_ONE_ADDRESS {
            tokio::task::yield_now().await;
        }
        let refused = pool.run("10.0.0.1".parse().unwrap(), || 1).await;
        assert_eq!(refused, Err(PoolError::Busy));
        let other = Arc::clone(&pool);
        let other = tokio::spawn(async move { other.run("10.0.0.2".parse().unwrap(), || 1).await });
        // It has a place while the first address holds all of its own.
        while pool.by_address.lock().unwrap().len() < 2 {
            tokio::task::yield_now().await;
        }
        drop(release);
        assert_eq!(other.await.unwrap(), Ok(1));
        for one in held {
            assert_eq!(one.await.unwrap(), Ok(true));
        }
        assert!(pool.by_address.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_panic_is_a_failure_of_one() {
        let pool = Pool::new(1, 0, Duration::from_secs(60));
        let failed = pool.run(HERE, || panic!("as this test wants it")).await;
        assert_eq!(failed, Err::<(), _>(PoolError::Panicked));
        assert_eq!(pool.run(HERE, || 1).await, Ok(1));
    }
}
