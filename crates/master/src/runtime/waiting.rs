//! Waiting on a thread of our own, with a deadline and without the runtime's timers: those panic
//! once the runtime ends, and its threads have enough to do.

use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Instant;

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.unpark();
    }
}

/// What `future` comes to, or `None` when the deadline has come first.
pub(super) fn wait_until<F: Future>(future: F, deadline: Option<Instant>) -> Option<F::Output> {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut cx = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut cx) {
            return Some(output);
        }
        let Some(deadline) = deadline else {
            thread::park();
            continue;
        };
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return None;
        }
        thread::park_timeout(left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::sync::oneshot;

    #[test]
    fn what_comes_is_waited_for_and_what_does_not_come_is_not() {
        let (sender, receiver) = oneshot::channel();
        let sending = thread::spawn(move || sender.send(1));
        assert_eq!(wait_until(receiver, None), Some(Ok(1)));
        sending.join().unwrap().unwrap();
        let soon = Instant::now() + Duration::from_millis(5);
        assert_eq!(wait_until(std::future::pending::<()>(), Some(soon)), None);
        assert!(Instant::now() >= soon);
        // What is there is taken although the time is over.
        assert_eq!(wait_until(std::future::ready(1), Some(soon)), Some(1));
    }
}
