use std::path::Path;
use std::time::Duration;

use alcazar_agent::message::{AgentMessage, MasterMessage};
use alcazar_agent::runtime::{AgentError, start};
use endpoints::tls::Tls;
use transport::client::Call;
use transport::tls::Security;
use wire::internal as i;
use wire::v1::TaskState;

use crate::fixture::{FRAMEWORK, Home, Master, Trust, run};

/// Waits for a file, and returns what is in it.
async fn content(path: &Path) -> String {
    loop {
        match std::fs::read_to_string(path) {
            Ok(text) if text.ends_with('\n') => return text,
            // There is no event for a file that comes into being without a watcher of the kernel.
            _ => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

pub(crate) fn a_task_runs_to_its_end_and_what_it_printed_can_be_read() {
    run(async {
        let home = Home::new(Trust::certificates());
        let mut master = Master::start(&home.trust).await;
        let agent = home.start(&master).await;
        master.takes(&agent).await;
        master.runs(&agent, "t", "echo hello");
        let states = master.updates_until(&agent, TaskState::TaskFinished).await;
        assert_eq!(states.first(), Some(&TaskState::TaskStarting));
        assert!(states.contains(&TaskState::TaskRunning));

        let path = format!("/frameworks/{FRAMEWORK}/executors/t/runs/latest/stdout");
        let target = format!("/files/read?path={path}&offset=0");
        let (status, body) = home.get(&agent, &target).await;
        assert_eq!(status, 200, "{body}");
        assert!(body.contains("hello"), "{body}");
        let (status, body) = home.get(&agent, "/state").await;
        assert_eq!(status, 200);
        assert!(body.contains("TASK_FINISHED"), "{body}");
        let (_, metrics) = home.get(&agent, "/metrics/snapshot").await;
        assert!(metrics.contains("\"slave/tasks_finished\":1.0"), "{metrics}");
        agent.stop().await.unwrap();
    });
}

pub(crate) fn a_task_survives_its_agent_and_no_update_is_lost() {
    run(async {
        let home = Home::new(Trust::certificates());
        let mut master = Master::start(&home.trust).await;
        let agent = home.start(&master).await;
        master.takes(&agent).await;
        master.runs(&agent, "t", "echo started; while [ ! -e go ]; do sleep 0.02; done; exit 3");
        master.updates_until(&agent, TaskState::TaskRunning).await;
        let sandbox = home.sandbox("t");
        content(&sandbox.join("stdout")).await;
        agent.stop().await.unwrap();

        // The task goes on without its agent, and the new one finds it.
        let agent = home.start(&master).await;
        let asked = master.takes(&agent).await;
        let AgentMessage::Reregister(message) = asked else { panic!("{asked:?}") };
        assert_eq!(message.tasks.len(), 1);
        assert_eq!(message.tasks[0].state(), TaskState::TaskRunning);
        std::fs::write(sandbox.join("go"), "").unwrap();
        let states = master.updates_until(&agent, TaskState::TaskFailed).await;
        // The acknowledgement of the last update may have been lost with the agent.
        assert!(states.iter().all(|s| [TaskState::TaskRunning, TaskState::TaskFailed].contains(s)));
        agent.stop().await.unwrap();
    });
}

pub(crate) fn a_killed_task_ends_and_nothing_of_it_is_left() {
    run(async {
        let home = Home::new(Trust::certificates());
        let mut master = Master::start(&home.trust).await;
        let agent = home.start(&master).await;
        master.takes(&agent).await;
        master.runs(&agent, "t", "echo $$; exec sleep 1000");
        master.updates_until(&agent, TaskState::TaskRunning).await;
        let sandbox = home.sandbox("t");
        let process = content(&sandbox.join("stdout")).await;
        master.kills(&agent, "t");
        let states = master.updates_until(&agent, TaskState::TaskKilled).await;
        assert_eq!(states.last(), Some(&TaskState::TaskKilled));
        let number = process.lines().find_map(|line| line.parse::<u32>().ok()).unwrap();
        while Path::new(&format!("/proc/{number}")).exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        agent.stop().await.unwrap();
    });
}

/// B4, the attack over the wire: somebody who can reach the port plays an executor.
pub(crate) fn a_call_without_its_containers_token_is_refused() {
    run(async {
        let home = Home::new(Trust::certificates());
        let mut master = Master::start(&home.trust).await;
        let agent = home.start(&master).await;
        master.takes(&agent).await;
        master.runs(&agent, "t", "exec sleep 1000");
        master.updates_until(&agent, TaskState::TaskRunning).await;
        let forged = format!(
            r#"{{"type":"UPDATE","executor_id":{{"value":"t"}},"framework_id":{{"value":"{FRAMEWORK}"}},"update":{{"status":{{"task_id":{{"value":"t"}},"state":"TASK_FINISHED","source":"SOURCE_EXECUTOR","uuid":"AAAAAAAAAAAAAAAAAAAAAA=="}}}}}}"#
        );
        let call = || Call::post("/api/v1/executor", "application/json", forged.clone());
        for who in [None, Some("operator/root"), Some("agent/a1"), Some("framework/f")] {
            for call in [call(), call().bearer(&"0".repeat(64)).unwrap()] {
                let (status, body) = home.ask(&agent, who, call).await;
                assert_eq!((status, body.as_str()), (401, "401 Unauthorized."), "{who:?}");
            }
        }
        let (_, metrics) = home.get(&agent, "/metrics/snapshot").await;
        assert!(metrics.contains("\"alcazar/executor_tokens_refused\":8.0"), "{metrics}");
        assert!(metrics.contains("\"slave/tasks_finished\":0.0"), "{metrics}");
        master.kills(&agent, "t");
        master.updates_until(&agent, TaskState::TaskKilled).await;
        agent.stop().await.unwrap();
    });
}

pub(crate) fn strangers_get_nothing_and_messages_without_a_bound_sender_are_dropped() {
    run(async {
        let home = Home::new(Trust::certificates());
        let mut master = Master::start(&home.trust).await;
        let agent = home.start(&master).await;
        master.takes(&agent).await;
        for path in ["/state", "/health", "/files/debug", "/no/such", "/metrics/snapshot"] {
            assert_eq!(home.ask(&agent, None, Call::get(path)).await.0, 401, "{path}");
        }
        for who in ["framework/f", "agent/a2", "executor/e"] {
            assert_eq!(home.ask(&agent, Some(who), Call::get("/state")).await.0, 403, "{who}");
        }
        assert_eq!(home.get(&agent, "/health").await.0, 200);
        // A shutdown by somebody who is no master.
        let mut message =
            Call::post("/slave(1)/mesos.internal.ShutdownMessage", "application/x-protobuf", "");
        let claimed = http::HeaderValue::try_from(format!("master@127.0.0.1:{}", master.port()));
        let name = http::HeaderName::from_static("libprocess-from");
        message = message.header(name, claimed.unwrap());
        for who in [None, Some("framework/f"), Some("operator/root"), Some("agent/a2")] {
            let (status, _) = home.ask(&agent, who, message.clone()).await;
            assert!([202, 400, 403].contains(&status), "{who:?}: {status}");
        }
        let (_, metrics) = home.get(&agent, "/metrics/snapshot").await;
        assert!(metrics.contains("\"slave/registered\":1.0"), "{metrics}");
        agent.stop().await.unwrap();
    });
}

pub(crate) fn in_plaintext_a_task_runs_too() {
    run(async {
        let home = Home::new(Trust::Plaintext);
        let mut master = Master::start(&home.trust).await;
        let agent = home.start(&master).await;
        master.takes(&agent).await;
        master.runs(&agent, "t", "exit 0");
        master.updates_until(&agent, TaskState::TaskFinished).await;
        agent.stop().await.unwrap();
    });
}

pub(crate) fn an_agent_over_tls_without_trust_for_executors_does_not_start() {
    run(async {
        let home = Home::new(Trust::certificates());
        let master = Master::start(&home.trust).await;
        let mut settings = home.settings(&master);
        settings.tls = Tls::new(home.trust.security(None), Vec::new());
        assert!(matches!(settings.tls.security(), Security::Tls(_)));
        assert!(matches!(start(settings).await, Err(AgentError::NoExecutorTrust)));
    });
}

pub(crate) fn an_agent_that_is_told_to_shut_down_ends() {
    run(async {
        let home = Home::new(Trust::certificates());
        let mut master = Master::start(&home.trust).await;
        let mut agent = home.start(&master).await;
        master.takes(&agent).await;
        let message = i::ShutdownMessage { message: Some("gone".into()) };
        master.says(&agent, &MasterMessage::Shutdown(Box::new(message)));
        assert_eq!(agent.ended().await.unwrap().to_string(), "shut down: gone");
    });
}

/// A metric of the agent, when it has become at least so large.
async fn grown(home: &Home, agent: &alcazar_agent::runtime::Running, name: &str, least: f64) {
    loop {
        let (_, text) = home.get(agent, "/metrics/snapshot").await;
        let all: serde_json::Value = serde_json::from_str(&text).unwrap();
        if all[name].as_f64().unwrap() >= least {
            return;
        }
        // There is no event for a metric that grows.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Over TLS, with tokens that are good for two seconds: the executor gets one after the other over
/// the connection that it has, and the next run of the agent knows the last one.
pub(crate) fn authn_an_executor_renews_its_token_and_is_known_by_it_to_the_next_agent() {
    run(async {
        let home = Home::new(Trust::certificates());
        let mut master = Master::start(&home.trust).await;
        let settings = |master: &Master| {
            let mut settings = home.settings(master);
            settings.executor_tokens.lifetime = Duration::from_secs(2);
            settings.tune = Box::new(|rules| {
                rules.registration_backoff = Duration::from_millis(10);
                rules.executor_registration_timeout = Duration::from_secs(2);
                rules.executor_reregistration_timeout = Duration::from_secs(15);
            });
            settings
        };
        let agent = start(settings(&master)).await.unwrap();
        master.takes(&agent).await;
        master.runs(&agent, "t", "while [ ! -e go ]; do sleep 0.02; done");
        master.updates_until(&agent, TaskState::TaskRunning).await;
        let sandbox = home.sandbox("t");
        // Longer than any one token is good for.
        grown(&home, &agent, "alcazar/executor_tokens_renewed", 4.0).await;
        agent.stop().await.unwrap();
        let agent = start(settings(&master)).await.unwrap();
        master.takes(&agent).await;
        grown(&home, &agent, "alcazar/executor_tokens_renewed", 3.0).await;
        std::fs::write(sandbox.join("go"), "").unwrap();
        master.updates_until(&agent, TaskState::TaskFinished).await;
        grown(&home, &agent, "slave/executors_terminated", 1.0).await;
        let (_, text) = home.get(&agent, "/metrics/snapshot").await;
        assert!(text.contains("\"alcazar/executor_tokens_refused\":0.0"), "{text}");
        agent.stop().await.unwrap();
    });
}
