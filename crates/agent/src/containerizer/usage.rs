//! What a container uses, added up over its processes.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use launch::tree;
use rustix::process::Pid;
use wire::v1::ResourceStatistics;

/// What the processes beneath `first` use now. Processes that ended are not counted: this is
/// what can be known without control groups.
pub(super) fn measure(first: Pid) -> Option<ResourceStatistics> {
    let processes = tree::descendants(first).ok()?;
    let mut sum = Sample::default();
    let mut count = 0;
    for process in processes {
        // One that ended meanwhile uses nothing.
        let path = format!("/proc/{}/stat", process.pid.as_raw_nonzero());
        if let Some(sample) = std::fs::read(path).ok().and_then(|stat| Sample::parse(&stat)) {
            count += 1;
            sum.threads += sample.threads;
            sum.user += sample.user;
            sum.system += sample.system;
            sum.pages += sample.pages;
        }
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let seconds = |ticks: u64| {
        Duration::from_secs(ticks).as_secs_f64() / rustix::param::clock_ticks_per_second() as f64
    };
    Some(ResourceStatistics {
        timestamp: now.as_secs_f64(),
        processes: Some(count),
        threads: Some(sum.threads),
        cpus_user_time_secs: Some(seconds(sum.user)),
        cpus_system_time_secs: Some(seconds(sum.system)),
        mem_rss_bytes: Some(sum.pages * rustix::param::page_size() as u64),
        ..ResourceStatistics::default()
    })
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Sample {
    threads: u32,
    user: u64,
    system: u64,
    pages: u64,
}

impl Sample {
    fn parse(stat: &[u8]) -> Option<Self> {
        let end = stat.iter().rposition(|byte| *byte == b')')?;
        let rest = std::str::from_utf8(stat.get(end + 1..)?).ok()?;
        let fields: Vec<_> = rest.split_ascii_whitespace().collect();
        // The first of these is field 3 of the line.
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Self {
            user: field(14)?,
            system: field(15)?,
            threads: u32::try_from(field(20)?).ok()?,
            pages: field(24)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_line_of_the_kernel_is_read() {
        let stat = b"7 (a b) R 1 7 7 0 -1 0 1 0 0 0 140 15 0 0 20 0 3 0 99 1000 240 18446744073";
        let expected = Sample { threads: 3, user: 140, system: 15, pages: 240 };
        assert_eq!(Sample::parse(stat), Some(expected));
        assert_eq!(Sample::parse(b"7 (a b) R 1"), None);
    }

    /// The kernel counts resident pages in batches for each processor, so a process that has
    /// touched little may show none: this one holds megabytes. It ends with its standard input,
    /// also when the test fails.
    #[test]
    fn the_processes_beneath_one_are_added_up() {
        let script = "held=$(head -c 8000000 /dev/zero | tr '\\0' a); echo ready; read line";
        let mut child = Command::new("sh")
            .args(["-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        assert_eq!(ready, "ready\n");

        let usage = measure(rustix::process::getpid()).unwrap();
        assert!(usage.processes() >= 1 && usage.mem_rss_bytes() > 4_000_000, "{usage:?}");

        drop(child.stdin.take());
        child.wait().unwrap();
    }
}
