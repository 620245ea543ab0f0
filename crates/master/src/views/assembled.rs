//! The answers to the large v1 calls, and what SUBSCRIBED begins with, put together from what is
//! kept beside the entities. What they say is what the messages of [`super::calls`] say.

use std::sync::Arc;

use bytes::Bytes;
use endpoints::call::encode;
use endpoints::media::Media;
use endpoints::rope::{Piece, Rope, Weaver};
use wire::descriptor::{Described, MessageDescriptor};
use wire::json::{Style, transcode};
use wire::v1;
use wire::v1::master::response::{
    self, GetAgents, GetExecutors, GetFrameworks, GetState, GetTasks,
};
use wire::v1::master::{Event, Response, event};

use super::View;
use super::runs::run_of;
use super::weave::{List, agent, field, field_head, framework, run, varint};
use crate::engine::collections::Shelf;
use crate::engine::state::{Agent, Framework, Task};

/// The number of a field that is known by its name.
fn number(message: &MessageDescriptor, name: &str) -> u32 {
    let field = message.fields.iter().find(|field| field.v1_name == Some(name));
    debug_assert!(field.is_some(), "{name} is a field");
    field.map_or(0, |field| field.number)
}

const STYLE: Style = Style::MASTER_READ;

/// The large calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Large {
    /// GET_AGENTS
    Agents,
    /// GET_EXECUTORS
    Executors,
    /// GET_FRAMEWORKS
    Frameworks,
    /// GET_STATE
    State,
    /// GET_TASKS
    Tasks,
}

impl Large {
    pub(super) fn kind(self) -> response::Type {
        match self {
            Self::Agents => response::Type::GetAgents,
            Self::Executors => response::Type::GetExecutors,
            Self::Frameworks => response::Type::GetFrameworks,
            Self::State => response::Type::GetState,
            Self::Tasks => response::Type::GetTasks,
        }
    }
}

