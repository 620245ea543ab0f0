//! The steps from a request to a running container.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use launch::material::{self, Material};
use launch::{Input, Program, Start, User};
use tokio::net::unix::pipe::Receiver;

use super::{Container, Shared, lock};
use crate::containerizer::fetcher::{self, Fetch};
use crate::containerizer::first_process::{FirstProcess, Waiting};
use crate::containerizer::record::{Record, write_durably};
use crate::containerizer::sandbox::Sandbox;
use crate::containerizer::volumes;
use crate::containerizer::{LaunchError, LaunchRequest, Launched, Termination, unsupported, users};

/// The command of this program under which it is the command executor.
const EXECUTOR_COMMAND: &str = "executor";
/// Where executors of frameworks look for their token.
const TOKEN_VARIABLE: &str = "MESOS_EXECUTOR_AUTHENTICATION_TOKEN";

impl Shared {
    pub(super) async fn launch(
        self: Arc<Self>,
        request: LaunchRequest,
    ) -> Result<Launched, LaunchError> {
        let id = request.container_id.clone();
        let container = self.add(&id, Some(request.sandbox.clone()));
        // In a task of its own: a caller that stops waiting does not leave half a container.
        let launching = {
            let (shared, id, container) = (Arc::clone(&self), id.clone(), Arc::clone(&container));
            tokio::spawn(async move {
                let launched = shared.try_launch(request, &container).await;
                if launched.is_err() {
                    shared.ended(&id, &container, Termination::default());
                }
                launched
            })
        };
        launching.await.unwrap_or_else(|error| {
            self.ended(&id, &container, Termination::default());
            Err(LaunchError::Unsupported(format!("The launch failed: {error}")))
        })
    }

    async fn try_launch(
        self: &Arc<Self>,
        request: LaunchRequest,
        container: &Arc<Container>,
    ) -> Result<Launched, LaunchError> {
        if let Some(container) = &request.container {
            unsupported::check(container)?;
        }
        let request = Arc::new(request);
        let (sandbox, user) = {
            let (shared, request) = (Arc::clone(self), Arc::clone(&request));
            blocking(move || shared.prepare(&request)).await?
        };
        let start = self.start(&request, user.clone())?;
        let uris = &request.command.uris;
        if !uris.is_empty() {
            let fetch = Fetch::new(uris, &self.settings.fetch);
            self.fetch(&request, fetch, user, &sandbox, container).await?;
        }
        let first = {
            let (shared, container) = (Arc::clone(self), Arc::clone(container));
            let request = Arc::clone(&request);
            blocking(move || shared.begin(&request, sandbox, &start, &container)).await?
        };
        let pid = first.pid().as_raw_nonzero().get().unsigned_abs();
        self.watch(request.container_id.clone(), container, first);
        Ok(Launched { pid })
    }

    /// Finds the user and makes the sandbox.
    fn prepare(&self, request: &LaunchRequest) -> Result<(Sandbox, Option<User>), LaunchError> {
        let user = users::resolve(&request.run_as, self.settings.allow_root)?;
        let sandbox = Sandbox::create(&request.sandbox, user.as_ref())?;
        volumes::appear(&request.sandbox, &request.volumes)
            .map_err(|source| LaunchError::Sandbox { path: request.sandbox.clone(), source })?;
        Ok((sandbox, user))
    }

    /// What the container's first process is told.
    fn start(&self, request: &LaunchRequest, user: Option<User>) -> Result<Start, LaunchError> {
        let command = &request.command;
        let value = command.value.clone().unwrap_or_default();
        let (program, arguments) = if command.shell() {
            ("/bin/sh".to_owned(), vec!["sh".to_owned(), "-c".to_owned(), value])
        } else if command.arguments.is_empty() {
            (value.clone(), vec![value])
        } else {
            (value, command.arguments.clone())
        };
        let ours = !command.shell() && self.settings.command_executor == Path::new(&program);
        let (program, arguments) = if ours {
            let arguments = ["alcazar", EXECUTOR_COMMAND].map(OsString::from).to_vec();
            (Program::Ourselves, arguments)
        } else {
            let arguments = arguments.into_iter().map(OsString::from).collect();
            (Program::Named(program.into()), arguments)
        };
        let mut environment: BTreeMap<OsString, OsString> =
            request.environment.iter().map(|(name, value)| (name.into(), value.into())).collect();
        if let Some(token) = &request.environment_token {
            environment.insert(TOKEN_VARIABLE.into(), token.expose().into());
        }
        let input = match &request.secrets {
            None => Input::Null,
            Some(secrets) => {
                environment.insert(material::VARIABLE.into(), material::STDIN.into());
                let material = Material {
                    token: secrets.token.clone(),
                    lifetime: secrets.lifetime,
                    trust: secrets.trust.clone(),
                };
                Input::Bytes(material.encode())
            }
        };
        let directory = request.sandbox.clone();
        let may_gain_privileges = self.settings.allow_root;
        Ok(Start { program, arguments, environment, directory, user, input, may_gain_privileges })
    }

