//! Executors: the library that speaks the executor API, and the command executor.
