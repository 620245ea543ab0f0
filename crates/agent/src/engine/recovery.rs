//! Going on from what an earlier run left (`master-agent-protocol.md` §16.3).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use model::id::{ContainerId, ExecutorId, FrameworkId};
use wire::v1::TaskState;
use wire::v1::task_status::Reason;

use super::drain::Drain;
use super::event::{Effect, ExecutorPlace, RunPlace};
use super::launch::new_framework;
use super::recovered::{Recovered, RecoveredExecutor, RecoveredFramework, RecoveredTask};
use super::rules::Recover;
use super::state::{Ending, Executor, ExecutorPhase, Framework};
use super::stream::{Input, StatusStream};
use super::task::{apply_status, is_terminal};
use super::timers::Timer;
use super::updates::remember;
use super::{Engine, Phase, StreamEntry, compatibility, environment, paths};
use crate::containerizer::RecoveredContainer;

impl Engine {
    /// Takes in what was found. Ends with the containerizer being asked to do the same.
    pub(super) fn recover(&mut self, found: Recovered) {
        self.state.counters.recovery_errors = found.errors;
        if let Err(why) = self.recover_resources(&found.resources) {
            return self.fail(format!(
                "What is remembered of this agent's resources does not go with its configuration: \
                 {why}. Start it with resources that hold these, or, to give up all reservations \
                 made at run time and the records of all volumes, remove {}",
                self.rules.work_dir.join("meta/resources").display()
            ));
        }
        if let Some((id, info)) = found.agent {
            match compatibility::check(self.rules.reconfiguration, &info, &self.info) {
                Ok(()) => {
                    self.info.id = info.id;
                    self.state.id = Some(id);
                    self.state.drain =
                        found.drain.map(|config| Drain { config, since: self.now.wall });
                    self.recover_operations(found.resources);
                    for framework in found.frameworks {
                        self.recover_framework(framework);
                    }
                }
                Err(difference) if found.rebooted => {
                    self.warn(format!(
                        "The agent's description changed and the machine was started again; \
                         registering as a new agent: {difference}"
                    ));
                }
                Err(difference) => {
                    return self.fail(format!(
                        "The agent's description changed: {difference}. To go on as agent {id}, \
                         start it as before. To start as a new agent and give up the tasks of \
                         the old one, remove {}",
                        self.rules.work_dir.join("meta/slaves/latest").display()
                    ));
                }
            }
        }
        let known = self.known_containers(found.rebooted);
        self.out.push(Effect::RecoverContainers(known));
    }

    fn known_containers(&self, rebooted: bool) -> Vec<RecoveredContainer> {
        let live = self.containers.iter().filter_map(|(container, (framework, executor))| {
            let executor = self.executor(framework, executor)?;
            let place = self.run_place(framework, executor)?;
            Some(RecoveredContainer {
                container_id: container.clone(),
                framework_id: framework.clone(),
                executor_id: executor.id.clone(),
                pid: executor.pid.filter(|_| !rebooted),
                pid_checkpoint: paths::forked_pid(&self.rules.work_dir, &place),
                sandbox: executor.sandbox.clone(),
            })
        });
        live.collect()
    }

    fn recover_framework(&mut self, found: RecoveredFramework) {
        let mut framework = new_framework(found.id.clone(), found.info, found.pid);
        for executor in found.executors {
            self.recover_executor(&mut framework, executor);
        }
        let id = framework.id.clone();
        self.state.frameworks.insert(id.clone(), Arc::new(framework));
        self.remove_framework_if_idle(&id);
    }

    fn recover_executor(&mut self, framework: &mut Framework, found: RecoveredExecutor) {
        let Some(agent) = self.state.id.clone() else { return };
        let run = found.run;
        let place = RunPlace {
            executor: ExecutorPlace {
                agent,
                framework: framework.id.clone(),
                executor: found.id.clone(),
            },
            container: run.container.clone(),
        };
        let mut executor = Executor {
            id: found.id.clone(),
            info: found.info,
            generated: found.generated,
            container: run.container.clone(),
            sandbox: paths::sandbox(&self.rules.work_dir, &place),
            checkpointed: true,
            phase: ExecutorPhase::Registering,
            pid: run.pid,
            token: run.token,
            next_token: run.next_token,
            token_made: None,
            libprocess: run.libprocess.filter(|_| !run.http),
            unreachable: false,
            connection: None,
            http_recorded: run.http,
            queued: Vec::new(),
            unconfirmed: BTreeMap::new(),
            kills: BTreeMap::new(),
            launched: BTreeMap::new(),
            terminated: BTreeMap::new(),
            completed: VecDeque::new(),
            ending: None,
            destroyed: false,
        };
        for task in run.tasks {
            self.recover_task(&framework.id, &mut executor, &place, task, run.completed);
        }
        if run.completed {
            executor.phase = ExecutorPhase::Terminated;
            let keep = self.rules.max_completed_executors;
            remember(&mut framework.completed_executors, Arc::new(executor), keep);
            return;
        }
        for token in [run.token, run.next_token].into_iter().flatten() {
            self.enter_token(token, run.container.clone(), true);
        }
        self.containers.insert(run.container, (framework.id.clone(), found.id.clone()));
        framework.executors.insert(found.id, Arc::new(executor));
    }

