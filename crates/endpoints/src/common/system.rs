//! What the machine has, in `/system/stats.json` and as metrics.

use std::collections::BTreeMap;

use wire::json;

use crate::reply::{Answer, Reply};
use crate::request::Request;

struct Stats {
    loads: [f64; 3],
    cpus: Option<f64>,
    memory_total: f64,
    memory_free: f64,
}

fn read() -> Stats {
    let info = rustix::system::sysinfo();
    let unit = f64::from(info.mem_unit);
    // Fixed point with sixteen bits after the point.
    let load = |n: usize| info.loads[n] as f64 / 65_536.0;
    let cpus = nix::unistd::sysconf(nix::unistd::SysconfVar::_NPROCESSORS_ONLN);
    Stats {
        loads: [load(0), load(1), load(2)],
        cpus: cpus.ok().flatten().map(|n| n as f64),
        memory_total: info.totalram as f64 * unit,
        memory_free: info.freeram as f64 * unit,
    }
}

pub(super) fn stats<S>(_: &S, _: &Request) -> Answer {
    let stats = read();
    let mut out = Vec::new();
    json::object(&mut out, |o| {
        o.field("avg_load_15min", stats.loads[2]);
        o.field("avg_load_1min", stats.loads[0]);
        o.field("avg_load_5min", stats.loads[1]);
        o.optional("cpus_total", stats.cpus);
        o.field("mem_free_bytes", stats.memory_free);
        o.field("mem_total_bytes", stats.memory_total);
    });
    Ok(Reply::Json(out.into()))
}

/// The actors of a process and what waits for them. Here that is one; what waits is no
/// stranger's business.
fn processes(actor: &str) -> Answer {
    let mut out = Vec::new();
    json::array(&mut out, |a| {
        a.object(|o| {
            o.array("events", |_| {});
            o.field("id", actor);
        });
    });
    Ok(Reply::Json(out.into()))
}

pub(super) fn processes_of_master<S>(_: &S, _: &Request) -> Answer {
    processes("master")
}

pub(super) fn processes_of_agent<S>(_: &S, _: &Request) -> Answer {
    processes("slave(1)")
}

/// The metrics `system/*`, which every daemon has.
#[must_use]
pub fn system_metrics() -> BTreeMap<String, f64> {
    let stats = read();
    let mut metrics: BTreeMap<String, f64> = [
        ("system/load_1min", stats.loads[0]),
        ("system/load_5min", stats.loads[1]),
        ("system/load_15min", stats.loads[2]),
        ("system/mem_total_bytes", stats.memory_total),
        ("system/mem_free_bytes", stats.memory_free),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into();
    if let Some(cpus) = stats.cpus {
        metrics.insert("system/cpus_total".to_owned(), cpus);
    }
    metrics
}
