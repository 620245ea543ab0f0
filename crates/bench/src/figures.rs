//! Samples of one figure, and how they are shown.

use std::fmt;
use std::time::Duration;

/// A figure, measured several times.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    pub(crate) fn push(&mut self, sample: f64) {
        self.0.push(sample);
    }

    pub(crate) fn min(&self) -> f64 {
        self.0.iter().copied().fold(f64::INFINITY, f64::min)
    }

    pub(crate) fn max(&self) -> f64 {
        self.0.iter().copied().fold(f64::NEG_INFINITY, f64::max)
    }

    pub(crate) fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        match sorted.len() {
            0 => f64::NAN,
            length if length % 2 == 1 => sorted[length / 2],
            length => f64::midpoint(sorted[length / 2 - 1], sorted[length / 2]),
        }
    }
}

impl fmt::Display for Samples {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = if self.max() < 10.0 { 2 } else { usize::from(self.max() < 1000.0) };
        let text = [self.min(), self.median(), self.max()].map(|n| format!("{n:.digits$}"));
        f.pad(&text.join(" / "))
    }
}

/// The memory of this process, in bytes, after the allocator has given back what was used for a
/// moment.
pub(crate) fn settled_memory() -> anyhow::Result<u64> {
    // It gives back after ten seconds, when it is asked for something.
    std::thread::sleep(Duration::from_secs(12));
    for size in (0..100_000).map(|n| 16 << (n % 12)) {
        drop(std::hint::black_box(vec![0u8; size]));
    }
    testkit::usage::own_memory()
}

/// What a ratio should be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Goal {
    /// Of costs: at most this much.
    AtMost(f64),
    /// Of speeds: at least this much.
    AtLeast(f64),
}

impl Goal {
    /// The ratio of `ours` to `theirs`: run by run, since what happens to one then happens to the
    /// other, and of the best of each, since what else the machine does only makes things worse.
    pub(crate) fn judge(self, ours: &Samples, theirs: &Samples) -> String {
        let mut by_run = Samples::default();
        for (ours, theirs) in ours.0.iter().zip(&theirs.0) {
            by_run.push(ours / theirs);
        }
        let best = match self {
            Self::AtMost(_) => ours.min() / theirs.min(),
            Self::AtLeast(_) => ours.max() / theirs.max(),
        };
        let verdict = self.verdict(by_run.median());
        format!("ratio by run {by_run}   best : best {best:.2}   goal {verdict}")
    }

    /// The goal beside a figure.
    pub(crate) fn verdict(self, figure: f64) -> String {
        let (sign, goal, met) = match self {
            Self::AtMost(goal) => ("≤", goal, figure <= goal),
            Self::AtLeast(goal) => ("≥", goal, figure >= goal),
        };
        format!("{sign} {goal}: {}", if met { "met" } else { "MISSED" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(of: &[f64]) -> Samples {
        Samples(of.to_vec())
    }

    #[test]
    fn samples_are_shown_from_the_smallest_to_the_largest() {
        assert_eq!(samples(&[30.0, 10.0, 25.0]).to_string(), "10.0 / 25.0 / 30.0");
        assert_eq!(samples(&[1.0, 2.0]).to_string(), "1.00 / 1.50 / 2.00");
    }

    #[test]
    fn a_goal_is_held_against_the_median_of_the_runs() {
        let (ours, theirs) = (samples(&[110.0, 300.0, 88.0]), samples(&[100.0, 200.0, 80.0]));
        let judged = Goal::AtMost(1.15).judge(&ours, &theirs);
        assert!(judged.starts_with("ratio by run 1.10 / 1.10 / 1.50   best : best 1.10"));
        assert!(judged.ends_with("goal ≤ 1.15: met"), "{judged}");
        assert!(Goal::AtLeast(0.9).judge(&theirs, &ours).contains("best : best 0.67"));
        assert!(Goal::AtLeast(0.95).judge(&theirs, &ours).ends_with("≥ 0.95: MISSED"));
        assert!(Goal::AtMost(1.15).verdict(1.15).ends_with(": met"));
    }
}
