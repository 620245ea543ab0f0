//! The containerizer that runs executors as processes of the machine: another user, a session of
//! their own, and an ancestor that lets nothing of them survive. No namespaces, no limits.

mod launching;

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use launch::exit::Exit;
use launch::image::Image;
use model::id::ContainerId;
use tokio::sync::watch;
use wire::v1;

use super::first_process::FirstProcess;
use super::record::Records;
use super::{
    BoxFuture, Containerizer, LaunchError, LaunchRequest, Launched, RecoverError,
    RecoveredContainer, Termination, UpdateError, VolumeLink, fetcher, orphans, sockets, usage,
    volumes,
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
        volumes: Vec<VolumeLink>,
    ) -> BoxFuture<'_, Result<(), UpdateError>> {
        // There are no limits here that could be changed.
        let known = self.shared.find(container);
        let container = container.clone();
        Box::pin(async move {
            let known = known.ok_or_else(|| UpdateError::Unknown(container.clone()))?;
            let failed = |cause: String| UpdateError::Failed { container, cause };
            let sandbox = match &known.sandbox {
                Some(sandbox) => sandbox.clone(),
                None if volumes.is_empty() => return Ok(()),
                None => return Err(failed("its sandbox is not known".to_owned())),
            };
            match tokio::task::spawn_blocking(move || volumes::appear(&sandbox, &volumes)).await {
                Ok(Ok(())) => Ok(()),
                Ok(Err(error)) => Err(failed(error.to_string())),
                Err(error) => Err(failed(error.to_string())),
            }
        })
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

    fn holds_socket(&self, container: &ContainerId, inode: u64) -> BoxFuture<'_, bool> {
        let first = self.shared.process(container);
        Box::pin(async move {
            let Some(first) = first else { return false };
            let looked = tokio::task::spawn_blocking(move || sockets::held(first, inode)).await;
            match looked {
                Ok(Ok(held)) => held,
                Ok(Err(error)) => {
                    tracing::warn!(%error, "cannot see which process holds a connection");
                    false
                }
                Err(error) => {
                    tracing::error!(%error, "looking for the holder of a connection failed");
                    false
                }
            }
        })
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
        self.process(container).map(|process| process.pid)
    }

    /// The first process, while the container lives.
    fn process(&self, container: &ContainerId) -> Option<launch::tree::Process> {
        let container = self.find(container)?;
        let first = lock(&container.first);
        first.as_ref().filter(|_| container.termination.borrow().is_none()).map(|f| f.process())
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
                // Its record goes when it has ended. What does not want to end holds up nobody.
                tokio::spawn(async move { destroy(&container).await });
            } else {
                self.records.remove(&id).map_err(failed)?;
            }
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
