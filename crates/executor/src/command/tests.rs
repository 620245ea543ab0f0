use super::*;

const GRACE: Duration = Duration::from_secs(5);

fn at(seconds: f64) -> Instant {
    Instant::new(Duration::from_secs_f64(seconds))
}

fn id(text: &str) -> v1::TaskId {
    v1::TaskId { value: text.to_owned() }
}

fn policy(seconds: i64) -> v1::KillPolicy {
    let nanoseconds = seconds * 1_000_000_000;
    v1::KillPolicy { grace_period: Some(v1::DurationInfo { nanoseconds }) }
}

fn task(name: &str) -> v1::TaskInfo {
    v1::TaskInfo { task_id: id(name), ..v1::TaskInfo::default() }
}

fn machine() -> Machine {
    Machine::new(v1::ExecutorId { value: "t".into() }, GRACE)
}

fn running(task: v1::TaskInfo) -> Machine {
    let mut machine = machine();
    machine.handle(Input::Subscribed(Box::default()), at(0.0));
    machine.handle(Input::Launch(Box::new(task)), at(0.0));
    machine.handle(Input::Started, at(0.0));
    machine
}

/// What the effects are, in short: the state of an update with its message, or a word.
fn short(effects: &[Effect]) -> Vec<String> {
    effects
        .iter()
        .map(|effect| match effect {
            Effect::Start(task) => format!("start {}", task.task_id.value),
            Effect::Terminate => "SIGTERM".to_owned(),
            Effect::Kill => "SIGKILL".to_owned(),
            Effect::Exit => "exit".to_owned(),
            Effect::Update(status) => {
                let message = status.message.as_deref().unwrap_or("-");
                format!("{} {message}", status.state().as_str_name())
            }
        })
        .collect()
}

fn kill(grace: Option<v1::KillPolicy>) -> Input {
    Input::Kill { task_id: id("t"), policy: grace }
}

#[test]
fn a_task_starts_runs_finishes_and_the_executor_ends_when_that_is_known() {
    let mut machine = machine();
    let effects = machine.handle(Input::Launch(Box::new(task("t"))), at(0.0));
    assert_eq!(short(&effects), ["TASK_STARTING -", "start t"]);
    assert_eq!(short(&machine.handle(Input::Started, at(0.1))), ["TASK_RUNNING -"]);
    let effects = machine.handle(Input::Ended(Exit::Code(0)), at(1.0));
    assert_eq!(short(&effects), ["TASK_FINISHED Command exited with status 0"]);
    let Effect::Update(last) = &effects[0] else { unreachable!() };
    assert_eq!(last.source(), Source::Executor);
    assert_eq!(last.executor_id.as_ref().unwrap().value, "t");
    let starting = machine.status(&id("t"), TaskState::TaskStarting);
    assert_eq!(machine.handle(Input::Settled(Box::new(starting)), at(1.1)), []);
    assert_eq!(machine.handle(Input::Settled(last.clone()), at(1.2)), [Effect::Exit]);
    assert_eq!(machine.deadline(), None);
}

#[test]
fn an_exit_other_than_zero_or_a_signal_is_a_failure() {
    for (exit, message) in [
        (Exit::Code(3), "TASK_FAILED Command exited with status 3"),
        (
            Exit::Signal { number: 9, core_dumped: false },
            "TASK_FAILED Command terminated with signal Killed",
        ),
    ] {
        let effects = running(task("t")).handle(Input::Ended(exit), at(1.0));
        assert_eq!(short(&effects), [message]);
    }
}

#[test]
fn a_task_that_does_not_start_has_failed() {
    let mut machine = machine();
    machine.handle(Input::Launch(Box::new(task("t"))), at(0.0));
    let effects = machine.handle(Input::NotStarted("no command".into()), at(0.0));
    assert_eq!(short(&effects), ["TASK_FAILED no command"]);
}

#[test]
fn the_executor_does_not_wait_forever_for_an_acknowledgement() {
    let mut machine = running(task("t"));
    machine.handle(Input::Ended(Exit::Code(0)), at(1.0));
    assert_eq!(machine.deadline(), Some(at(1.0) + ACKNOWLEDGEMENT_TIMEOUT));
    assert_eq!(machine.handle(Input::Timer, at(60.9)), []);
    assert_eq!(machine.handle(Input::Timer, at(61.0)), [Effect::Exit]);
}

#[test]
fn the_grace_period_is_the_kills_or_the_tasks_or_three_seconds() {
    let with_policy = v1::TaskInfo { kill_policy: Some(policy(20)), ..task("t") };
    for (task, policy, seconds) in [
        (task("t"), None, 3.0),
        (with_policy.clone(), None, 20.0),
        (with_policy, Some(policy(7)), 7.0),
    ] {
        let mut machine = running(task);
        assert_eq!(short(&machine.handle(kill(policy), at(10.0))), ["SIGTERM"]);
        assert_eq!(machine.deadline(), Some(at(10.0 + seconds)));
        assert_eq!(machine.handle(Input::Timer, at(10.0 + seconds)), [Effect::Kill]);
        assert_eq!(machine.deadline(), None, "killed once");
        let killed = Exit::Signal { number: 9, core_dumped: false };
        let effects = machine.handle(Input::Ended(killed), at(50.0));
        assert_eq!(short(&effects), ["TASK_KILLED Command terminated with signal Killed"]);
    }
}

