//! What the operators' streams are told.

use std::sync::Arc;

use model::id::{AgentId, FrameworkId};
use wire::v1;

use super::Engine;
use super::state::{Agent, Framework, Task};

/// A change that subscribers of the operator API hear of, with the entity as it is afterwards.
///
/// Whoever changes the state in such a way says so with [`Engine::announce`]; the announcements of
/// one event become [`super::effect::Effect::Announce`] in their order.
#[derive(Clone, Debug)]
pub enum Announcement {
    /// An agent registered, or came back to a master that did not have it. Its tasks follow.
    AgentAdded(Arc<Agent>),
    /// An agent left in order, or another took its place. What became unreachable or is gone is
    /// not announced, as the original's is not.
    AgentRemoved(AgentId),
    /// A framework subscribed for the first time, or became known from agents.
    FrameworkAdded(Arc<Framework>),
    /// A framework subscribed again or changed its description.
    FrameworkUpdated(Arc<Framework>),
    /// A framework ended.
    FrameworkRemoved(Arc<v1::FrameworkInfo>),
    /// A task was launched, or an agent brought it along.
    TaskAdded {
        /// The task.
        task: Arc<Task>,
        /// Whose it is.
        framework: Arc<v1::FrameworkInfo>,
    },
    /// A task changed its state, or there is a result of its checks.
    TaskUpdated {
        /// The task after that.
        task: Arc<Task>,
        /// Whose it is.
        framework: Arc<v1::FrameworkInfo>,
        /// What was said, without `data`. Its state may be older than the task's.
        status: Box<v1::TaskStatus>,
    },
}

impl Engine {
    /// Tells the operators' streams, after what is being decided now.
    pub(super) fn announce(&mut self, announcement: Announcement) {
        self.announced.push(announcement);
    }

    /// Announces the framework as it is now, as [`Announcement::FrameworkAdded`] or as
    /// [`Announcement::FrameworkUpdated`].
    pub(super) fn announce_framework(&mut self, id: &FrameworkId, known_before: bool) {
        if let Some(framework) = self.state.frameworks.get(id).cloned() {
            self.announce(if known_before {
                Announcement::FrameworkUpdated(framework)
            } else {
                Announcement::FrameworkAdded(framework)
            });
        }
    }
}
