//! Putting long answers together from what is kept beside the entities.
//!
//! What is kept is what somebody sees who sees everything.

use std::sync::Arc;

use endpoints::rope::{Piece, Rope, Weaver};

/// What stands in the cells of a run of tasks. Texts, which are of use after a change, come first.
pub(crate) mod run {
    /// As `/state` prints tasks, each with a comma before it.
    pub(crate) const V0: usize = 0;
    /// As v1 prints them in JSON, each with a comma before it.
    pub(crate) const V1_JSON: usize = 1;
    /// As fields of GetTasks.
    pub(crate) const V1_PROTOBUF: usize = 2;
    /// How many there are of each state.
    pub(crate) const STATES: usize = 3;
}

/// What stands in the cells of an agent.
pub(crate) mod agent {
    /// As `/state` prints it.
    pub(crate) const V0: usize = 0;
    /// As `/slaves` prints it.
    pub(crate) const V0_FULL: usize = 1;
    /// As v1 prints it in JSON.
    pub(crate) const V1_JSON: usize = 2;
    /// As a message.
    pub(crate) const V1_PROTOBUF: usize = 3;
    /// Its part of the metrics.
    pub(crate) const METRICS: usize = 4;
}

/// What stands in the cells of a framework.
pub(crate) mod framework {
    /// As `/state` prints it.
    pub(crate) const V0: usize = 0;
    /// As v1 prints it in JSON.
    pub(crate) const V1_JSON: usize = 1;
    /// As a message.
    pub(crate) const V1_PROTOBUF: usize = 2;
    /// Its executors as v1 prints them in JSON, each with a comma before it.
    pub(crate) const EXECUTORS_JSON: usize = 3;
    /// Its executors as fields of GetExecutors.
    pub(crate) const EXECUTORS_PROTOBUF: usize = 4;
}

/// An array in JSON.
pub(super) struct List<'w> {
    out: &'w mut Weaver,
    empty: bool,
}

impl<'w> List<'w> {
    /// Begins one.
    pub(super) fn new(out: &'w mut Weaver) -> Self {
        out.text(b"[");
        Self { out, empty: true }
    }

    /// Appends elements, each with a comma before it.
    pub(super) fn run(&mut self, elements: &Arc<Piece>) {
        if elements.bytes().is_empty() {
            return;
        }
        if std::mem::take(&mut self.empty) {
            self.out.bytes(elements.bytes().slice(1..));
        } else {
            self.out.piece(elements);
        }
    }

    /// Appends one element.
    pub(super) fn element(&mut self, json: &[u8]) {
        if !std::mem::take(&mut self.empty) {
            self.out.text(b",");
        }
        self.out.text(json);
    }

    /// Appends one element that may be long.
    pub(super) fn rope(&mut self, json: &Rope) {
        if !std::mem::take(&mut self.empty) {
            self.out.text(b",");
        }
        self.out.rope(json);
    }

    /// Ends it.
    pub(super) fn end(self) {
        self.out.text(b"]");
    }
}

/// Appends the members of an object to one that has been begun and has members already.
pub(super) fn more_members(out: &mut Weaver, object: &[u8]) {
    if let Some(members) = object.get(1..).filter(|rest| rest.len() > 1) {
        out.text(b",");
        out.text(members);
    } else {
        out.text(b"}");
    }
}

/// Appends an object without the brace at its end.
pub(super) fn begin_object(out: &mut Weaver, object: &[u8]) {
    out.text(object.strip_suffix(b"}").unwrap_or(object));
}

/// A number as protobuf writes it.
pub(super) fn varint(mut n: u64, out: &mut Vec<u8>) {
    while n >= 0x80 {
        out.push((n as u8 & 0x7f) | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// What stands before `len` bytes that are the field `number` of a message.
pub(super) fn field_head(number: u32, len: usize) -> Vec<u8> {
    const LENGTH_DELIMITED: u64 = 2;
    let mut head = Vec::with_capacity(12);
    varint(u64::from(number) << 3 | LENGTH_DELIMITED, &mut head);
    varint(len as u64, &mut head);
    head
}

/// Appends a field of a message.
pub(super) fn field(out: &mut Weaver, number: u32, content: &Rope) {
    out.text(&field_head(number, content.len()));
    out.rope(content);
}
