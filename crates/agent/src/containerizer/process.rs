//! The containerizer that runs executors as processes of the machine: another user, a session of
//! their own, and an ancestor that lets nothing of them survive. No namespaces, no limits.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ffi::OsString;
use std::io;
use std::net::IpAddr;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use launch::exit::Exit;
use launch::image::Image;
use launch::material::{self, BearerToken, Material};
use launch::{Input, Program, Start, User};
use model::id::ContainerId;
use tokio::sync::watch;
use wire::v1;

use super::fetcher::{self, Fetch};
use super::first_process::{FirstProcess, Waiting};
use super::record::{Record, Records, write_durably};
use super::sandbox::Sandbox;
use super::{
    BoxFuture, Containerizer, LaunchError, LaunchRequest, Launched, RecoverError,
    RecoveredContainer, Termination, UpdateError, orphans, unsupported, usage, users,
};

/// How long a container may take to end after it was asked to, before it is killed from here.
const ASKED_TO_END: Duration = Duration::from_secs(5);

/// How long to wait for killed processes before looking again.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// How many ended containers are remembered, for those who ask late.
const REMEMBERED: usize = 256;

/// What a [`ProcessContainerizer`] is told once.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The program of a command whose executor is ours: it is then started from a sealed memory
    /// file, whatever lies at that path.
    pub command_executor: PathBuf,
    /// Where the containerizer keeps what it must find again after a restart of the agent: a
    /// directory that survives as long as the processes do. Made if needed.
    pub runtime_dir: PathBuf,
    /// The address of containers, which is the agent's; for `container_status`.
    pub address: Option<IpAddr>,
    /// Whether containers may run as a user whose uid is 0. What [`super::RunAs::Agent`] means is
    /// decided elsewhere.
    pub allow_root: bool,
    /// What may be fetched, and how.
    pub fetch: fetcher::Settings,
}

/// See the module's text.
#[derive(Debug)]
pub struct ProcessContainerizer {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    settings: Settings,
    image: Image,
    records: Records,
    containers: Mutex<Containers>,
    /// Containers with a record of an earlier run, until they are recovered.
    left_behind: Mutex<Vec<ContainerId>>,
}

#[derive(Debug, Default)]
struct Containers {
    all: HashMap<ContainerId, Arc<Container>>,
    /// Those that ended, oldest first.
    ended: VecDeque<ContainerId>,
}

#[derive(Debug)]
struct Container {
    /// Where it works; `None` if that is not known, for what an earlier run left behind.
    sandbox: Option<PathBuf>,
    /// Whether it is to be destroyed; never taken back.
    doomed: watch::Sender<bool>,
    /// Its first process, from when the program runs.
    first: Mutex<Option<Arc<FirstProcess>>>,
    /// How it ended.
    termination: watch::Sender<Option<Termination>>,
}

impl Container {
    fn new(sandbox: Option<PathBuf>) -> Arc<Self> {
        Arc::new(Self {
            sandbox,
            doomed: watch::Sender::new(false),
            first: Mutex::new(None),
            termination: watch::Sender::new(None),
        })
    }

    async fn ended(&self) -> Termination {
        let mut termination = self.termination.subscribe();
        match termination.wait_for(Option::is_some).await {
            Ok(termination) => termination.clone().unwrap_or_default(),
            // `self` holds the sender.
            Err(_) => Termination::default(),
        }
    }

    async fn doomed(&self) {
        let mut doomed = self.doomed.subscribe();
        // `self` holds the sender.
        let _ = doomed.wait_for(|doomed| *doomed).await;
    }
}

/// A poisoned lock has no half-done change behind it: all are single statements.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ProcessContainerizer {
    /// A containerizer without containers; [`Containerizer::recover`] finds those of an earlier
    /// run. Copies the running program into memory.
    pub fn new(settings: Settings) -> io::Result<Self> {
        let records = Records::open(&settings.runtime_dir)?;
        let image = Image::of_this_program()?;
        let left_behind = Mutex::new(records.all()?);
        let containers = Mutex::default();
        let shared = Shared { settings, image, records, containers, left_behind };
        Ok(Self { shared: Arc::new(shared) })
    }
}

