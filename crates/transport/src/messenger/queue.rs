//! What waits for a connection.
//!
//! Each agent has a connection of its own, and as a rule nothing waits for it: a queue that is
//! empty holds no room for messages. (A channel of tokio has room for 32 from the start.)

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::Item;

/// Items from the messenger, in order, for the one task that has the connection.
#[derive(Debug)]
pub(super) struct Queue {
    /// How many items may wait.
    most_items: usize,
    /// How many bytes of messages may wait; one message alone may be longer.
    most_bytes: usize,
    waiting: Mutex<Waiting>,
    came: Notify,
}

#[derive(Debug, Default)]
struct Waiting {
    items: VecDeque<Item>,
    /// What the messages among them take.
    bytes: usize,
    /// Nobody takes anything any more.
    closed: bool,
}

/// The queue takes no more: too much waits in it, or its connection has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refused;

impl Queue {
    pub(super) fn new(most_items: usize, most_bytes: usize) -> Self {
        let (waiting, came) = Default::default();
        Self { most_items: most_items.max(1), most_bytes, waiting, came }
    }

    pub(super) fn put(&self, item: Item) -> Result<(), Refused> {
        let mut waiting = self.waiting();
        let more = item.bytes();
        let fits = more == 0 || waiting.bytes == 0 || waiting.bytes + more <= self.most_bytes;
        if waiting.closed || !fits || waiting.items.len() >= self.most_items {
            return Err(Refused);
        }
        waiting.bytes += more;
        waiting.items.push_back(item);
        drop(waiting);
        self.came.notify_one();
        Ok(())
    }

    /// The first that waits.
    pub(super) fn take(&self) -> Option<Item> {
        let mut waiting = self.waiting();
        let item = waiting.items.pop_front();
        match &item {
            Some(item) => waiting.bytes -= item.bytes(),
            None => waiting.items = VecDeque::new(),
        }
        item
    }

    /// The first that waits or comes. For one task, cancel-safe.
    pub(super) async fn next(&self) -> Item {
        loop {
            if let Some(item) = self.take() {
                return item;
            }
            // What came in between is remembered.
            self.came.notified().await;
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting().items.is_empty()
    }

    /// Takes nothing more from now on.
    pub(super) fn close(&self) {
        self.waiting().closed = true;
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // Nothing panics while it is held.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Item {
    /// What counts against the queue's bound of bytes.
    fn bytes(&self) -> usize {
        match self {
            Self::Message { bytes, .. } => bytes.len(),
            Self::Linked { .. } | Self::Unlinked | Self::Channel { .. } => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::tls::Expected;

    fn message(length: usize) -> Item {
        let (from, to, name) = Default::default();
        let bytes = Bytes::from(vec![0; length]);
        Item::Message { bytes, expected: Expected::Member, from, to, name }
    }

    #[test]
    fn items_and_bytes_are_bounded_but_one_message_may_be_longer() {
        let queue = Queue::new(3, 10);
        assert_eq!(queue.put(message(100)), Ok(()));
        assert_eq!(queue.put(message(1)), Err(Refused));
        assert_eq!(queue.put(Item::Unlinked), Ok(()));
        assert_eq!(queue.take().map(|item| item.bytes()), Some(100));
        assert!(queue.take().is_some());
        for _ in 0..3 {
            assert_eq!(queue.put(message(3)), Ok(()));
        }
        assert_eq!(queue.put(message(1)), Err(Refused));
        assert!(queue.take().is_some());
        queue.close();
        assert_eq!(queue.put(message(1)), Err(Refused));
        assert!(queue.take().is_some() && queue.take().is_some() && queue.is_empty());
    }

    #[tokio::test]
    async fn who_waits_gets_what_comes_and_an_empty_queue_holds_nothing() {
        let queue = std::sync::Arc::new(Queue::new(100, 1000));
        let waits = tokio::spawn({
            let queue = std::sync::Arc::clone(&queue);
            async move { [queue.next().await.bytes(), queue.next().await.bytes()] }
        });
        tokio::task::yield_now().await;
        queue.put(message(1)).unwrap();
        queue.put(message(2)).unwrap();
        assert_eq!(waits.await.unwrap(), [1, 2]);
        assert!(queue.take().is_none());
        assert_eq!(queue.waiting().items.capacity(), 0);
        assert!(size_of::<Queue>() <= 128, "{}", size_of::<Queue>());
    }
}
