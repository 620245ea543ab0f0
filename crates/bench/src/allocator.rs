//! Allocation runs, in the set-ups that the original's own benchmarks time.
//!
//! Nothing else takes part: events go in, offers come out. The original's figures are not measured
//! in the same run: they were taken on two cores of a shared x86-64 machine from a release build,
//! and say which order of magnitude is to be beaten.

mod cluster;
mod crowd;
mod quota;
mod refusals;

use anyhow::bail;

const PARTS: &[&str] = &["quota", "refusals", "crowd"];

/// Runs the parts that `words` name, all of them if none.
pub(crate) fn run(words: &[&str]) -> anyhow::Result<()> {
    if let Some(unknown) = words.iter().find(|word| !PARTS.contains(word)) {
        bail!("no benchmark of the allocator is called {unknown}; there are {}", PARTS.join(", "));
    }
    let wanted = |part: &str| words.is_empty() || words.contains(&part);
    println!("{:<74} {:>11} {:>11} {:>9}", "case", "ours", "original", "faster");
    if wanted("quota") {
        quota::run()?;
    }
    if wanted("refusals") {
        refusals::run()?;
    }
    if wanted("crowd") {
        crowd::run()?;
    }
    Ok(())
}

/// Prints a figure in milliseconds, the original's if there is one, and the goal if there is one.
fn show(case: &str, ours: f64, original: Option<f64>, goal: Option<f64>) {
    let digits = if ours < 10.0 { 3 } else { 1 };
    let ours_text = format!("{ours:.digits$} ms");
    let (theirs, faster) = original.map_or((String::new(), String::new()), |theirs| {
        (format!("{theirs} ms"), format!("{:.0} x", theirs / ours))
    });
    let goal = goal.map_or(String::new(), |goal| {
        format!("   goal < {goal} ms: {}", if ours < goal { "met" } else { "MISSED" })
    });
    println!("{case:<74} {ours_text:>11} {theirs:>11} {faster:>9}{goal}");
}