#[test]
fn a_task_that_answers_sigterm_by_finishing_has_finished() {
    let mut machine = running(task("t"));
    machine.handle(kill(None), at(1.0));
    let effects = machine.handle(Input::Ended(Exit::Code(0)), at(2.0));
    assert_eq!(short(&effects), ["TASK_FINISHED Command exited with status 0"]);
}

#[test]
fn further_kills_can_only_shorten_the_grace_period() {
    let mut machine = running(task("t"));
    machine.handle(kill(Some(policy(20))), at(0.0));
    assert_eq!(machine.handle(kill(Some(policy(30))), at(1.0)), []);
    assert_eq!(machine.deadline(), Some(at(20.0)));
    assert_eq!(machine.handle(kill(Some(policy(10))), at(2.0)), []);
    assert_eq!(machine.deadline(), Some(at(10.0)));
    assert_eq!(machine.handle(kill(Some(policy(1))), at(3.0)), [Effect::Kill]);
    assert_eq!(machine.handle(kill(Some(policy(1))), at(4.0)), []);
}

#[test]
fn frameworks_that_know_task_killing_are_told() {
    use framework_info::{Capability, capability::Type};
    let framework = v1::FrameworkInfo {
        capabilities: vec![Capability { r#type: Some(Type::TaskKillingState.into()) }],
        ..v1::FrameworkInfo::default()
    };
    let mut machine = running(task("t"));
    machine.handle(Input::Subscribed(Box::new(framework)), at(0.0));
    assert_eq!(short(&machine.handle(kill(None), at(1.0))), ["TASK_KILLING -", "SIGTERM"]);
    assert_eq!(machine.handle(kill(None), at(1.5)), []);
}

#[test]
fn a_kill_for_another_task_changes_nothing() {
    let mut machine = running(task("t"));
    let other = Input::Kill { task_id: id("u"), policy: None };
    assert_eq!(machine.handle(other, at(1.0)), []);
    assert_eq!(machine.deadline(), None);
}

#[test]
fn a_shutdown_kills_in_time_for_the_agent() {
    let mut machine = running(task("t"));
    assert_eq!(short(&machine.handle(Input::Shutdown, at(1.0))), ["SIGTERM"]);
    assert_eq!(machine.deadline(), Some(at(1.0) + (GRACE - SHUTDOWN_MARGIN)));

    let mut hurried = running(v1::TaskInfo { kill_policy: Some(policy(600)), ..task("t") });
    hurried.handle(kill(None), at(0.0));
    assert_eq!(short(&hurried.handle(Input::Shutdown, at(10.0))), ["SIGKILL"]);
}

#[test]
fn a_shutdown_without_a_task_ends_the_executor() {
    let mut machine = machine();
    assert_eq!(machine.handle(Input::Shutdown, at(1.0)), [Effect::Exit]);
}

#[test]
fn a_second_task_is_refused_and_the_first_runs_on() {
    let mut machine = running(task("t"));
    let effects = machine.handle(Input::Launch(Box::new(task("u"))), at(1.0));
    assert_eq!(
        short(&effects),
        ["TASK_FAILED Attempted to run multiple tasks using a \"command\" executor"]
    );
    let Effect::Update(refused) = &effects[0] else { unreachable!() };
    assert_eq!(machine.handle(Input::Settled(refused.clone()), at(1.1)), []);
    let effects = machine.handle(Input::Ended(Exit::Code(0)), at(2.0));
    assert_eq!(short(&effects), ["TASK_FINISHED Command exited with status 0"]);
}

#[test]
fn a_task_that_runs_too_long_is_killed_at_once_and_has_failed() {
    let nanoseconds = 2_500_000_000;
    let limited =
        v1::TaskInfo { max_completion_time: Some(v1::DurationInfo { nanoseconds }), ..task("t") };
    let mut machine = running(limited);
    assert_eq!(machine.deadline(), Some(at(2.5)));
    assert_eq!(short(&machine.handle(Input::Timer, at(2.5))), ["SIGTERM", "SIGKILL"]);
    let killed = Exit::Signal { number: 9, core_dumped: false };
    let effects = machine.handle(Input::Ended(killed), at(2.6));
    assert_eq!(short(&effects), ["TASK_FAILED Command terminated with signal Killed"]);
    let Effect::Update(status) = &effects[0] else { unreachable!() };
    assert_eq!(status.reason(), Reason::MaxCompletionTimeReached);
}
