//! Runs many seeds, or one of them with all that happens.

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use alcazar_simulator::{Options, Report, missed, replay_line, run, sum};

const USAGE: &str = "\
usage: cargo xtask simulate [--seeds <number>] [--from <seed>]
       cargo xtask simulate --seed <seed>

  --seeds  how many clusters to run (1000)
  --from   the first one's seed (0)
  --seed   run this one and print all that happens
";

#[derive(Debug, Default)]
struct Arguments {
    seeds: Option<u64>,
    from: Option<u64>,
    seed: Option<u64>,
}

fn arguments() -> Option<Arguments> {
    let mut arguments = Arguments::default();
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let number = words.next()?.parse().ok();
        match word.as_str() {
            "--seeds" => arguments.seeds = Some(number?),
            "--from" => arguments.from = Some(number?),
            "--seed" => arguments.seed = Some(number?),
            _ => return None,
        }
    }
    Some(arguments)
}

fn main() -> ExitCode {
    let Some(arguments) = arguments() else {
        eprint!("{USAGE}");
        return ExitCode::from(2);
    };
    match arguments.seed {
        Some(seed) => replay(seed),
        None => many(arguments.from.unwrap_or(0), arguments.seeds.unwrap_or(1000)),
    }
}

fn replay(seed: u64) -> ExitCode {
    let report = run(seed, Options { traced: true, ..Options::default() });
    for line in &report.trace {
        println!("{line}");
    }
    println!("{} steps in {} virtual seconds", report.steps, report.seconds);
    conclude(&report)
}

fn conclude(report: &Report) -> ExitCode {
    match &report.violation {
        Some(violation) => {
            println!("seed {} FAILED: {violation}", report.seed);
            ExitCode::FAILURE
        }
        None => ExitCode::SUCCESS,
    }
}

fn many(from: u64, seeds: u64) -> ExitCode {
    let begun = Instant::now();
    let next = AtomicU64::new(from);
    let reports = Mutex::new(Vec::new());
    let workers = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from.saturating_add(seeds) {
                        return;
                    }
                    let report = run(seed, Options::default());
                    if let Some(violation) = &report.violation {
                        println!(
                            "seed {seed} FAILED: {violation}\n  replay: {}",
                            replay_line(seed)
                        );
                    }
                    reports.lock().unwrap_or_else(PoisonError::into_inner).push(report);
                }
            });
        }
    });
    let reports = reports.into_inner().unwrap_or_else(PoisonError::into_inner);
    summarize(&reports, begun)
}

fn summarize(reports: &[Report], begun: Instant) -> ExitCode {
    let steps: u64 = reports.iter().map(|report| report.steps).sum();
    let seconds: u64 = reports.iter().map(|report| report.seconds).sum();
    let counts = sum(reports);
    let missed = if reports.len() < 100 { Vec::new() } else { missed(&counts) };
    let failed = reports.iter().filter(|report| report.violation.is_some()).count();
    println!(
        "{} seeds, {failed} failed; {steps} steps, {} virtual hours, in {:.1} s",
        reports.len(),
        seconds / 3600,
        begun.elapsed().as_secs_f64()
    );
    for (what, number) in counts {
        println!("{number:>10}  {what}");
    }
    for what in &missed {
        println!("     never  {what}");
    }
    if failed == 0 && missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
