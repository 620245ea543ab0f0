//! The cost of TLS: ours against the library alone, and against plaintext.

mod bulk;
mod handshakes;
mod idle;
mod messages;

use std::path::Path;
use std::str::FromStr;

use anyhow::bail;
use openssl::version;

use crate::authority;

/// One of the measurements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Bulk,
    Handshakes,
    Idle,
    Messages,
}

impl FromStr for Part {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        Ok(match text {
            "bulk" => Self::Bulk,
            "handshakes" => Self::Handshakes,
            "idle" => Self::Idle,
            "messages" => Self::Messages,
            other => bail!("`{other}` is none of handshakes, bulk, messages, idle"),
        })
    }
}

/// What to measure, and how often.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Empty: everything.
    pub(crate) parts: Vec<Part>,
    /// How often each figure is measured.
    pub(crate) runs: usize,
    /// How many idle connections.
    pub(crate) connections: usize,
}

impl Default for Plan {
    fn default() -> Self {
        Self { parts: Vec::new(), runs: 5, connections: 8_000 }
    }
}

pub(crate) fn run(plan: &Plan) -> anyhow::Result<()> {
    let directory = tempfile::tempdir()?;
    authority::create(directory.path())?;
    println!("TLS by {}, in both of what is compared", version::version());
    println!("{} runs by turns; figures are min / median / max", plan.runs);
    type Measure = fn(&Plan, &Path) -> anyhow::Result<()>;
    let all: [(Part, Measure); 4] = [
        (Part::Handshakes, handshakes::measure),
        (Part::Bulk, bulk::measure),
        (Part::Messages, messages::measure),
        (Part::Idle, idle::measure),
    ];
    for (part, measure) in all {
        if plan.parts.is_empty() || plan.parts.contains(&part) {
            println!();
            measure(plan, directory.path())?;
        }
    }
    Ok(())
}
