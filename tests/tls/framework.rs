//! A v1 framework that runs one task and can be replaced by another instance of itself.

use std::net::SocketAddrV4;
use std::sync::{Arc, Mutex, PoisonError};

use model::identity::Kind;
use scheduler::{Config, ContentType, Notice, Notices, Scheduler, acknowledgement, start};
use testkit::process::eventually;
use tokio::runtime::Runtime;
use transport::client::{Client, Settings};
use transport::tls::Expected;
use wire::v1::scheduler::{Call, call, event};
use wire::v1::{
    CommandInfo, Filters, FrameworkId, FrameworkInfo, Offer, TaskInfo, TaskState, TaskStatus, offer,
};

use crate::nodes::{Variables, security};

/// An instance of the framework.
#[derive(Debug)]
pub(crate) struct Framework {
    seen: Arc<Mutex<Seen>>,
    /// Ends the session when dropped.
    _runtime: Runtime,
}

/// What came from the master so far.
#[derive(Debug, Default)]
struct Seen {
    id: Option<FrameworkId>,
    subscriptions: usize,
    statuses: Vec<TaskStatus>,
    /// Why the session is over.
    end: Option<String>,
}

impl Framework {
    /// Subscribes a new framework and runs `script` on the first agent that offers something.
    pub(crate) fn run(master: SocketAddrV4, variables: &Variables, script: &str) -> Self {
        Self::start(master, variables, framework_info(), Some(script.to_owned()))
    }

    /// Subscribes a new framework that calls itself `principal`.
    pub(crate) fn run_as(master: SocketAddrV4, variables: &Variables, principal: &str) -> Self {
        let info = FrameworkInfo { principal: Some(principal.to_owned()), ..framework_info() };
        Self::start(master, variables, info, None)
    }

    /// Another instance takes the place of this one.
    pub(crate) fn replaced(self, master: SocketAddrV4, variables: &Variables) -> Self {
        let id = self.id();
        drop(self);
        Self::start(master, variables, FrameworkInfo { id: Some(id), ..framework_info() }, None)
    }

