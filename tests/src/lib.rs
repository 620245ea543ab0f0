//! Tests of whole clusters live beside this file, one folder per concern.
