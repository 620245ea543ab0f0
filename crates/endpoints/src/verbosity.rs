//! How much the program writes to its log: more for a while, when an operator says so.
//!
//! A program has one log, so that this is one thing for the whole process. Level 0 is what it was
//! started with, 1 says more, 2 and above say all that there is to say of our own code.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::task::JoinHandle;

/// What makes the log say more or less.
type Apply = Box<dyn Fn(u32) + Send + Sync>;

/// The level, and what brings it back.
struct State {
    level: u32,
    back: Option<JoinHandle<()>>,
}

static APPLY: OnceLock<Apply> = OnceLock::new();
static STATE: Mutex<State> = Mutex::new(State { level: 0, back: None });

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Says once what makes the log say more or less. Without it levels are kept and shown, and have
/// no effect: a program that is told to be quiet stays so.
pub fn install(apply: impl Fn(u32) + Send + Sync + 'static) {
    // The first one stays.
    let _ = APPLY.set(Box::new(apply));
}

/// The level now.
#[must_use]
pub fn level() -> u32 {
    state().level
}

/// Sets the level for a while; afterwards it is 0 again. 0 ends what was said before at once.
///
/// Called on a runtime, which brings the level back.
pub fn set(level: u32, duration: Duration) {
    let mut state = state();
    if let Some(back) = state.back.take() {
        back.abort();
    }
    enter(&mut state, level);
    if level > 0 {
        state.back = Some(tokio::spawn(async move {
            tokio::time::sleep(duration).await;
            enter(&mut self::state(), 0);
        }));
    }
}

fn enter(state: &mut State, level: u32) {
    if state.level == level {
        return;
    }
    state.level = level;
    if let Some(apply) = APPLY.get() {
        apply(level);
    }
    tracing::info!(level, "the level of the log was changed");
}