impl Containerizer for ProcessContainerizer {
    fn launch(&self, request: LaunchRequest) -> BoxFuture<'_, Result<Launched, LaunchError>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move { shared.launch(request).await })
    }

    fn wait(&self, container: &ContainerId) -> BoxFuture<'_, Option<Termination>> {
        let container = self.shared.find(container);
        Box::pin(async move {
            match container {
                Some(container) => Some(container.ended().await),
                None => None,
            }
        })
    }

    fn destroy(&self, container: &ContainerId) -> BoxFuture<'_, ()> {
        let container = self.shared.find(container);
        Box::pin(async move {
            if let Some(container) = container {
                destroy(&container).await;
            }
        })
    }

    fn recover(&self, known: Vec<RecoveredContainer>) -> BoxFuture<'_, Result<(), RecoverError>> {
        let shared = Arc::clone(&self.shared);
        Box::pin(async move { shared.recover(known).await })
    }

    fn update(
        &self,
        container: &ContainerId,
        _resources: Vec<v1::Resource>,
    ) -> BoxFuture<'_, Result<(), UpdateError>> {
        // There are no limits here that could be changed.
        let known = self.shared.find(container).map(drop);
        let result = known.ok_or_else(|| UpdateError::Unknown(container.clone()));
        Box::pin(std::future::ready(result))
    }

    fn status(&self, container: &ContainerId) -> BoxFuture<'_, Option<v1::ContainerStatus>> {
        let pid = self.shared.pid(container);
        let status = pid.map(|pid| v1::ContainerStatus {
            container_id: Some(v1::ContainerId { value: container.to_string(), parent: None }),
            executor_pid: Some(pid.as_raw_nonzero().get().unsigned_abs()),
            network_infos: self.shared.settings.address.into_iter().map(network).collect(),
            cgroup_info: None,
        });
        Box::pin(std::future::ready(status))
    }

    fn usage(&self, container: &ContainerId) -> BoxFuture<'_, Option<v1::ResourceStatistics>> {
        let pid = self.shared.pid(container);
        Box::pin(async move {
            let pid = pid?;
            tokio::task::spawn_blocking(move || usage::measure(pid)).await.ok().flatten()
        })
    }
}

fn network(address: IpAddr) -> v1::NetworkInfo {
    let ip_address = v1::network_info::IpAddress {
        ip_address: Some(address.to_string()),
        ..v1::network_info::IpAddress::default()
    };
    v1::NetworkInfo { ip_addresses: vec![ip_address], ..v1::NetworkInfo::default() }
}

async fn destroy(container: &Container) {
    container.doomed.send_replace(true);
    let first = lock(&container.first).clone();
    let Some(first) = first else {
        // It is being launched: the launch sees the mark and ends it.
        container.ended().await;
        return;
    };
    if let Err(error) = first.ask_to_end() {
        tracing::error!(pid = %first.pid().as_raw_nonzero(), %error, "cannot ask a container to end");
    }
    let ended = container.ended();
    tokio::pin!(ended);
    if tokio::time::timeout(ASKED_TO_END, &mut ended).await.is_ok() {
        return;
    }
    loop {
        let first = Arc::clone(&first);
        let pid = first.pid();
        let killed = tokio::task::spawn_blocking(move || first.kill()).await;
        if let Ok(Err(error)) = killed {
            tracing::error!(pid = %pid.as_raw_nonzero(), %error, "cannot kill a container");
        }
        if tokio::time::timeout(LOOK_AGAIN, &mut ended).await.is_ok() {
            return;
        }
    }
}

impl Shared {
    fn find(&self, container: &ContainerId) -> Option<Arc<Container>> {
        lock(&self.containers).all.get(container).cloned()
    }

    fn pid(&self, container: &ContainerId) -> Option<rustix::process::Pid> {
        let container = self.find(container)?;
        let first = lock(&container.first);
        first.as_ref().filter(|_| container.termination.borrow().is_none()).map(|f| f.pid())
    }

    fn add(&self, id: &ContainerId, sandbox: Option<PathBuf>) -> Arc<Container> {
        let container = Container::new(sandbox);
        lock(&self.containers).all.insert(id.clone(), Arc::clone(&container));
        container
    }

    /// To be called once for each container, when nothing of it is left.
    fn ended(&self, id: &ContainerId, container: &Container, termination: Termination) {
        if let Err(error) = self.records.remove(id) {
            // The process is gone; a later run of the agent will see that.
            tracing::warn!(container = %id, %error, "cannot remove the record of a container");
        }
        container.termination.send_replace(Some(termination));
        let mut containers = lock(&self.containers);
        containers.ended.push_back(id.clone());
        if containers.ended.len() > REMEMBERED
            && let Some(oldest) = containers.ended.pop_front()
        {
            containers.all.remove(&oldest);
        }
    }

    async fn launch(self: Arc<Self>, request: LaunchRequest) -> Result<Launched, LaunchError> {
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
        let input = match &request.secrets {
            None => Input::Null,
            Some(secrets) => {
                environment.insert(material::VARIABLE.into(), material::STDIN.into());
                let material = Material {
                    token: BearerToken::new(secrets.token.to_bearer()),
                    trust_bundle: secrets.trust_bundle.clone(),
                    agent_identity: secrets.agent_identity.clone(),
                };
                Input::Bytes(material.encode())
            }
        };
        let directory = request.sandbox.clone();
        Ok(Start { program, arguments, environment, directory, user, input })
    }

