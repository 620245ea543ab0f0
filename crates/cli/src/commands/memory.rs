//! What a daemon does with memory that it does not need any more.

use tikv_jemalloc_ctl::{Access as _, AsName as _, Result, background_thread};

/// How long memory that is free is kept for whoever wants some next, in milliseconds. The
/// allocator's own default is ten seconds.
const KEPT: isize = 1_000;
/// For arenas that are made from now on, and for the one that there is when a program begins.
const KEYS: [&[u8]; 2] = [b"arenas.dirty_decay_ms\0", b"arena.0.dirty_decay_ms\0"];

/// Has the allocator give back to the system what has been free for a while, on threads of its
/// own. Without them it looks for such memory only when somebody allocates: a daemon that has had
/// a storm behind it, and is at rest, would keep all that the storm took.
///
/// Daemons call it when they begin. It is not compiled into the allocator, because executors must
/// be of one thread at that time.
pub(crate) fn give_back() {
    if let Err(error) = tell() {
        tracing::warn!(%error, "memory that is free is given back late");
    }
}

fn tell() -> Result<()> {
    for key in KEYS {
        key.name().write(KEPT)?;
    }
    background_thread::write(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_free_is_given_back_soon_and_in_the_background() {
        tell().unwrap();
        assert!(background_thread::read().unwrap());
        for key in KEYS {
            let kept: isize = key.name().read().unwrap();
            assert_eq!(kept, KEPT);
        }
    }
}