impl View<'_> {
    /// The answer to a large call.
    #[must_use]
    pub fn large(&self, what: Large, media: Media) -> Rope {
        if !self.sight.everything() {
            return encode(media, &self.large_message(what), STYLE).into();
        }
        let content = self.content(what, media);
        let name = what.kind().as_str_name();
        let member = name.to_lowercase();
        let mut out = Weaver::default();
        match media {
            Media::Json => {
                out.text(format!("{{\"type\":\"{name}\",\"{member}\":").as_bytes());
                out.rope(&content);
                out.text(b"}");
            }
            Media::Protobuf => {
                let mut head = vec![8];
                varint(what.kind() as u64, &mut head);
                out.text(&head);
                field(&mut out, number(Response::DESCRIPTOR, &member), &content);
            }
        }
        out.finish()
    }

    /// SUBSCRIBED. `heartbeat_interval` is in seconds.
    #[must_use]
    pub fn subscribed(&self, heartbeat_interval: f64, media: Media) -> Rope {
        if !self.sight.everything() {
            return encode(media, &self.subscribed_message(heartbeat_interval), STYLE).into();
        }
        let state = self.content(Large::State, media);
        // All but the state, to be put around it.
        let interval = event::Subscribed {
            get_state: None,
            heartbeat_interval_seconds: Some(heartbeat_interval),
        };
        let interval = encode(media, &interval, STYLE);
        let mut subscribed = Weaver::default();
        let mut out = Weaver::default();
        match media {
            Media::Json => {
                subscribed.text(b"{\"get_state\":");
                subscribed.rope(&state);
                super::weave::more_members(&mut subscribed, &interval);
                out.text(b"{\"type\":\"SUBSCRIBED\",\"subscribed\":");
                out.rope(&subscribed.finish());
                out.text(b"}");
            }
            Media::Protobuf => {
                field(&mut subscribed, number(event::Subscribed::DESCRIPTOR, "get_state"), &state);
                subscribed.text(&interval);
                out.text(&[8, event::Type::Subscribed as u8]);
                let subscribed = subscribed.finish();
                field(&mut out, number(Event::DESCRIPTOR, "subscribed"), &subscribed);
            }
        }
        out.finish()
    }

    /// The message of a large call, as JSON object or in protobuf without anything around it.
    fn content(&self, what: Large, media: Media) -> Rope {
        match what {
            Large::Agents => self.agents_content(media),
            Large::Executors => self.executors_content(media),
            Large::Frameworks => self.frameworks_content(media),
            Large::State => self.state_content(media),
            Large::Tasks => self.tasks_content(media),
        }
    }

    fn state_content(&self, media: Media) -> Rope {
        let parts = [Large::Tasks, Large::Executors, Large::Frameworks, Large::Agents];
        let mut out = Weaver::default();
        for (n, part) in parts.into_iter().enumerate() {
            let member = part.kind().as_str_name().to_lowercase();
            let content = self.content(part, media);
            match media {
                Media::Json => {
                    let begin = if n == 0 { "{" } else { "," };
                    out.text(format!("{begin}\"{member}\":").as_bytes());
                    out.rope(&content);
                }
                Media::Protobuf => {
                    field(&mut out, number(GetState::DESCRIPTOR, &member), &content);
                }
            }
        }
        if media == Media::Json {
            out.text(b"}");
        }
        out.finish()
    }

    fn agents_content(&self, media: Media) -> Rope {
        let mut out = Weaver::default();
        let recovered = self.snapshot.recovered_agents.values();
        match media {
            Media::Json => {
                out.text(b"{\"agents\":");
                let mut list = List::new(&mut out);
                for one in self.snapshot.agents.values() {
                    list.element(&self.agent_in_v1(one, media));
                }
                list.end();
                out.text(b",\"recovered_agents\":");
                let mut list = List::new(&mut out);
                for one in recovered {
                    list.element(&encode(media, &*one.info, STYLE));
                }
                list.end();
                out.text(b"}");
            }
            Media::Protobuf => {
                let of = |name| number(GetAgents::DESCRIPTOR, name);
                let agents = of("agents");
                for one in self.snapshot.agents.values() {
                    let bytes = self.agent_in_v1(one, media);
                    out.text(&field_head(agents, bytes.len()));
                    out.text(&bytes);
                }
                for one in recovered {
                    let bytes = encode(media, &*one.info, STYLE);
                    out.text(&field_head(of("recovered_agents"), bytes.len()));
                    out.text(&bytes);
                }
            }
        }
        out.finish()
    }

    fn agent_in_v1(&self, one: &Agent, media: Media) -> Arc<Bytes> {
        let slot = match media {
            Media::Json => agent::V1_JSON,
            Media::Protobuf => agent::V1_PROTOBUF,
        };
        let render = || Bytes::from(encode(media, &self.agent_message(one), STYLE));
        one.cells.get_or(slot, render)
    }

    fn frameworks_content(&self, media: Media) -> Rope {
        let mut out = Weaver::default();
        let lists = [("frameworks", false), ("completed_frameworks", true)];
        for (n, (name, completed)) in lists.into_iter().enumerate() {
            let all: Vec<&Arc<Framework>> = match completed {
                false => self.snapshot.frameworks.values().collect(),
                true => self.snapshot.completed_frameworks.iter().collect(),
            };
            match media {
                Media::Json => {
                    let begin = if n == 0 { "{" } else { "," };
                    out.text(format!("{begin}\"{name}\":").as_bytes());
                    let mut list = List::new(&mut out);
                    for one in all {
                        list.element(&self.framework_in_v1(one, media));
                    }
                    list.end();
                }
                Media::Protobuf => {
                    let number = number(GetFrameworks::DESCRIPTOR, name);
                    for one in all {
                        let bytes = self.framework_in_v1(one, media);
                        out.text(&field_head(number, bytes.len()));
                        out.text(&bytes);
                    }
                }
            }
        }
        if media == Media::Json {
            out.text(b"}");
        }
        out.finish()
    }

    fn framework_in_v1(&self, one: &Framework, media: Media) -> Arc<Bytes> {
        let slot = match media {
            Media::Json => framework::V1_JSON,
            Media::Protobuf => framework::V1_PROTOBUF,
        };
        let render = || Bytes::from(encode(media, &self.framework_message(one), STYLE));
        one.cells.get_or(slot, render)
    }

    fn executors_content(&self, media: Media) -> Rope {
        let mut out = Weaver::default();
        match media {
            Media::Json => {
                out.text(b"{\"executors\":");
                let mut list = List::new(&mut out);
                for one in self.snapshot.frameworks.values() {
                    list.run(&self.executors_in_v1(one, media));
                }
                list.end();
                out.text(b"}");
            }
            Media::Protobuf => {
                for one in self.snapshot.frameworks.values() {
                    out.piece(&self.executors_in_v1(one, media));
                }
            }
        }
        out.finish()
    }

    fn executors_in_v1(&self, one: &Framework, media: Media) -> Arc<Piece> {
        let slot = match media {
            Media::Json => framework::EXECUTORS_JSON,
            Media::Protobuf => framework::EXECUTORS_PROTOBUF,
        };
        one.cells.get_or(slot, || {
            let mut all = Vec::new();
            let number = number(GetExecutors::DESCRIPTOR, "executors");
            for executor in one.executors.values() {
                let bytes = encode(media, &super::calls::executor_message(executor), STYLE);
                match media {
                    Media::Json => all.push(b','),
                    Media::Protobuf => all.extend(field_head(number, bytes.len())),
                }
                all.extend(bytes);
            }
            Piece::new(all)
        })
    }

    fn tasks_content(&self, media: Media) -> Rope {
        let mut out = Weaver::default();
        let all =
            || self.snapshot.frameworks.values().chain(self.snapshot.completed_frameworks.iter());
        for (n, name) in ["tasks", "unreachable_tasks", "completed_tasks"].into_iter().enumerate() {
            let number = number(GetTasks::DESCRIPTOR, name);
            let mut runs = Vec::new();
            for one in all() {
                match n {
                    0 => runs_of(&one.tasks, number, media, &mut runs),
                    1 => runs_of(one.unreachable_tasks.shelf(), number, media, &mut runs),
                    _ => runs_of(one.completed_tasks.shelf(), number, media, &mut runs),
                }
            }
            match media {
                Media::Json => {
                    let begin = if n == 0 { "{" } else { "," };
                    out.text(format!("{begin}\"{name}\":").as_bytes());
                    let mut list = List::new(&mut out);
                    for each in &runs {
                        list.run(each);
                    }
                    list.end();
                }
                Media::Protobuf => {
                    for each in &runs {
                        out.piece(each);
                    }
                }
            }
        }
        if media == Media::Json {
            out.text(b"}");
        }
        out.finish()
    }
}

/// Appends what is kept of all tasks of a shelf.
fn runs_of<K>(shelf: &Shelf<K, Arc<Task>>, number: u32, media: Media, runs: &mut Vec<Arc<Piece>>) {
    for leaf in shelf.leaves() {
        runs.push(match media {
            Media::Json => run_of(&leaf, run::V1_JSON, |task, text| {
                text.push(b',');
                task_json(task, text);
            }),
            Media::Protobuf => run_of(&leaf, run::V1_PROTOBUF, |task, text| {
                let bytes = task.packed();
                text.extend(field_head(number, bytes.len()));
                text.extend_from_slice(bytes);
            }),
        });
    }
}

/// A task from the bytes that it is kept in.
fn task_json(task: &Task, out: &mut Vec<u8>) {
    if transcode(v1::Task::DESCRIPTOR, task.packed(), STYLE, out).is_err() {
        // They were written here, so they can be read.
        debug_assert!(false, "the bytes of {} are a task", task.id);
        out.extend_from_slice(b"{}");
    }
}
