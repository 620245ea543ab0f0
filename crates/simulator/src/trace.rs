//! What happened, for people: one line for each thing, in order.

use model::time::Instant;

/// The lines of one run. Formatting them costs more than the run, so they are kept on demand only.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    lines: Option<Vec<String>>,
}

impl Trace {
    pub(crate) fn new(kept: bool) -> Self {
        Self { lines: kept.then(Vec::new) }
    }

    pub(crate) fn is_kept(&self) -> bool {
        self.lines.is_some()
    }

    pub(crate) fn add(&mut self, now: Instant, who: impl std::fmt::Display, what: &str) {
        if let Some(lines) = &mut self.lines {
            let at = now.since_start().as_secs_f64();
            lines.push(format!("{at:>12.6}  {:<14} {what}", who.to_string()));
        }
    }

    pub(crate) fn into_lines(self) -> Vec<String> {
        self.lines.unwrap_or_default()
    }
}
