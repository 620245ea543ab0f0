//! Arithmetic on resources, in the cases that the original's own tests time.
//!
//! The original's figures are not measured in the same run: they were taken on two cores of a
//! shared x86-64 machine from a release build, and say which order of magnitude is to be beaten.

use std::collections::BTreeSet;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, bail, ensure};
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
    Bench { runs: runs.max(1), divisor: 1 }.measure(&parts)
}

/// What the original needs for a case, in milliseconds, and how many times faster we want to be.
type Original = Option<(f64, Goal)>;

struct Bench {
    runs: u32,
    /// Each case is done so many times less often than it says.
    divisor: u32,
}

impl Bench {
    /// All parts if `parts` is empty.
    fn measure(&self, parts: &BTreeSet<&str>) -> anyhow::Result<()> {
        let wanted = |part: &str| parts.is_empty() || parts.contains(part);
        println!(
            "{:<58} {:>9} {:>12} {:>12} {:>10}",
            "case", "times", "ours", "original", "faster"
        );
        if wanted("arithmetic") {
            arithmetic(self)?;
        }
        if wanted("filter") {
            filter(self)?;
        }
        if wanted("contains") {
            contains(self)?;
        }
        if wanted("parse") {
            parsing(self)?;
        }
        if wanted("ranges") {
            ranges(self)?;
        }
        Ok(())
    }

    fn times(&self, times: u32) -> u32 {
        (times / self.divisor).max(1)
    }

    /// Times `times` calls of `work`; each run begins with what `make` makes. Returns what became
    /// of it in the last one.
    fn case<T>(
        &self,
        name: &str,
        times: u32,
        original: Original,
        make: impl Fn() -> T,
        work: impl Fn(&mut T),
    ) -> T {
        let times = self.times(times);
        let (mut best, mut state) = (f64::INFINITY, make());
        for _ in 0..self.runs {
            state = make();
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
        state
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
            (0..bench.times(*times)).for_each(|_| sum.add_all(one));
            sum
        };
        let empty = Resources::new;
        let added = [
            bench.case(&format!("{name}: +="), *times, *original, empty, |r| r.add_all(one)),
            bench.case(&format!("{name}: a = a + b"), *times, None, empty, |r| *r = r.plus(one)),
        ];
        ensure!(added.iter().all(|added| *added == sum()), "{name}: a sum is wrong");
        let left = [
            bench.case(&format!("{name}: -="), *times, None, sum, |r| r.subtract_all(one)),
            bench.case(&format!("{name}: a = a - b"), *times, None, sum, |r| *r = r.minus(one)),
        ];
        ensure!(left.iter().all(Resources::is_empty), "{name}: something is left");
    }
    // Nothing is where it was in the other.
    let (one, times) = (labelled()?, 10);
    let mut reversed: Vec<Resource> = one.iter().cloned().collect();
    reversed.reverse();
    let reversed = Resources::from_iter(reversed);
    let name = "1,000 labelled reservations, reversed: +=";
    let added = bench.case(name, times, None, || one.clone(), |r| r.add_all(&reversed));
    ensure!(added.len() == one.len() && added.minus(&one).contains(&reversed), "{name}: wrong");
    Ok(())
}

fn filter(bench: &Bench) -> anyhow::Result<()> {
    let role = Role::new("role")?;
    let mut all = scalars()?.push_reservation(&reservation(None)?);
    all.add_all(&scalars()?);
    all.extend(scalars()?.iter().map(|r| r.with(|traits| traits.revocable = true)));
    type Filter<'a> = &'a dyn Fn(&Resources) -> Resources;
    let filters: [(&str, Filter<'_>, usize); 4] = [
        ("nonRevocable", &|all| all.non_revocable(), 8),
        ("revocable", &|all| all.revocable(), 4),
        ("unreserved", &|all| all.unreserved(), 8),
        ("reserved(role)", &|all| all.reserved_to(&role), 4),
    ];
    for (name, filter, count) in filters {
        let name = format!("filter: {name}");
        let kept = bench.case(&name, 50_000, None, Resources::new, |r| {
            *r = filter(black_box(&all));
        });
        ensure!(kept.len() == count && all.contains(&kept), "{name}: {kept}");
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
    for (name, left, right, times, original, held) in [
        ("scalars in more", &large, &small, 5000, None, true),
        ("scalars in less", &small, &large, 5000, None, false),
        ("scalars in as much", &large, &large, 5000, None, true),
        ("8,000 fragments of ports in 1–16000", &whole, &fragments, 100, original, true),
        ("1–16000 in 8,000 fragments of it", &fragments, &whole, 50, None, false),
        ("fragments in themselves", &fragments, &again, 1, None, true),
        ("scalars and fragments in more of both", &all, &few, 100, None, true),
        ("scalars and ports in fewer of both", &few, &all, 50, None, false),
        ("scalars and fragments in themselves", &many, &large.plus(&again), 1, None, true),
    ] {
        let name = format!("contains: {name}");
        let found = bench.case(
            &name,
            times,
            original,
            || !held,
            |found| {
                *found = black_box(left).contains(black_box(right));
            },
        );
        ensure!(found == held, "{name}: {found}");
    }
    Ok(())
}

fn parsing(bench: &Bench) -> anyhow::Result<()> {
    let text: Vec<String> = (1..=100).map(|i| format!("resource{i}:{i}.{i}")).collect();
    let text = text.join(";");
    for times in [1000, 10_000, 50_000] {
        let parsed = bench.case("parse: 100 scalars", times, None, Resources::new, |r| {
            *r = parse(black_box(&text), &Role::any()).unwrap_or_default();
        });
        ensure!(parsed.len() == 100, "parse: {parsed}");
    }
    Ok(())
}

/// Ranges that overlap with each other's halves.
fn ranges(bench: &Bench) -> anyhow::Result<()> {
    for many in [10u64, 100, 1000] {
        let one = ports((0..many).map(|i| (i * 10, i * 10 + 5)))?;
        let other = ports((0..many).map(|i| (i * 10 + 3, i * 10 + 8)))?;
        let start = || one.clone();
        let name = format!("ranges: {many} overlapping");
        let added = bench.case(&format!("{name}: +="), 1000, None, start, |r| r.add_all(&other));
        let left = bench.case(&format!("{name}: -="), 1000, None, start, |r| {
            r.subtract_all(&other);
        });
        let sum = bench.case(&format!("{name}: a + b"), 1000, None, Resources::new, |r| {
            *r = one.plus(&other);
        });
        let rest = bench.case(&format!("{name}: a - b"), 1000, None, Resources::new, |r| {
            *r = one.minus(&other);
        });
        ensure!(added == sum && sum == ports((0..many).map(|i| (i * 10, i * 10 + 8)))?, "{name}");
        ensure!(left == rest && rest == ports((0..many).map(|i| (i * 10, i * 10 + 2)))?, "{name}");
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
        assert!(run(&["elephants"]).is_err());
        // Each case says so if it has not computed what it is about.
        Bench { runs: 1, divisor: 1000 }.measure(&BTreeSet::new()).unwrap();
    }
}