    /// Tokens of an earlier run last as long as their executors may take to come back, or as new
    /// ones do: when they were made is not known any more.
    fn await_all(&mut self) {
        let all: Vec<_> = self.containers.values().cloned().collect();
        for (framework, id) in all {
            self.await_return(&framework, &id);
        }
    }

    fn recover_task(
        &mut self,
        framework: &FrameworkId,
        executor: &mut Executor,
        place: &RunPlace,
        found: RecoveredTask,
        run_completed: bool,
    ) {
        let mut task = found.task;
        for record in &found.updates {
            if let Some(update) = &record.update {
                apply_status(&mut task, &update.status);
            }
        }
        let ended = is_terminal(task.state());
        let last_update = found.updates.iter().rev().find_map(|record| record.update.clone());
        let stream = match StatusStream::replay(found.updates) {
            Ok(stream) => stream,
            Err(e) => {
                // The reader cut off what a crash left half written, so this is no crash.
                self.state.counters.recovery_errors += 1;
                self.warn(format!(
                    "The records of task '{}' of framework {framework} contradict one another: \
                     {e}; its updates begin anew",
                    found.id
                ));
                anew(last_update, self.now.monotonic)
            }
        };
        let task = Arc::new(task);
        if run_completed || stream.is_retired() {
            remember(&mut executor.completed, task, self.rules.max_completed_tasks);
            return;
        }
        if ended {
            executor.terminated.insert(found.id.clone(), task);
        } else {
            executor.launched.insert(found.id.clone(), task);
        }
        let entry = StreamEntry { stream, place: Some(place.clone()), written: None };
        self.streams.insert((framework.clone(), found.id), entry);
    }

    /// The containerizer has what this run knows: executors may come back now.
    pub(super) fn containers_recovered(&mut self) {
        if !matches!(self.phase, Phase::Recovering) {
            return;
        }
        self.state.executors_known = true;
        self.await_all();
        let live: Vec<ContainerId> = self.containers.keys().cloned().collect();
        for container in &live {
            self.out.push(Effect::Watch(container.clone()));
        }
        match self.rules.recover {
            Recover::Cleanup => {
                self.shutdown("All executors were to be cleaned up".to_owned());
            }
            Recover::Reconnect if live.is_empty() => self.recovery_finished(),
            Recover::Reconnect => {
                self.info_log(format!("Waiting for {} executors to come back", live.len()));
                self.reconnect_executors();
                self.timers.set(
                    Timer::Recovery,
                    self.now.monotonic + self.rules.executor_reregistration_timeout,
                );
            }
        }
    }

    /// Something that recovery may have waited for happened.
    pub(super) fn executor_came_back(&mut self) {
        let waiting = self.state.executors_known
            && matches!(self.phase, Phase::Recovering)
            && self.missing_executors().is_empty();
        if waiting {
            self.recovery_finished();
        }
    }

    fn missing_executors(&self) -> Vec<(FrameworkId, ExecutorId, ContainerId)> {
        self.containers
            .iter()
            .filter(|(_, (framework, id))| {
                self.executor(framework, id).is_some_and(|e| e.phase == ExecutorPhase::Registering)
            })
            .map(|(container, (framework, id))| (framework.clone(), id.clone(), container.clone()))
            .collect()
    }

    pub(super) fn recovery_overdue(&mut self) {
        if !matches!(self.phase, Phase::Recovering) {
            return;
        }
        let timeout = environment::duration(self.rules.executor_reregistration_timeout);
        for (framework, id, container) in self.missing_executors() {
            let aware = self.framework(&framework).is_some_and(Framework::is_partition_aware);
            let ending = Ending {
                state: if aware { TaskState::TaskGone } else { TaskState::TaskLost },
                reason: Reason::ExecutorReregistrationTimeout,
                message: format!("Executor did not reregister within {timeout}"),
            };
            self.end_unregistered(&framework, &id, &container, ending);
        }
        self.recovery_finished();
    }

    fn recovery_finished(&mut self) {
        self.timers.cancel(&Timer::Recovery);
        self.info_log("Recovery is complete".to_owned());
        self.phase = Phase::Disconnected { attempts: 0 };
        self.out.push(Effect::Redetect);
    }
}

/// A stream that still has to deliver this update.
fn anew(last: Option<wire::internal::StatusUpdate>, now: model::time::Instant) -> StatusStream {
    let mut stream = StatusStream::new(true, true);
    if let Some(update) = last {
        // A stream that knows nothing refuses only an update without a uuid, and that one could
        // not be acknowledged either.
        let _ = stream.handle(Input::Update(Box::new(update)), now, &mut Vec::new());
    }
    stream
}
