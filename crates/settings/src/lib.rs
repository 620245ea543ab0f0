//! One table of all flags and environment variables, and what reads it.
