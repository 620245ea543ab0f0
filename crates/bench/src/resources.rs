//! Arithmetic on resources, in the cases that the original's own tests time.
//!
//! The original's figures are not measured in the same run: they were taken on two cores of a
//! shared x86-64 machine from a release build, and say which order of magnitude is to be beaten.

use std::collections::BTreeSet;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, bail};
use model::resources::{
    Disk, Persistence, Ranges, Reservation, ReservationKind, Resource, Resources, Value, parse,
};
use model::role::Role;

use crate::figures::Goal;

const PARTS: &[&str] = &["arithmetic", "filter", "contains", "parse", "ranges"];
const SCALARS: &str = "cpus:1;gpus:1;mem:128;disk:256";

/// Runs the parts that `words` name, all of them if none; `--runs` says how often each case is
/// repeated, of which the best counts.
pub(crate) fn run(words: &[&str]) -> anyhow::Result<()> {
    let mut runs = 5u32;
    let mut parts = BTreeSet::new();
    let mut words = words.iter();
    while let Some(&word) = words.next() {
        if word == "--runs" {
            runs = words.next().context("--runs needs a number")?.parse()?;
        } else if PARTS.contains(&word) {
            parts.insert(word);
        } else {
            bail!("no benchmark of resources is called {word}; there are {}", PARTS.join(", "));
        }
    }
    let bench = Bench { runs: runs.max(1) };
    let wanted = |part: &str| parts.is_empty() || parts.contains(part);
    println!("{:<58} {:>9} {:>12} {:>12} {:>10}", "case", "times", "ours", "original", "faster");
    if wanted("arithmetic") {
        arithmetic(&bench)?;
    }
    if wanted("filter") {
        filter(&bench)?;
    }
    if wanted("contains") {
        contains(&bench)?;
    }
    if wanted("parse") {
        parsing(&bench);
    }
    if wanted("ranges") {
        ranges(&bench)?;
    }
    Ok(())
}

/// What the original needs for a case, in milliseconds, and how many times faster we want to be.
type Original = Option<(f64, Goal)>;

struct Bench {
    runs: u32,
}

impl Bench {
    /// Times `times` calls of `work`; each run begins with what `make` makes.
    fn case<T>(
        &self,
        name: &str,
        times: u32,
        original: Original,
        make: impl Fn() -> T,
        work: impl Fn(&mut T),
    ) {
        let mut best = f64::INFINITY;
        for _ in 0..self.runs {
            let mut state = make();
            let begun = Instant::now();
            for _ in 0..times {
                work(black_box(&mut state));
            }
            best = best.min(begun.elapsed().as_secs_f64() * 1000.0);
        }
        let ours = format!("{best:.3} ms");
        match original {
            None => println!("{name:<58} {times:>9} {ours:>12}"),
            Some((theirs, goal)) => {
                let ratio = theirs / best;
                println!(
                    "{name:<58} {times:>9} {ours:>12} {:>12} {ratio:>9.1}x   goal {}",
                    format!("{theirs:.1} ms"),
                    goal.verdict(ratio),
                );
            }
        }
    }
}

fn scalars() -> anyhow::Result<Resources> {
    Ok(parse(SCALARS, &Role::any())?)
}

fn reservation(labels: Option<usize>) -> anyhow::Result<Reservation> {
    Ok(Reservation {
        kind: ReservationKind::Dynamic,
        role: Role::new("role")?,
        principal: Some("principal".to_owned()),
        labels: labels.map(|i| vec![("key".to_owned(), Some(format!("value_{i}")))]),
    })
}

/// The same four scalars in 1,000 reservations that differ in a label only.
fn labelled() -> anyhow::Result<Resources> {
    let mut all = Resources::new();
    for i in 0..1000 {
        all.add_all(&scalars()?.push_reservation(&reservation(Some(i))?));
    }
    Ok(all)
}

fn shared_volume() -> anyhow::Result<Resource> {
    let disk = parse("disk:256", &Role::any())?.push_reservation(&reservation(None)?);
    let disk = disk.iter().next().context("no disk")?;
    Ok(disk.with(|traits| {
        traits.shared = true;
        let persistence = Some(Persistence { id: "id".to_owned(), principal: None });
        traits.disk = Some(Arc::new(Disk { persistence, ..Disk::default() }));
    }))
}

fn arithmetic(bench: &Bench) -> anyhow::Result<()> {
    let mut with_volume = scalars()?;
    with_volume.add(shared_volume()?);
    let cases = [
        ("four scalars", scalars()?, 50_000, Some((7.2, Goal::AtLeast(1.0)))),
        ("1,000 labelled reservations", labelled()?, 10, Some((377.0, Goal::AtLeast(5.0)))),
        ("four scalars and a shared volume", with_volume, 50_000, None),
    ];
    for (name, one, times, original) in &cases {
        let sum = || {
            let mut sum = Resources::new();
            (0..*times).for_each(|_| sum.add_all(one));
            sum
        };
        let empty = Resources::new;
        bench.case(&format!("{name}: +="), *times, *original, empty, |r| r.add_all(one));
        bench.case(&format!("{name}: -="), *times, None, sum, |r| r.subtract_all(one));
        bench.case(&format!("{name}: a = a + b"), *times, None, empty, |r| *r = r.plus(one));
        bench.case(&format!("{name}: a = a - b"), *times, None, sum, |r| *r = r.minus(one));
    }
    // Nothing is where it was in the other.
    let (one, times) = (labelled()?, 10);
    let mut reversed: Vec<Resource> = one.iter().cloned().collect();
    reversed.reverse();
    let reversed = Resources::from_iter(reversed);
    let name = "1,000 labelled reservations, reversed: +=";
    bench.case(name, times, None, || one.clone(), |r| r.add_all(&reversed));
    Ok(())
}

