//! The `alcazar` binary.
mod cluster;
mod duration;
mod exit;
mod lock;
mod printer;
mod state_dir;
mod supervised;
mod task;
mod up;
fn main() {}
