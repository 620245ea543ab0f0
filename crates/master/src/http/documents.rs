//! Large answers, made once for all who ask for the same while nothing changes.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use endpoints::call::encode;
use endpoints::document::Document;
use endpoints::media::Media;
use endpoints::refusal::Refusal;
use endpoints::rope::Rope;
use wire::json::Style;

use super::Master;
use crate::engine::state::Snapshot;
use crate::views::{Large, Sight, View};

/// Answers that have no parameters and are about all of the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Shown {
    Frameworks,
    GetRoles(Media),
    Large(Large, Media),
    Roles,
    Slaves,
    State,
    StateSummary,
}

impl Shown {
    pub(super) fn render(self, view: View<'_>) -> Rope {
        match self {
            Self::Frameworks => view.framework_list(None),
            Self::GetRoles(media) => encode(media, &view.get_roles(), Style::V1).into(),
            Self::Roles => view.roles().into(),
            Self::Large(what, media) => view.large(what, media),
            Self::Slaves => view.slaves(None),
            Self::State => view.state(),
            Self::StateSummary => view.state_summary(),
        }
    }
}

/// Whether answers that are made for those who see everything, flags included, are for this one.
pub(super) fn sees_all(sight: &impl Sight) -> bool {
    sight.everything() && sight.flags()
}

/// What was made last of each answer.
#[derive(Debug, Default)]
pub struct Documents {
    kept: Mutex<HashMap<Shown, Arc<tokio::sync::Mutex<Option<Kept>>>>>,
    made: AtomicU64,
    hits: AtomicU64,
}

#[derive(Debug)]
struct Kept {
    snapshot: Arc<Snapshot>,
    document: Arc<Document>,
    /// When the snapshot was the latest.
    taken: Instant,
    used: Instant,
}

/// How long an answer is kept that nobody asks for any more.
const IDLE: Duration = Duration::from_secs(60);

impl Documents {
    /// How often an answer was given that had been made before.
    pub(super) fn hits(&self) -> u64 {
        self.hits.load(Ordering::Relaxed)
    }

    /// The answer from the latest snapshot, as who sees everything gets it. Those who ask at the
    /// same time wait for one to be made. `packed` says whether the compressed form is wanted.
    pub(super) async fn get(
        &self,
        master: &Arc<Master>,
        shown: Shown,
        packed: bool,
    ) -> Result<Arc<Document>, Refusal> {
        let asked = Instant::now();
        let place = self.place(shown);
        let mut kept = place.lock_owned().await;
        let (latest, taken) = (master.snapshots.load_full(), Instant::now());
        if let Some(kept) = &mut *kept
            // What was the latest when this caller asked will do: under a crowd, an answer is made
            // for all who have come while the last one was being made.
            && (kept.taken >= asked
                || Arc::ptr_eq(&kept.snapshot, &latest)
                || latest.shows_the_same(&kept.snapshot))
        {
            if kept.taken < asked {
                (kept.snapshot, kept.taken) = (latest, taken);
            }
            kept.used = Instant::now();
            self.hits.fetch_add(1, Ordering::Relaxed);
            let document = Arc::clone(&kept.document);
            if packed && !document.is_packed() {
                let packing = Arc::clone(&document);
                let pack = move || {
                    let _ = packing.packed();
                };
                master.workers.run(pack).await?;
            }
            return Ok(document);
        }
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let rendering = Arc::clone(master);
        let made = master.workers.run(move || {
            let rope = shown.render(rendering.view_of(&latest));
            let document = Document::new(rope);
            let document = Arc::new(match shown {
                // Small, and most often the same although something else has changed.
                Shown::GetRoles(_) | Shown::Roles => document.marked_by_content(),
                _ => document.marked(format!("{}-{number}", latest.master.id)),
            });
            if packed {
                let _ = document.packed();
            }
            // Whatever became of the caller, the next one finds it.
            let used = Instant::now();
            *kept = Some(Kept { snapshot: latest, document: Arc::clone(&document), taken, used });
            document
        });
        made.await
    }

    /// Forgets answers that nobody asks for any more. To be called often.
    pub(crate) fn tidy(&self) {
        let mut all = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, place| {
            let Ok(kept) = place.try_lock() else { return true };
            kept.as_ref().is_some_and(|kept| kept.used.elapsed() <= IDLE)
        });
    }

    fn place(&self, shown: Shown) -> Arc<tokio::sync::Mutex<Option<Kept>>> {
        let mut all = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(shown).or_default())
    }
}
