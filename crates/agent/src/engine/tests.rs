//! Stories: what an agent does, told from outside, through events and effects only.

mod crash;
mod executors;
mod fixture;
mod launching;
mod registering;
mod updating;
