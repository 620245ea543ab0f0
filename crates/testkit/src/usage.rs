//! What a process has used so far.

use std::fs;
use std::time::Duration;

use anyhow::Context as _;
use rustix::time::{ClockId, clock_gettime};

/// The processor time of this process, all threads, in user and kernel mode.
pub fn own_cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
}

/// The processor time of a process of one thread. `None` on kernels that do not say.
pub fn cpu_of(process: u32) -> Option<Duration> {
    let text = fs::read_to_string(format!("/proc/{process}/schedstat")).ok()?;
    Some(Duration::from_nanos(text.split(' ').next()?.parse().ok()?))
}

/// Bytes of memory of this process that are not in a file.
///
/// # Errors
/// The kernel does not say.
pub fn own_memory() -> anyhow::Result<u64> {
    memory_of(std::process::id())
}

/// Bytes of memory of a process that are not in a file.
///
/// # Errors
/// There is no such process, or the kernel does not say.
pub fn memory_of(process: u32) -> anyhow::Result<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    Ok(1024
        * kibibytes
            .with_context(|| format!("no RssAnon of process {process}"))?
            .trim()
            .parse::<u64>()?)
}

/// The processor time of a process, all threads, in user and kernel mode. The kernel says it in
/// hundredths of a second, whatever its own clock.
pub fn whole_cpu_of(process: u32) -> anyhow::Result<Duration> {
    let text = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name, in parentheses, may hold anything.
    let (_, fields) = text.rsplit_once(") ").context("/proc/…/stat without a name")?;
    let field = |number: usize| {
        let field = fields.split(' ').nth(number).context("/proc/…/stat is too short")?;
        Ok::<_, anyhow::Error>(field.parse::<u64>()?)
    };
    Ok(Duration::from_millis(10 * (field(11)? + field(12)?)))
}
