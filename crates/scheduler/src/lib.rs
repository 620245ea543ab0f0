//! For people who write frameworks: a client of the scheduler API.
