//! The facts of a story, as the engine of its master would hold them.

use super::*;

/// What the story's master was, from `/state` (and from GET_STATE for what that leaves out).
pub(super) fn snapshot(all: &[Exchange]) -> Snapshot {
    let state = json_of(body_of(all, |r| is_get(r, "/state")));
    let call = body_of(all, |r| is_call(r, "GET_STATE"));
    let call: Response = wire::json::read(&call.body, Names::V1, &Limits::default()).unwrap();
    let call = call.get_state.unwrap();
    let mut master = crate::runtime::master_info(MASTER.parse().unwrap(), None, None);
    master.id = text(&state["id"]);

    let resources = |r: &[v1::Resource]| wire::resources::read(r).unwrap();
    let tasks: Vec<Arc<Task>> = call
        .get_tasks
        .unwrap()
        .tasks
        .into_iter()
        .map(|info| {
            Arc::new(Task::new(
                info.task_id.value.parse().unwrap(),
                info.framework_id.value.parse().unwrap(),
                info.agent_id.value.parse().unwrap(),
                resources(&info.resources),
                &info,
            ))
        })
        .collect();
    let used = |agent: &AgentId, framework: &FrameworkId| {
        let of = |t: &&Arc<Task>| t.agent_id == *agent && t.framework_id == *framework;
        tasks
            .iter()
            .filter(of)
            .fold(model::resources::Resources::new(), |sum, t| sum.plus(&t.resources))
    };
    let frameworks = call.get_frameworks.unwrap().frameworks;
    let ids: Vec<FrameworkId> = frameworks
        .iter()
        .map(|f| f.framework_info.id.as_ref().unwrap().value.parse().unwrap())
        .collect();

    let mut agents = Map::default();
    for (n, agent) in call.get_agents.unwrap().agents.into_iter().enumerate() {
        let mut info = agent.agent_info;
        // The v1 reader does not know this key.
        info.checkpoint = Some(true);
        let id: AgentId = info.id.as_ref().unwrap().value.parse().unwrap();
        let mut used_by = Map::default();
        let mut on_agent: Set<(FrameworkId, TaskId)> = Set::default();
        for framework in &ids {
            let sum = used(&id, framework);
            if !sum.is_empty() {
                used_by.insert_mut(framework.clone(), sum);
            }
        }
        for task in tasks.iter().filter(|t| t.agent_id == id) {
            on_agent.insert_mut((task.framework_id.clone(), task.id.clone()));
        }
        let capability = |c: &v1::agent_info::Capability| c.r#type();
        agents.insert_mut(
            id.clone(),
            Arc::new(Agent {
                id,
                peer: Peer { pid: agent.pid.unwrap().parse().unwrap(), identity: None },
                owner: Owner::default(),
                session: None,
                connection: libprocess::sender::ConnectionId(0),
                info: Arc::new(info),
                version: agent.version,
                capabilities: agent.capabilities.iter().map(capability).collect(),
                registered: time(agent.registered_time.as_ref()),
                reregistered: agent.reregistered_time.as_ref().map(|t| time(Some(t))),
                connected: true,
                active: agent.active,
                orders: registry::Orders {
                    deactivated: agent.deactivated.unwrap(),
                    ..Default::default()
                },
                estimated_drain_start: None,
                total: resources(&agent.total_resources),
                used: used_by,
                offered: resources(&agent.offered_resources),
                resource_version: None,
                executors: Map::default(),
                tasks: on_agent,
                offers: Set::default(),
                inverse_offers: Set::default(),
                inverse_answers: Map::default(),
                unavailability: None,
                operations: Set::default(),
                operations_weight: 0,
                operations_by: Map::default(),
                providers: Map::default(),
                observer: n as u64 + 1,
                cells: Cells::default(),
            }),
        );
    }

    let mut all_frameworks = Map::default();
    for (framework, id) in frameworks.into_iter().zip(ids) {
        let own = || tasks.iter().filter(|t| t.framework_id == id);
        let info = framework.framework_info;
        let role = info.role().to_owned();
        let mut used_on = Map::default();
        for agent in agents.keys() {
            used_on.insert_mut(agent.clone(), used(agent, &id));
        }
        let mut running = Shelf::default();
        for task in own() {
            running.insert_mut(task.id.clone(), Arc::clone(task));
        }
        all_frameworks.insert_mut(
            id.clone(),
            Arc::new(Framework {
                id: id.clone(),
                info: Arc::new(info),
                roles: BTreeSet::from([Role::new(&role).unwrap()]),
                suppressed_roles: BTreeSet::new(),
                offer_constraints: None,
                constraints: None,
                capabilities: FrameworkCapabilities::default(),
                owner: Owner::default(),
                standing: Standing::Granted,
                connection: Connection::Connected(Channel::Stream(SubscriptionId(0))),
                active: framework.active,
                registered: time(framework.registered_time.as_ref()),
                reregistered: time(framework.reregistered_time.as_ref()),
                unregistered: None,
                tasks: running,
                unreachable_tasks: UnreachableTasks::default(),
                completed_tasks: History::default(),
                executors: Map::default(),
                used: used_on,
                offers: Set::default(),
                inverse_offers: Set::default(),
                operations: Set::default(),
                operations_weight: 0,
                operation_names: Map::default(),
                counters: FrameworkCounters::default(),
                cells: Cells::default(),
            }),
        );
    }
    State {
        inverse_offers: Map::default(),
        principals: Map::default(),
        master: Arc::new(master),
        started: moment(&state["start_time"]),
        elected: moment(&state["elected_time"]),
        agents,
        recovered_agents: Map::default(),
        unreachable_agents: Map::default(),
        gone_agents: Map::default(),
        frameworks: all_frameworks,
        completed_frameworks: History::default(),
        offers: Map::default(),
        operations: Map::default(),
        settings: Settings::default(),
        counters: Counters::default(),
    }
}

