//! How much of outside input is worked on before it is refused.

/// Bounds on one message from outside. The defaults are generous for honest peers: a whole agent
/// re-registering with tens of thousands of tasks fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the encoded form, protobuf or JSON.
    pub max_bytes: usize,
    /// Bytes that the decoded form may occupy. An empty element of a repeated field takes two bytes
    /// on the wire and hundreds in memory; this bounds how far that can be driven.
    pub max_decoded: usize,
    /// Messages inside messages; at most 100, which is also what the original allows.
    pub max_depth: u32,
    /// Arrays and objects inside one another in JSON; the original allows 200.
    pub max_json_depth: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_bytes: 64 << 20, max_decoded: 512 << 20, max_depth: 100, max_json_depth: 200 }
    }
}
