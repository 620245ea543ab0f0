//! Work that would keep a thread of the runtime from everything else.

use tokio::runtime::{Handle, RuntimeFlavor};

/// From how many bytes on a body is worth the change of threads.
const LARGE: usize = 256 * 1024;

/// Does work on `bytes` bytes. If they are many, the other tasks of this thread are taken over by
/// another one meanwhile, where the runtime has several.
pub(crate) fn run<T>(bytes: usize, work: impl FnOnce() -> T) -> T {
    let several =
        Handle::try_current().is_ok_and(|h| h.runtime_flavor() == RuntimeFlavor::MultiThread);
    if bytes > LARGE && several { tokio::task::block_in_place(work) } else { work() }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// With one worker, another task can run during the work only if it was taken over.
    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn other_tasks_go_on_during_work_on_much() {
        let done = tokio::spawn(async {
            let (sender, receiver) = mpsc::channel();
            tokio::spawn(async move { sender.send(()) });
            run(LARGE + 1, || receiver.recv())
        });
        done.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_runtime_of_one_thread_does_it_all_the_same() {
        assert_eq!(run(LARGE + 1, || 1), 1);
    }
}
