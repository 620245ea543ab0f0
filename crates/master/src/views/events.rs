//! Events of the operator API.

use wire::v1;
use wire::v1::master::event::{self, Type};
use wire::v1::master::{Event, response};

use super::View;
use crate::engine::announcement::Announcement;

fn of_type(kind: Type) -> Event {
    Event { r#type: Some(kind as i32), ..Event::default() }
}

/// HEARTBEAT
#[must_use]
pub fn heartbeat() -> Event {
    of_type(Type::Heartbeat)
}

impl View<'_> {
    /// SUBSCRIBED as a message: all that is seen. `heartbeat_interval` is in seconds.
    #[must_use]
    pub fn subscribed_message(&self, heartbeat_interval: f64) -> Event {
        let subscribed = event::Subscribed {
            get_state: Some(self.get_state()),
            heartbeat_interval_seconds: Some(heartbeat_interval),
        };
        Event { subscribed: Some(subscribed), ..of_type(Type::Subscribed) }
    }

    /// An announcement as an event, if it is about something that is seen. The snapshot is the one
    /// after the batch in which it was made.
    #[must_use]
    pub fn event(&self, announcement: &Announcement) -> Option<Event> {
        Some(match announcement {
            Announcement::AgentAdded(agent) => {
                let added = event::AgentAdded { agent: self.agent_message(agent) };
                Event { agent_added: Some(added), ..of_type(Type::AgentAdded) }
            }
            Announcement::AgentRemoved(id) => {
                let agent_id = v1::AgentId { value: id.to_string() };
                let removed = event::AgentRemoved { agent_id };
                Event { agent_removed: Some(removed), ..of_type(Type::AgentRemoved) }
            }
            Announcement::FrameworkAdded(framework) => {
                let framework = self.seen_framework(framework)?;
                let added = event::FrameworkAdded { framework };
                Event { framework_added: Some(added), ..of_type(Type::FrameworkAdded) }
            }
            Announcement::FrameworkUpdated(framework) => {
                let framework = self.seen_framework(framework)?;
                let updated = event::FrameworkUpdated { framework };
                Event { framework_updated: Some(updated), ..of_type(Type::FrameworkUpdated) }
            }
            Announcement::FrameworkRemoved(info) => {
                self.sight.framework(info).then_some(())?;
                let removed = event::FrameworkRemoved { framework_info: (**info).clone() };
                Event { framework_removed: Some(removed), ..of_type(Type::FrameworkRemoved) }
            }
            Announcement::TaskAdded { task, framework } => {
                (self.sight.framework(framework) && self.sight.task(framework, task))
                    .then_some(())?;
                let added = event::TaskAdded { task: task.info() };
                Event { task_added: Some(added), ..of_type(Type::TaskAdded) }
            }
            Announcement::TaskUpdated { task, framework, status } => {
                (self.sight.framework(framework) && self.sight.task(framework, task))
                    .then_some(())?;
                let updated = event::TaskUpdated {
                    framework_id: v1::FrameworkId { value: task.framework_id.to_string() },
                    status: (**status).clone(),
                    state: task.state() as i32,
                };
                Event { task_updated: Some(updated), ..of_type(Type::TaskUpdated) }
            }
        })
    }

    fn seen_framework(
        &self,
        framework: &crate::engine::state::Framework,
    ) -> Option<response::get_frameworks::Framework> {
        self.sight.framework(&framework.info).then(|| self.framework_message(framework))
    }
}