pub(super) fn program(all: &[Exchange]) -> Program {
    let state = json_of(body_of(all, |r| is_get(r, "/state")));
    let flags = state.get("flags").and_then(Json::as_object);
    let flags = flags.into_iter().flatten().map(|(k, v)| (k.clone(), text(v)));
    Program {
        build: Build {
            version: text(&state["version"]),
            date: text(&state["build_date"]),
            time: state["build_time"].as_f64().unwrap(),
            user: text(&state["build_user"]),
            git_sha: Some(text(&state["git_sha"])),
            git_branch: Some(text(&state["git_branch"])),
            git_tag: None,
        },
        flags: flags.collect(),
        cluster: None,
        log_dir: None,
        external_log_file: None,
    }
}

/// A master that shows the story's facts. The engine behind it knows none of them; of what it does
/// only what operators set is shown.
pub(super) fn master(all: &[Exchange]) -> Arc<Master> {
    let snapshot = snapshot(all);
    let (inbox, mut inputs) = Inbox::new();
    let (mut engine, _) = Engine::new(
        Config::new((*snapshot.master).clone()),
        registry::Contents::default(),
        0,
        Now::default(),
    );
    let master = Arc::new(Master {
        snapshots: ArcSwap::from_pointee(snapshot),
        program: program(all),
        files: Files::default(),
        authorizer: authz::Authorizer::door(),
        inbox,
        streams: Streams::default(),
        operators: Operators::new(1000, Duration::from_secs(15)),
        heartbeat_interval: Duration::from_secs(15),
        per_framework_metrics: true,
        counted: Counted::default(),
        measures: Measures::default(),
        documents: Documents::default(),
        workers: Workers::default(),
        tls: Tls::new(Security::DangerPlaintext, Vec::new()),
        authentication: Authentication::default(),
    });
    let shown = Arc::downgrade(&master);
    tokio::spawn(async move {
        while let Some((event, answer)) = inputs_of(&mut inputs).await {
            let mut effects = engine.handle(event, Now::default());
            effects.extend(engine.settle(Now::default()));
            let given = effects.into_iter().find_map(|effect| match effect {
                Effect::Answer { answer, .. } => Some(answer),
                _ => None,
            });
            if let Some(master) = shown.upgrade() {
                let mut snapshot = (**master.snapshots.load()).clone();
                snapshot.settings = engine.snapshot().settings;
                master.snapshots.store(Arc::new(snapshot));
            }
            if let Some(waiting) = answer {
                waiting.send(given.expect("the engine answers")).unwrap();
            }
        }
    });
    master
}
