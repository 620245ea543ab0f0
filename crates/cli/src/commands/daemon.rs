//! What `alcazar master` and `alcazar agent`, and the same programs under the names of the
//! original, have in common: from arguments to a running daemon.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddrV4, ToSocketAddrs as _};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use endpoints::tls::{Cause, Tls};
use settings::{Failure, Listen, Loaded, LogLevel, LogSettings, Naming, Sources};
use transport::tls::Security;

use crate::authentication::WatchedFiles;
use crate::exit;
use crate::lock::{Attempt, Lock, try_lock};
use crate::printer::{printable, say, write_stdout};
use crate::signals::{End, Signals};
use crate::supervised::{self, Ends, Lifeline};
use crate::up::plan::lock_file;

/// The version that `--version` prints under the names of the original.
pub(crate) const MESOS_VERSION: &str = "1.12.0";

/// How a daemon was called.
#[derive(Debug)]
pub(crate) struct Called {
    pub(crate) naming: Naming,
    arguments: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
    /// The tie to `up`, if `up` called.
    pub(crate) ends: Option<Ends>,
}

impl Called {
    /// Takes arguments and environment as they are. Under our own names `--supervised` is `up`'s
    /// word, and in no table.
    pub(crate) fn new(naming: Naming, arguments: Vec<OsString>) -> anyhow::Result<Self> {
        let mut arguments = arguments
            .into_iter()
            .map(|a| a.into_string().map_err(|a| anyhow::anyhow!("{a:?} is not UTF-8")))
            .collect::<anyhow::Result<Vec<String>>>()?;
        let before = arguments.len();
        if naming == Naming::Alcazar {
            arguments.retain(|a| a != "--supervised");
        }
        let ends = if arguments.len() < before { Some(supervised::take_stdio()?) } else { None };
        let environment = std::env::vars_os()
            .filter_map(|(n, v)| Some((n.into_string().ok()?, v.into_string().ok()?)))
            .collect();
        Ok(Self { naming, arguments, environment, ends })
    }

    /// Reads settings. `Err`: there is nothing to run, with this exit status.
    pub(crate) fn settings<T>(
        &self,
        read: impl FnOnce(Naming, &Sources<'_>) -> Result<Loaded<T>, Failure>,
    ) -> anyhow::Result<Result<(T, Vec<String>), u8>> {
        let read_file = |path: &Path| std::fs::read_to_string(path).map_err(|e| e.to_string());
        let sources = Sources {
            arguments: &self.arguments,
            environment: &self.environment,
            read_file: &read_file,
        };
        match read(self.naming, &sources) {
            Ok(Loaded::Help(text)) => {
                write_stdout(text.as_bytes())?;
                Ok(Err(exit::SUCCESS))
            }
            Ok(Loaded::Version) => {
                let version = match self.naming {
                    Naming::Alcazar => format!("alcazar {}\n", crate::args::VERSION),
                    Naming::Mesos => format!("mesos {MESOS_VERSION}\n"),
                };
                write_stdout(version.as_bytes())?;
                Ok(Err(exit::SUCCESS))
            }
            Ok(Loaded::Run { settings, notices }) => {
                Ok(Ok((*settings, notices.iter().map(ToString::to_string).collect())))
            }
            Err(failure) => {
                for error in &failure.errors {
                    say(&format!("error: {}", printable(&error.to_string())));
                }
                match self.naming {
                    Naming::Alcazar => Ok(Err(exit::USAGE)),
                    Naming::Mesos => {
                        if failure.wants_usage() {
                            let usage = settings::usage(failure.program, self.naming);
                            say(&format!("\n{}", usage.trim_end()));
                        }
                        Ok(Err(exit::FAILURE))
                    }
                }
            }
        }
    }
}

/// Sends the log to stderr.
pub(crate) fn start_log(log: LogSettings) {
    use std::io::IsTerminal as _;
    use tracing_subscriber::EnvFilter;
    if log.quiet {
        return;
    }
    let level = match log.level {
        LogLevel::Error => "error",
        LogLevel::Info => "info",
        LogLevel::Warning => "warn",
    };
    let base = match EnvFilter::try_from_default_env() {
        Ok(filter) => filter.to_string(),
        Err(_) => level.to_owned(),
    };
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(&base))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        // After the writer: what is reloaded knows where it goes.
        .with_filter_reloading();
    let handle = subscriber.reload_handle();
    // There is one already only in tests.
    if subscriber.try_init().is_ok() {
        endpoints::verbosity::install(move |level| {
            // More of what is ours; libraries say what they said before.
            let filter = match level {
                0 => base.clone(),
                1 => format!("{base},alcazar=debug"),
                _ => format!("{base},alcazar=trace"),
            };
            if let Err(error) = handle.reload(EnvFilter::new(filter)) {
                tracing::warn!(%error, "the level of the log cannot be changed");
            }
        });
    }
}

/// Takes the directory for this daemon alone.
pub(crate) fn take_work_dir(work_dir: &Path) -> anyhow::Result<Lock> {
    std::fs::create_dir_all(work_dir)
        .with_context(|| format!("cannot create {}", work_dir.display()))?;
    match try_lock(&lock_file(work_dir))? {
        Attempt::Held(lock) => Ok(lock),
        Attempt::Taken { holder, .. } => {
            let holder = holder.map_or_else(String::new, |pid| format!(" (process {pid})"));
            bail!("another daemon{holder} uses {}", work_dir.display())
        }
    }
}

