//! What somebody sees who has just started: `up`, `execute`, and the commands that look.
#![expect(clippy::expect_used, reason = "a failed fixture fails its test, loudly")]

mod execute;
mod up;