    fn start(
        master: SocketAddrV4,
        variables: &Variables,
        framework: FrameworkInfo,
        script: Option<String>,
    ) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let config = Config {
            client: Client::new(security(variables), Settings::default()),
            host: master.ip().to_string(),
            port: master.port(),
            expected: Expected::Kind(Kind::Master),
            content_type: ContentType::Protobuf,
            framework,
            suppressed_roles: Vec::new(),
        };
        let seen = Arc::new(Mutex::new(Seen::default()));
        let shared = Arc::clone(&seen);
        runtime.spawn(async move {
            let (scheduler, notices) = start(config);
            attend(&scheduler, notices, &shared, script).await;
        });
        let framework = Self { seen, _runtime: runtime };
        framework.wait_for_subscriptions(1);
        framework
    }

    /// The id, the same in all instances.
    pub(crate) fn id(&self) -> FrameworkId {
        self.look(|seen| seen.id.clone()).expect("it has subscribed")
    }

    /// How often this instance has subscribed.
    pub(crate) fn subscriptions(&self) -> usize {
        self.look(|seen| seen.subscriptions)
    }

    /// Waits until this instance has subscribed so often.
    pub(crate) fn wait_for_subscriptions(&self, times: usize) {
        eventually("the framework is subscribed", || {
            let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            assert_eq!(seen.end, None, "the session is over");
            (seen.subscriptions >= times).then_some(())
        });
    }

    /// Waits until the task is in `state`.
    pub(crate) fn wait_for(&self, state: TaskState) {
        eventually(&format!("{state:?}"), || {
            let states = self.states();
            let ended = states.iter().find(|s| !is_alive(**s));
            assert!(ended.is_none_or(|ended| *ended == state), "{:?}", self.seen);
            states.contains(&state).then_some(())
        });
    }

    /// The states that this instance was told.
    pub(crate) fn states(&self) -> Vec<TaskState> {
        self.look(|seen| seen.statuses.iter().map(TaskStatus::state).collect())
    }

    /// Nobody told this instance that its task is anything but alive.
    pub(crate) fn assert_alive(&self) {
        assert!(self.states().into_iter().all(is_alive), "{:?}", self.seen);
    }

    fn look<T>(&self, look: impl FnOnce(&Seen) -> T) -> T {
        look(&self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn is_alive(state: TaskState) -> bool {
    matches!(state, TaskState::TaskStaging | TaskState::TaskStarting | TaskState::TaskRunning)
}

async fn attend(
    scheduler: &Scheduler,
    mut notices: Notices,
    seen: &Mutex<Seen>,
    mut script: Option<String>,
) {
    let note = |change: &dyn Fn(&mut Seen)| {
        change(&mut seen.lock().unwrap_or_else(PoisonError::into_inner));
    };
    while let Some(notice) = notices.next().await {
        let event = match notice {
            Err(error) => return note(&|seen| seen.end = Some(error.to_string())),
            Ok(Notice::Subscribed { framework_id, .. }) => {
                note(&|seen| {
                    seen.id = Some(framework_id.clone());
                    seen.subscriptions += 1;
                });
                continue;
            }
            Ok(Notice::Disconnected { .. }) => continue,
            Ok(Notice::Event(event)) => *event,
        };
        let calls = match event.r#type() {
            event::Type::Update => {
                let status = event.update.map(|update| update.status).unwrap_or_default();
                let call = acknowledgement(&status);
                note(&|seen| seen.statuses.push(status.clone()));
                call.into_iter().collect()
            }
            event::Type::Offers => {
                let offers = event.offers.map(|offers| offers.offers).unwrap_or_default();
                offers.iter().map(|offer| answer(offer, script.take())).collect()
            }
            _ => Vec::new(),
        };
        for call in calls {
            // A call that is lost with its connection is made up for: offers come again, updates
            // too.
            let _ = scheduler.call(call).await;
        }
    }
}

/// Launches the task, if it is still to be launched.
fn answer(offer: &Offer, script: Option<String>) -> Call {
    let Some(script) = script else {
        let decline = call::Decline {
            offer_ids: vec![offer.id.clone()],
            filters: Some(Filters { refuse_seconds: Some(3600.0) }),
        };
        return Call {
            r#type: Some(call::Type::Decline as i32),
            decline: Some(decline),
            ..Call::default()
        };
    };
    let resources = model::resources::parse("cpus:0.1;mem:32", &model::role::Role::any());
    let resources = resources.expect("resources");
    let task = TaskInfo {
        name: "waiting".to_owned(),
        task_id: wire::v1::TaskId { value: "waiting".to_owned() },
        agent_id: offer.agent_id.clone(),
        resources: wire::resources::write(&resources, wire::resources::Form::PostRefinement),
        command: Some(CommandInfo { value: Some(script), ..CommandInfo::default() }),
        ..TaskInfo::default()
    };
    let operation = offer::Operation {
        r#type: Some(offer::operation::Type::Launch as i32),
        launch: Some(offer::operation::Launch { task_infos: vec![task] }),
        ..offer::Operation::default()
    };
    let accept = call::Accept {
        offer_ids: vec![offer.id.clone()],
        operations: vec![operation],
        filters: Some(Filters { refuse_seconds: Some(3600.0) }),
    };
    Call { r#type: Some(call::Type::Accept as i32), accept: Some(accept), ..Call::default() }
}

fn framework_info() -> FrameworkInfo {
    FrameworkInfo {
        user: user_name(),
        name: "one task".to_owned(),
        checkpoint: Some(true),
        failover_timeout: Some(3600.0),
        ..FrameworkInfo::default()
    }
}

fn user_name() -> String {
    if testkit::is_root() {
        return "root".to_owned();
    }
    let output = std::process::Command::new("id").arg("-un").output().expect("id is everywhere");
    String::from_utf8(output.stdout).expect("a name").trim().to_owned()
}
