//! What somebody sees who has just started: `up`, `execute`, and the commands that look.
#![expect(missing_docs, reason = "a test target exports nothing")]

mod execute;
mod up;