    /// Fetches the URIs of the command, as the user of the container and inside a container of
    /// its own, which ends when the launch is given up.
    async fn fetch(
        self: &Arc<Self>,
        request: &LaunchRequest,
        fetch: Fetch,
        user: Option<User>,
        sandbox: &Sandbox,
        container: &Container,
    ) -> Result<(), LaunchError> {
        let id = request.container_id.clone();
        let failed = move |cause: String| LaunchError::Fetch { container: id.clone(), cause };
        let start = Start {
            program: Program::Ourselves,
            arguments: ["alcazar", fetcher::COMMAND].map(OsString::from).to_vec(),
            environment: BTreeMap::new(),
            directory: request.sandbox.clone(),
            user,
            input: Input::Bytes(fetch.encode().into()),
            may_gain_privileges: false,
        };
        let stderr = sandbox.stderr.try_clone().map_err(|error| failed(error.to_string()))?;
        let begin = {
            let (shared, failed) = (Arc::clone(self), failed.clone());
            move || shared.begin_fetch(&start, stderr).map_err(|error| failed(error.to_string()))
        };
        let (first, stdout) = blocking(begin).await?;
        let fetched = async {
            let said = match stdout {
                Some(stdout) => fetcher::read_failure(stdout).await?,
                None => Vec::new(),
            };
            io::Result::Ok((first.ended().await?, said))
        };
        tokio::pin!(fetched);
        let (exit, said) = tokio::select! {
            fetched = &mut fetched => fetched,
            () = container.doomed() => {
                if let Err(error) = first.ask_to_end() {
                    tracing::error!(%error, "cannot end a fetcher");
                }
                fetched.await.map_err(|error| failed(error.to_string()))?;
                return Err(LaunchError::Destroyed);
            }
        }
        .map_err(|error| failed(error.to_string()))?;
        match exit {
            Some(exit) if exit.success() => Ok(()),
            _ if !said.is_empty() => {
                let said = OsString::from_vec(said);
                Err(failed(said.to_string_lossy().trim_end().to_owned()))
            }
            Some(exit) => Err(failed(format!("the fetcher {exit}"))),
            None => Err(failed("the fetcher was lost".to_owned())),
        }
    }

    fn begin_fetch(
        &self,
        start: &Start,
        stderr: File,
    ) -> io::Result<(Arc<FirstProcess>, Option<Receiver>)> {
        let mut waiting = Waiting::spawn(&self.image, Stdio::piped(), stderr)?;
        let stdout = waiting.take_stdout().map(|stdout| Receiver::from_owned_fd(stdout.into()));
        match stdout.transpose() {
            Ok(stdout) => Ok((waiting.begin(start)?, stdout)),
            Err(error) => {
                waiting.abandon();
                Err(error)
            }
        }
    }

    /// Starts the first process, writes down its pid, and only then lets it begin.
    fn begin(
        &self,
        request: &LaunchRequest,
        sandbox: Sandbox,
        start: &Start,
        container: &Container,
    ) -> Result<Arc<FirstProcess>, LaunchError> {
        let failed = |source| LaunchError::Start {
            program: request.command.value.clone().unwrap_or_default(),
            source,
        };
        let waiting =
            Waiting::spawn(&self.image, sandbox.stdout, sandbox.stderr).map_err(failed)?;
        if let Err(error) = self.write_down(request, &waiting) {
            waiting.abandon();
            return Err(failed(error));
        }
        {
            let mut slot = lock(&container.first);
            if *container.doomed.borrow() {
                drop(slot);
                waiting.abandon();
                return Err(LaunchError::Destroyed);
            }
            // From here on a destroyer finds the process; before, it only leaves its mark.
            *slot = Some(Arc::clone(waiting.first()));
        }
        // Without the lock, since this waits for the process. If a destroyer is faster, the
        // process ends before it has read, or with what it was told to start.
        waiting.begin(start).map_err(|error| {
            *lock(&container.first) = None;
            failed(error)
        })
    }

    fn write_down(&self, request: &LaunchRequest, waiting: &Waiting) -> io::Result<()> {
        self.records.write(&request.container_id, &Record::of(waiting.process())?)?;
        let Some(path) = &request.pid_checkpoint else { return Ok(()) };
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        write_durably(path, waiting.process().pid.as_raw_nonzero().to_string().as_bytes())
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LaunchError> + Send + 'static,
) -> Result<T, LaunchError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(LaunchError::Unsupported(format!("The launch failed: {error}"))),
    }
}
