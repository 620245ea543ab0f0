//! The master's durable record.