    /// Fetches the URIs of the command, as the user of the container and inside a container of
    /// its own, which ends when the launch is given up.
    async fn fetch(
        &self,
        request: &LaunchRequest,
        fetch: Fetch,
        user: Option<User>,
        sandbox: &Sandbox,
        container: &Container,
    ) -> Result<(), LaunchError> {
        let failed =
            |cause: String| LaunchError::Fetch { container: request.container_id.clone(), cause };
        let start = Start {
            program: Program::Ourselves,
            arguments: ["alcazar", fetcher::COMMAND].map(OsString::from).to_vec(),
            environment: BTreeMap::new(),
            directory: request.sandbox.clone(),
            user,
            input: Input::Bytes(fetch.encode().into()),
        };
        let begin = || -> io::Result<_> {
            let mut waiting =
                Waiting::spawn(&self.image, Stdio::piped(), sandbox.stderr.try_clone()?)?;
            let stdout = waiting.take_stdout().map(std::os::fd::OwnedFd::from);
            let first = waiting.begin(&start)?;
            let stdout = stdout.map(tokio::net::unix::pipe::Receiver::from_owned_fd).transpose()?;
            Ok((first, stdout))
        };
        let (first, stdout) = begin().map_err(|error| failed(error.to_string()))?;
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
        let given_up = |waiting: Waiting, error| {
            if let Err(error) = waiting.abandon() {
                tracing::error!(%error, "cannot end a container that was not begun");
            }
            error
        };
        if let Err(error) = self.write_down(request, &waiting) {
            return Err(given_up(waiting, failed(error)));
        }
        // From here on a destroyer finds the process; before, it only leaves its mark.
        let mut slot = lock(&container.first);
        if *container.doomed.borrow() {
            drop(slot);
            return Err(given_up(waiting, LaunchError::Destroyed));
        }
        let first = Arc::new(waiting.begin(start).map_err(failed)?);
        *slot = Some(Arc::clone(&first));
        Ok(first)
    }

    fn write_down(&self, request: &LaunchRequest, waiting: &Waiting) -> io::Result<()> {
        self.records.write(&request.container_id, &Record::of(waiting.process())?)?;
        let Some(path) = &request.pid_checkpoint else { return Ok(()) };
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        write_durably(path, waiting.process().pid.as_raw_nonzero().to_string().as_bytes())
    }

    /// Reports the end of the container when it comes.
    fn watch(
        self: &Arc<Self>,
        id: ContainerId,
        container: &Arc<Container>,
        first: Arc<FirstProcess>,
    ) {
        let (shared, container) = (Arc::clone(self), Arc::clone(container));
        tokio::spawn(async move {
            let exit = match first.ended().await {
                Ok(exit) => exit,
                Err(error) => {
                    tracing::error!(container = %id, %error, "lost sight of a container");
                    None
                }
            };
            // It exits by itself only when nothing is left. By a signal it ends as its program
            // did, or because it was killed.
            if !matches!(exit, Some(Exit::Code(_)))
                && let Some(sandbox) = container.sandbox.clone()
            {
                let swept = tokio::task::spawn_blocking(move || orphans::sweep(&sandbox)).await;
                match swept {
                    Ok(Ok(0)) => {}
                    Ok(Ok(count)) => {
                        tracing::warn!(container = %id, count, "killed what a container left");
                    }
                    Ok(Err(error)) => {
                        tracing::error!(container = %id, %error, "cannot kill what is left");
                    }
                    Err(error) => tracing::error!(container = %id, %error, "a sweep failed"),
                }
            }
            let status = exit.map(Exit::to_wait_status);
            shared.ended(&id, &container, Termination { status, ..Termination::default() });
        });
    }

    async fn recover(self: Arc<Self>, known: Vec<RecoveredContainer>) -> Result<(), RecoverError> {
        for recovered in known {
            let id = &recovered.container_id;
            let failed = |source| RecoverError { container: id.clone(), source };
            let first = self.find_first(id).map_err(failed)?;
            let container = self.add(id, Some(recovered.sandbox.clone()));
            match first {
                Some(first) => {
                    let first = Arc::new(first);
                    *lock(&container.first) = Some(Arc::clone(&first));
                    self.watch(id.clone(), &container, first);
                }
                None => self.ended(id, &container, Termination::default()),
            }
        }
        let left_behind = std::mem::take(&mut *lock(&self.left_behind));
        for id in left_behind {
            if self.find(&id).is_some() {
                continue;
            }
            let failed = |source| RecoverError { container: id.clone(), source };
            if let Some(first) = self.find_first(&id).map_err(failed)? {
                tracing::info!(container = %id, "ending a container that nobody knows any more");
                let first = Arc::new(first);
                let container = self.add(&id, None);
                *lock(&container.first) = Some(Arc::clone(&first));
                self.watch(id.clone(), &container, first);
                destroy(&container).await;
            }
            self.records.remove(&id).map_err(failed)?;
        }
        Ok(())
    }

    /// The first process of a container of an earlier run, if it still runs.
    fn find_first(&self, id: &ContainerId) -> io::Result<Option<FirstProcess>> {
        let Some(process) = self.records.read(id)?.map(|r| r.find()).transpose()?.flatten() else {
            return Ok(None);
        };
        match FirstProcess::new(process) {
            Ok(first) => Ok(Some(first)),
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// The command of this program under which it is the command executor.
const EXECUTOR_COMMAND: &str = "executor";

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LaunchError> + Send + 'static,
) -> Result<T, LaunchError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(LaunchError::Unsupported(format!("The launch failed: {error}"))),
    }
}
