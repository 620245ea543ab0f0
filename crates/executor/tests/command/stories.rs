//! What an agent sees of an executor, and what a task sees of it.

use launch::User;
use testkit::port::Port;
use tls_policy::{NameCheck, Recognize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use transport::tls::Security;
use wire::v1;
use wire::v1::TaskState::{
    TaskFailed, TaskFinished, TaskKilled, TaskKilling, TaskRunning, TaskStarting,
};
use wire::v1::executor::event;
use wire::v1::task_status::{Reason, Source};

use crate::agent::{Agent, Authority, TOKEN, event};
use crate::fixture::{
    Executor, Options, framework, has_ended, kill_policy, milliseconds, run, task,
};

/// An agent in plaintext and an executor that subscribed to it.
async fn pair() -> (Agent, Executor) {
    let mut agent = Agent::start(Security::DangerPlaintext, ([127, 0, 0, 1], 0).into());
    let executor = Executor::start(agent.address(), Options::default());
    agent.subscribed(framework()).await;
    (agent, executor)
}

pub(crate) fn a_task_ends_with_its_exit_code() {
    run(async {
        for (text, state, message) in [
            ("echo hello; exit 0", TaskFinished, "Command exited with status 0"),
            ("exit 3", TaskFailed, "Command exited with status 3"),
            ("kill -SEGV $$", TaskFailed, "Command terminated with signal Segmentation fault"),
        ] {
            let (mut agent, mut executor) = pair().await;
            agent.launch(&task(text));
            let (before, last) = agent.updates_until(state).await;
            assert_eq!(before, [TaskStarting, TaskRunning]);
            assert!(last.message().starts_with(message), "{last:?}");
            assert_eq!(last.source(), Source::Executor);
            assert_eq!(last.executor_id.unwrap().value, "t");
            assert!(last.timestamp.is_some() && last.uuid.unwrap().len() == 16);
            assert!(executor.end().await.success());
        }
    });
}

pub(crate) fn a_task_in_argv_form_gets_its_environment_and_nothing_else() {
    run(async {
        let (mut agent, executor) = pair().await;
        let variable = v1::environment::Variable {
            name: "A".into(),
            value: Some("of the task".into()),
            ..v1::environment::Variable::default()
        };
        let mut task = task("");
        task.command = Some(v1::CommandInfo {
            shell: Some(false),
            value: Some("env".into()),
            arguments: vec!["env".into()],
            environment: Some(v1::Environment { variables: vec![variable] }),
            ..v1::CommandInfo::default()
        });
        task.resources = vec![v1::Resource {
            allocation_info: Some(v1::resource::AllocationInfo { role: Some("dev".into()) }),
            ..v1::Resource::default()
        }];
        agent.launch(&task);
        agent.updates_until(TaskFinished).await;
        let output = executor.output("stdout");
        let mut names: Vec<_> = output.lines().filter_map(|l| l.split('=').next()).collect();
        names.sort_unstable();
        assert_eq!(
            names,
            [
                "A",
                "MESOS_ALLOCATION_ROLE",
                "MESOS_CHECKPOINT",
                "MESOS_EXECUTOR_ID",
                "MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD",
                "MESOS_FRAMEWORK_ID",
                "MESOS_RECOVERY_TIMEOUT",
                "MESOS_SANDBOX",
                "MESOS_SLAVE_PID",
                "MESOS_SUBSCRIPTION_BACKOFF_MAX",
                "PATH"
            ]
        );
        assert!(output.contains("A=of the task\n"));
    });
}

pub(crate) fn the_token_is_on_every_call_and_nowhere_near_the_task() {
    run(async {
        let authority = Authority::new();
        // It answers 401 to every call without the token.
        let mut agent = Agent::start(authority.security("a"), ([127, 0, 0, 1], 0).into());
        let options = Options { trust: Some(authority.trust()), ..Options::default() };
        let mut executor = Executor::start(agent.address(), options);
        agent.subscribed(framework()).await;
        agent.launch(&task(
            "env; pwd; cat; i=0; while [ $i -lt 256 ]; do \
             [ -e /proc/$$/fd/$i ] && echo \"open $i $(readlink /proc/$$/fd/$i)\"; \
             i=$((i+1)); done; tr '\\0' ' ' < /proc/$PPID/cmdline",
        ));
        agent.updates_until(TaskFinished).await;
        assert!(executor.end().await.success());
        let output = executor.output("stdout");
        assert!(!output.contains(TOKEN) && !output.contains("MATERIAL"), "{output}");
        let sandbox = executor.sandbox();
        let open: Vec<_> = output.lines().filter(|line| line.starts_with("open")).collect();
        assert_eq!(
            open,
            [
                "open 0 /dev/null".to_owned(),
                format!("open 1 {sandbox}/stdout"),
                format!("open 2 {sandbox}/stderr")
            ]
        );
        assert!(output.contains(&format!("\n{sandbox}\n")), "{output}");
        assert!(output.ends_with("alcazar executor "), "{output}");
    });
}

pub(crate) fn a_kill_is_polite_first() {
    run(async {
        let (mut agent, mut executor) = pair().await;
        agent.launch(&task(
            "trap 'echo asked >> asked' TERM; echo ready; while :; do sleep 0.01; done",
        ));
        agent.updates_until(TaskRunning).await;
        while !executor.output("stdout").contains("ready") {
            tokio::task::yield_now().await;
        }
        agent.kill(Some(kill_policy(300)));
        let (before, last) = agent.updates_until(TaskKilled).await;
        assert_eq!(before, [TaskKilling]);
        assert_eq!(last.message(), "Command terminated with signal Killed");
        assert_eq!(executor.output("asked"), "asked\n");
        assert!(executor.end().await.success());
    });
}

pub(crate) fn a_task_that_ends_when_asked_is_reported_as_it_ended() {
    run(async {
        let (mut agent, _executor) = pair().await;
        agent.launch(&task("exec sleep 1000"));
        agent.updates_until(TaskRunning).await;
        agent.kill(None);
        let (_, last) = agent.updates_until(TaskKilled).await;
        assert_eq!(last.message(), "Command terminated with signal Terminated");
    });
}

pub(crate) fn nothing_of_a_task_runs_when_its_end_is_reported() {
    run(async {
        let (mut agent, executor) = pair().await;
        // A daemon, forked twice, in a session of its own; the task ends when it is there.
        agent.launch(&task(
            "mkfifo born; (setsid sh -c 'sh -c \"trap : TERM; echo \\$\\$ > daemon; \
             echo > born; while :; do sleep 1000; done\" &' &); read x < born; exit 4",
        ));
        let (_, last) = agent.updates_until(TaskFailed).await;
        assert_eq!(last.message(), "Command exited with status 4");
        assert!(has_ended(&executor.output("daemon")));
    });
}

pub(crate) fn a_task_that_runs_too_long_fails() {
    run(async {
        let (mut agent, _executor) = pair().await;
        let limited =
            v1::TaskInfo { max_completion_time: Some(milliseconds(100)), ..task("sleep 1000") };
        agent.launch(&limited);
        let (before, last) = agent.updates_until(TaskFailed).await;
        assert_eq!(before, [TaskStarting, TaskRunning, TaskKilling]);
        assert_eq!(last.reason(), Reason::MaxCompletionTimeReached);
    });
}

pub(crate) fn a_task_that_cannot_start_fails_with_the_reason() {
    run(async {
        let (mut agent, mut executor) = pair().await;
        agent.launch(&v1::TaskInfo { command: None, ..task("") });
        let (before, last) = agent.updates_until(TaskFailed).await;
        assert_eq!(before, [TaskStarting]);
        assert_eq!(last.message(), "Expecting task 't' to have a command");
        assert!(executor.end().await.success());

        let (mut agent, executor) = pair().await;
        let mut missing = task("/no/such/program");
        missing.command.as_mut().unwrap().shell = Some(false);
        agent.launch(&missing);
        let (_, last) = agent.updates_until(TaskFailed).await;
        assert_eq!(last.message(), "Command exited with status 127");
        let said = executor.output("stderr");
        assert!(said.contains("Failed to execute '/no/such/program'"), "{said}");
    });
}

pub(crate) fn a_shutdown_ends_task_and_executor() {
    run(async {
        let (mut agent, mut executor) = pair().await;
        agent.launch(&task("trap : TERM; while :; do sleep 0.01; done"));
        agent.updates_until(TaskRunning).await;
        agent.tell(event(event::Type::Shutdown));
        let (before, _) = agent.updates_until(TaskKilled).await;
        assert_eq!(before, [TaskKilling]);
        assert!(executor.end().await.success());

        let (agent, mut idle) = pair().await;
        agent.tell(event(event::Type::Shutdown));
        assert!(idle.end().await.success());
    });
}

pub(crate) fn updates_survive_the_agent() {
    run(async {
        let authority = Authority::new();
        let port = Port::reserve();
        let mut agent = Agent::start(authority.security("a"), port.address().into());
        let address = agent.address();
        let options = Options { trust: Some(authority.trust()), ..Options::default() };
        let mut executor = Executor::start(address, options);
        assert_eq!(agent.subscribed(framework()).await, Default::default());
        agent.launch(&task("mkfifo go; echo $$; read x < go; exit 5"));
        let starting = agent.update().await;
        let running = agent.update().await;
        assert_eq!((starting.state(), running.state()), (TaskStarting, TaskRunning));
        // Nothing is acknowledged when the agent dies; the task ends while it is away.
        while !executor.output("stdout").ends_with('\n') {
            tokio::task::yield_now().await;
        }
        agent.die().await;
        let task_pid = executor.output("stdout");
        assert!(!has_ended(&task_pid));
        executor.go();
        while !has_ended(&task_pid) {
            tokio::task::yield_now().await;
        }

        let mut agent = Agent::start(authority.security("a"), address);
        let subscribe = agent.subscribed(framework()).await;
        let tasks: Vec<_> =
            subscribe.unacknowledged_tasks.iter().map(|t| t.task_id.value.as_str()).collect();
        assert_eq!(tasks, ["t"]);
        let again: Vec<_> =
            subscribe.unacknowledged_updates.into_iter().map(|update| update.status).collect();
        assert_eq!(again[..2], [starting, running]);
        for status in &again {
            agent.acknowledge(status);
        }
        // Whether the end was in time for the SUBSCRIBE is for the scheduler of the machine.
        let last = match again.get(2) {
            Some(last) => last.clone(),
            None => agent.updates_until(TaskFailed).await.1,
        };
        assert_eq!(last.message(), "Command exited with status 5");
        assert!(executor.end().await.success());
        // What the agent did is not the task's output.
        assert_eq!(executor.output("stderr"), "");
    });
}

pub(crate) fn without_checkpointing_the_task_dies_with_the_agent() {
    run(async {
        let mut agent = Agent::start(Security::DangerPlaintext, ([127, 0, 0, 1], 0).into());
        let options = Options { checkpoint: false, ..Options::default() };
        let mut executor = Executor::start(agent.address(), options);
        agent.subscribed(framework()).await;
        agent.launch(&task("trap : TERM; echo $$; while :; do sleep 0.01; done"));
        agent.updates_until(TaskRunning).await;
        while !executor.output("stdout").ends_with('\n') {
            tokio::task::yield_now().await;
        }
        agent.die().await;
        assert!(executor.end().await.success());
        assert!(has_ended(&executor.output("stdout")));
        assert!(executor.output("stderr").contains("the framework does not checkpoint"));
    });
}

pub(crate) fn another_agent_is_told_nothing() {
    run(async {
        let authority = Authority::new();
        // A certificate of the same cluster, but not that of the executor's agent.
        let mut agent = Agent::start(authority.security("b"), ([127, 0, 0, 1], 0).into());
        let options =
            Options { checkpoint: false, trust: Some(authority.trust()), ..Options::default() };
        let mut executor = Executor::start(agent.address(), options);
        executor.end().await;
        let said = executor.output("stderr");
        assert!(said.contains("agent/b, expected spiffe://alcazar.local/agent/a"), "{said}");
        let nothing = tokio::time::timeout(std::time::Duration::ZERO, agent.call()).await;
        assert!(nothing.is_err(), "{nothing:?}");
    });
}

/// What an agent did not verify when it started the executor is not held against it later.
pub(crate) fn an_executor_that_was_started_in_plaintext_follows_its_agent_to_tls_and_back() {
    run(async {
        let authority = Authority::new();
        let port = Port::reserve();
        let mut agent = Agent::start(Security::DangerPlaintext, port.address().into());
        let address = agent.address();
        let mut executor = Executor::start(address, Options::default());
        agent.subscribed(framework()).await;
        agent.launch(&task("mkfifo go; echo ready; read x < go"));
        agent.updates_until(TaskRunning).await;
        for security in [authority.security("a"), Security::DangerPlaintext] {
            agent.die().await;
            agent = Agent::start_without_token(security, address);
            agent.subscribed(framework()).await;
        }
        while !executor.output("stdout").contains("ready") {
            tokio::task::yield_now().await;
        }
        executor.go();
        agent.updates_until(TaskFinished).await;
        assert!(executor.end().await.success());
    });
}

/// Row D3: an executor that verifies its agent tells nobody its token in plaintext.
pub(crate) fn an_executor_that_verifies_its_agent_over_tls_never_follows_it_to_plaintext() {
    run(async {
        let authority = Authority::new();
        let chain = Recognize::Chain {
            roots: Some(authority.bundle()),
            depth: 4,
            names: NameCheck::ChainOnly,
        };
        for trust in [authority.trust(), chain] {
            let port = Port::reserve();
            let mut agent = Agent::start(authority.security("a"), port.address().into());
            let address = agent.address();
            let options = Options { trust: Some(trust), ..Options::default() };
            let _executor = Executor::start(address, options);
            agent.subscribed(framework()).await;
            agent.die().await;
            // Somebody who speaks no TLS takes its place, again and again.
            let listener = tokio::net::TcpListener::bind(address).await.unwrap();
            for _ in 0..4 {
                let (mut socket, _) = listener.accept().await.unwrap();
                let mut first = [0];
                socket.read_exact(&mut first).await.unwrap();
                assert_eq!(first, [0x16], "it says something that is not a TLS handshake");
                socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
            }
        }
    });
}

pub(crate) fn an_executor_without_the_right_token_is_refused() {
    run(async {
        let authority = Authority::new();
        let mut agent = Agent::start(authority.security("a"), ([127, 0, 0, 1], 0).into());
        let trust = Some(authority.trust());
        let options = Options { trust, token: "another", ..Options::default() };
        let executor = Executor::start(agent.address(), options);
        while !executor.output("stderr").contains("401 Unauthorized") {
            tokio::task::yield_now().await;
        }
        let nothing = tokio::time::timeout(std::time::Duration::ZERO, agent.call()).await;
        assert!(nothing.is_err(), "{nothing:?}");
        assert!(!executor.output("stderr").contains("another"));
    });
}

pub(crate) fn a_task_of_the_same_user_cannot_look_into_the_executor() {
    if !testkit::is_root() {
        testkit::skipped("root may look everywhere, so another user is needed");
        return;
    }
    run(async {
        let authority = Authority::new();
        let mut agent = Agent::start(authority.security("a"), ([127, 0, 0, 1], 0).into());
        let options = Options {
            trust: Some(authority.trust()),
            user: Some(User { uid: 65_534, gid: 65_534, groups: Vec::new() }),
            ..Options::default()
        };
        let executor = Executor::start(agent.address(), options);
        agent.subscribed(framework()).await;
        agent.launch(&task(
            "id -u; for f in environ mem maps fd/0; do \
             cat /proc/$PPID/$f > /dev/null 2>&1 || echo refused $f; done",
        ));
        agent.updates_until(TaskFinished).await;
        let refused = "refused environ\nrefused mem\nrefused maps\nrefused fd/0\n";
        assert_eq!(executor.output("stdout"), format!("65534\n{refused}"));
    });
}