/// Where to listen, and what to tell others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) listen: SocketAddrV4,
    pub(crate) advertise_ip: Option<Ipv4Addr>,
    pub(crate) advertise_port: Option<u16>,
    pub(crate) hostname: Option<String>,
}

impl Place {
    /// Completes what was said. Without an address to listen on it is all of them, and others are
    /// told the one that this machine's name stands for.
    pub(crate) fn of(listen: &Listen) -> anyhow::Result<Self> {
        let node = rustix::system::uname().nodename().to_string_lossy().into_owned();
        let ip = listen.ip.unwrap_or(Ipv4Addr::UNSPECIFIED);
        let advertise_ip = match listen.advertise_ip {
            None if ip.is_unspecified() => Some(address_of(&node).with_context(|| {
                format!("cannot tell others an address: `{node}` has none; say one with --ip")
            })?),
            given => given,
        };
        let told = advertise_ip.unwrap_or(ip);
        let hostname = match &listen.hostname {
            Some(hostname) => Some(hostname.clone()),
            None if !listen.hostname_lookup => None,
            None if told.is_loopback() => Some("localhost".to_owned()),
            None => Some(node),
        };
        Ok(Self {
            listen: SocketAddrV4::new(ip, listen.port),
            advertise_ip,
            advertise_port: listen.advertise_port,
            hostname,
        })
    }
}

fn address_of(host: &str) -> Option<Ipv4Addr> {
    let addresses = (host, 0).to_socket_addrs().ok()?;
    addresses
        .filter_map(|a| match a.ip() {
            std::net::IpAddr::V4(ip) => Some(ip),
            std::net::IpAddr::V6(_) => None,
        })
        .max_by_key(|ip| !ip.is_loopback())
}

/// What is known about how this program was built.
pub(crate) fn build() -> endpoints::common::Build {
    endpoints::common::Build {
        version: MESOS_VERSION.to_owned(),
        date: String::new(),
        time: 0.0,
        user: String::new(),
        git_sha: None,
        git_branch: None,
        git_tag: None,
    }
}

/// Returns when the daemon is to end: a signal came, or `up` is gone. Until then it keeps
/// certificates and credentials fresh: SIGHUP, which ends a daemon without either, has them read
/// again.
pub(crate) async fn told_to_end(
    mut signals: Signals,
    lifeline: Option<Lifeline>,
    tls: Arc<Tls>,
    files: Arc<WatchedFiles>,
) {
    let gone = async {
        match lifeline {
            Some(lifeline) => lifeline.ended().await,
            None => std::future::pending().await,
        }
    };
    let told = async {
        loop {
            match signals.next().await {
                End::Hangup if matches!(tls.security(), Security::Tls(_)) || !files.is_empty() => {
                    tokio::spawn(Arc::clone(&files).reload(Cause::Signal));
                    if !matches!(tls.security(), Security::Tls(_)) {
                        continue;
                    }
                    let tls = Arc::clone(&tls);
                    // What came of it is in the log. Nothing waits for it: the next signal may
                    // be the end.
                    tokio::spawn(async move { tls.reload(Cause::Signal).await });
                }
                end => return end,
            }
        }
    };
    tokio::select! {
        end = told => tracing::info!(signal = ?end, "told to end"),
        ended = gone => match ended {
            Ok(()) => tracing::info!("`alcazar up` has ended"),
            Err(error) => tracing::error!(%error, "the lifeline cannot be read"),
        },
        () = Arc::clone(&tls).watch() => {}
        () = Arc::clone(&files).watch() => {}
    }
}

/// The URL that clients use.
pub(crate) fn url(security: &Security, address: SocketAddrV4) -> String {
    format!("{}://{address}", security.scheme())
}

/// Runs a daemon's future on as many threads as there are processors.
pub(crate) fn block_on<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?
        .block_on(future)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listen() -> Listen {
        Listen {
            ip: Some(Ipv4Addr::LOCALHOST),
            port: 5050,
            advertise_ip: None,
            advertise_port: None,
            hostname: None,
            hostname_lookup: true,
        }
    }

    #[test]
    fn the_loopback_address_has_a_name_unless_names_are_not_wanted() {
        assert_eq!(Place::of(&listen()).unwrap().hostname.as_deref(), Some("localhost"));
        let place = Place::of(&Listen { hostname_lookup: false, ..listen() }).unwrap();
        assert_eq!(place.hostname, None);
        let place = Place::of(&Listen { hostname: Some("h".into()), ..listen() }).unwrap();
        assert_eq!(place.hostname.as_deref(), Some("h"));
    }

    #[test]
    fn a_directory_has_one_daemon() {
        let temp = tempfile::tempdir().unwrap();
        let work_dir = temp.path().join("agent-1");
        let _held = take_work_dir(&work_dir).unwrap();
        let error = take_work_dir(&work_dir).unwrap_err().to_string();
        assert!(error.starts_with("another daemon (process "), "{error}");
    }
}