fn filter(bench: &Bench) -> anyhow::Result<()> {
    let role = Role::new("role")?;
    let mut all = scalars()?.push_reservation(&reservation(None)?);
    all.add_all(&scalars()?);
    all.extend(scalars()?.iter().map(|r| r.with(|traits| traits.revocable = true)));
    type Filter<'a> = &'a dyn Fn(&Resources) -> Resources;
    let filters: [(&str, Filter<'_>); 4] = [
        ("nonRevocable", &|all| all.non_revocable()),
        ("revocable", &|all| all.revocable()),
        ("unreserved", &|all| all.unreserved()),
        ("reserved(role)", &|all| all.reserved_to(&role)),
    ];
    for (name, filter) in filters {
        bench.case(
            &format!("filter: {name}"),
            50_000,
            None,
            || (),
            |()| {
                black_box(filter(black_box(&all)));
            },
        );
    }
    Ok(())
}

fn ports(ranges: impl IntoIterator<Item = (u64, u64)>) -> anyhow::Result<Resources> {
    Ok(Resource::new("ports", Value::Ranges(Ranges::new(ranges)?)).into())
}

fn contains(bench: &Bench) -> anyhow::Result<()> {
    let text = |text: &str| parse(text, &Role::any());
    let (small, large) = (text("cpus:1;mem:128")?, text("cpus:2;gpus:1;mem:256;disk:9")?);
    let whole = ports([(1, 16_000)])?;
    let fragmented = || ports((0..8000).map(|i| (2 * i + 1, 2 * i + 1)));
    // Equal ones that do not know that they are.
    let (fragments, again) = (fragmented()?, fragmented()?);
    let (many, few) = (large.plus(&fragments), small.plus(&fragments));
    let all = large.plus(&whole);
    let original = Some((68.0, Goal::AtLeast(5.0)));
    for (name, left, right, times, original) in [
        ("scalars in more", &large, &small, 5000, None),
        ("scalars in less", &small, &large, 5000, None),
        ("scalars in as much", &large, &large, 5000, None),
        ("8,000 fragments of ports in 1–16000", &whole, &fragments, 100, original),
        ("1–16000 in 8,000 fragments of it", &fragments, &whole, 50, None),
        ("fragments in themselves", &fragments, &again, 1, None),
        ("scalars and fragments in more of both", &all, &few, 100, None),
        ("scalars and ports in fewer of both", &few, &all, 50, None),
        ("scalars and fragments in themselves", &many, &large.plus(&again), 1, None),
    ] {
        bench.case(
            &format!("contains: {name}"),
            times,
            original,
            || (),
            |()| {
                black_box(black_box(left).contains(black_box(right)));
            },
        );
    }
    Ok(())
}

fn parsing(bench: &Bench) {
    let text: Vec<String> = (0..100).map(|i| format!("resource{i}:{i}.{i}")).collect();
    let text = text.join(";");
    for times in [1000, 10_000, 50_000] {
        bench.case(
            "parse: 100 scalars",
            times,
            None,
            || (),
            |()| {
                let _ = black_box(parse(black_box(&text), &Role::any()));
            },
        );
    }
}

/// Ranges that overlap with each other's halves.
fn ranges(bench: &Bench) -> anyhow::Result<()> {
    for many in [10u64, 100, 1000] {
        let one = ports((0..many).map(|i| (i * 10, i * 10 + 5)))?;
        let other = ports((0..many).map(|i| (i * 10 + 3, i * 10 + 8)))?;
        let start = || one.clone();
        bench.case(&format!("ranges: {many} overlapping: +="), 1000, None, start, |r| {
            r.add_all(&other);
        });
        bench.case(&format!("ranges: {many} overlapping: -="), 1000, None, start, |r| {
            r.subtract_all(&other);
        });
        bench.case(&format!("ranges: {many} overlapping: a + b"), 1000, None, start, |r| {
            black_box(r.plus(&other));
        });
        bench.case(&format!("ranges: {many} overlapping: a - b"), 1000, None, start, |r| {
            black_box(r.minus(&other));
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cases_hold_what_their_names_say() {
        assert_eq!(labelled().unwrap().len(), 4000);
        assert_eq!(scalars().unwrap().len(), 4);
        assert!(shared_volume().unwrap().is_persistent_volume());
        run(&["arithmetic", "contains", "--runs", "1"]).unwrap();
        assert!(run(&["elephants"]).is_err());
    }
}
