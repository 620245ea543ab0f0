//! What the driver measures about its own work.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How many of the latest values percentiles are made of.
const SAMPLES: usize = 1000;

/// How long something took, each time of the last hours.
#[derive(Debug)]
struct Timing {
    window: Duration,
    taken: VecDeque<(Instant, f64)>,
}

impl Timing {
    fn new(window: Duration) -> Self {
        Self { window, taken: VecDeque::new() }
    }

    fn record(&mut self, took: Duration) {
        if self.taken.len() == SAMPLES {
            self.taken.pop_front();
        }
        self.taken.push_back((Instant::now(), took.as_nanos() as f64 / 1e6));
    }

    /// The metrics under `name`: the last value in milliseconds and, of those in the window, how
    /// many there were, the least, the greatest and percentiles. None as long as there is no value.
    fn publish(&self, name: &str, all: &mut BTreeMap<String, f64>) {
        let Some((_, last)) = self.taken.back() else { return };
        all.insert(name.to_owned(), *last);
        let mut values: Vec<f64> = self
            .taken
            .iter()
            .filter(|(at, _)| at.elapsed() <= self.window)
            .map(|(_, took)| *took)
            .collect();
        values.sort_by(f64::total_cmp);
        let (Some(least), Some(greatest)) = (values.first(), values.last()) else { return };
        all.insert(format!("{name}/count"), values.len() as f64);
        all.insert(format!("{name}/min"), *least);
        all.insert(format!("{name}/max"), *greatest);
        for (percentile, share) in [
            ("p50", 0.5),
            ("p90", 0.9),
            ("p95", 0.95),
            ("p99", 0.99),
            ("p999", 0.999),
            ("p9999", 0.9999),
        ] {
            all.insert(format!("{name}/{percentile}"), between(&values, share));
        }
    }
}

/// The value below which `share` of the sorted `values` are, in a straight line between the two
/// next to it.
fn between(values: &[f64], share: f64) -> f64 {
    let place = share * (values.len().saturating_sub(1)) as f64;
    let low = place.floor();
    let at = |place: f64| values.get(place as usize).copied().unwrap_or_default();
    let (below, above) = (at(low), at(place.ceil()));
    below + (above - below) * (place - low)
}

const HOUR: Duration = Duration::from_secs(3600);

#[derive(Debug)]
struct Inner {
    runs: u64,
    run: Timing,
    latency: Timing,
    fetch: Option<Duration>,
    store: Timing,
    /// What the registry takes where it is kept.
    bytes: u64,
    filters: Vec<(String, usize)>,
}

/// All that is measured.
#[derive(Debug)]
pub struct Measures(Mutex<Inner>);

impl Default for Measures {
    fn default() -> Self {
        Self(Mutex::new(Inner {
            runs: 0,
            run: Timing::new(HOUR),
            latency: Timing::new(HOUR),
            fetch: None,
            store: Timing::new(24 * HOUR),
            bytes: 0,
            filters: Vec::new(),
        }))
    }
}

impl Measures {
    /// The registry was read.
    pub(crate) fn fetched(&self, took: Duration) {
        self.lock().fetch = Some(took);
    }

    /// Changes of the registry were made durable.
    pub(crate) fn stored(&self, took: Duration) {
        self.lock().store.record(took);
    }

    /// The registry takes so many bytes.
    pub(crate) fn sized(&self, bytes: u64) {
        self.lock().bytes = bytes;
    }

    /// The allocator has made `runs` runs by now, the last of which began `latency` after there
    /// was reason for it.
    pub(crate) fn allocated(&self, runs: u64, latency: Duration, took: Duration) {
        let mut inner = self.lock();
        if runs > inner.runs {
            inner.runs = runs;
            inner.run.record(took);
            inner.latency.record(latency);
        }
    }

    /// How many filters there are by role.
    pub(crate) fn filtered(&self, filters: Vec<(String, usize)>) {
        self.lock().filters = filters;
    }

    /// All of it as metrics.
    #[must_use]
    pub fn metrics(&self) -> BTreeMap<String, f64> {
        let inner = self.lock();
        let mut all = BTreeMap::new();
        all.insert("allocator/mesos/allocation_runs".to_owned(), inner.runs as f64);
        inner.run.publish("allocator/mesos/allocation_run_ms", &mut all);
        inner.latency.publish("allocator/mesos/allocation_run_latency_ms", &mut all);
        inner.store.publish("registrar/state_store_ms", &mut all);
        all.insert("registrar/registry_size_bytes".to_owned(), inner.bytes as f64);
        if let Some(took) = inner.fetch {
            all.insert("registrar/state_fetch_ms".to_owned(), took.as_nanos() as f64 / 1e6);
        }
        for (role, count) in &inner.filters {
            all.insert(format!("allocator/mesos/offer_filters/roles/{role}/active"), *count as f64);
        }
        all
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_lie_on_the_line_between_their_neighbours() {
        let values: Vec<f64> = (1..=5).map(f64::from).collect();
        assert_eq!((between(&values, 0.5), between(&values, 0.9)), (3.0, 4.6));
        assert_eq!(between(&[7.0], 0.99), 7.0);
    }

    #[test]
    fn what_took_time_is_told_by_the_originals_names() {
        let measures = Measures::default();
        assert_eq!(measures.metrics().len(), 2, "nothing has a time yet");
        for ms in 1..=2000 {
            measures.stored(Duration::from_millis(ms));
        }
        measures.allocated(1, Duration::from_millis(3), Duration::from_millis(2));
        // The same run is counted once.
        measures.allocated(1, Duration::from_millis(9), Duration::from_millis(9));
        measures.fetched(Duration::from_millis(4));
        measures.filtered(vec![("*".to_owned(), 2)]);
        let all = measures.metrics();
        let expected = [
            ("allocator/mesos/allocation_runs", 1.0),
            ("allocator/mesos/allocation_run_ms", 2.0),
            ("allocator/mesos/allocation_run_ms/count", 1.0),
            ("allocator/mesos/allocation_run_latency_ms/max", 3.0),
            ("allocator/mesos/offer_filters/roles/*/active", 2.0),
            ("registrar/state_fetch_ms", 4.0),
            ("registrar/state_store_ms", 2000.0),
            // Of the latest, and no more.
            ("registrar/state_store_ms/count", 1000.0),
            ("registrar/state_store_ms/min", 1001.0),
            ("registrar/state_store_ms/p50", 1500.5),
        ];
        for (name, value) in expected {
            assert_eq!(all.get(name), Some(&value), "{name}");
        }
    }
}
