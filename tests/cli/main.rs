//! What somebody sees who has just started: `up`, `execute`, and the commands that look.

mod execute;
mod up;
