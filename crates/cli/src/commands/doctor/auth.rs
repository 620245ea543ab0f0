//! `alcazar doctor auth`.

use std::path::Path;

use authn::diagnosis::{Diagnosis, diagnose};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use settings::{Failure, Loaded, Naming, Protection, Sources};

use super::report::{Component, Found, Report, Trouble};
use super::{asked, report};
use crate::args::Show;
use crate::authentication;
use crate::client::Client;
use crate::printer::{Format, Printer};
use crate::security;

/// The table for `--help`.
pub(crate) const HELP: &str = "\
Exit status:
  0  no holes
  1  holes: somebody on the network could do what is listed (or the command failed)
  2  the configuration would not start, or a daemon did not answer (or wrong arguments)
  3  no cluster there, or it does not answer";

/// Where a daemon says who is asked who they are.
const TARGET: &str = "/alcazar/v1/authentication";

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Look at the variables MESOS_* and LIBPROCESS_SSL_* of this environment, and the flags
    /// behind `--`, as a daemon would read them, instead of at the running cluster
    #[arg(long)]
    pub(crate) from_env: bool,
    /// Which daemon would read them
    #[arg(long, value_enum, default_value_t, value_name = "NAME", requires = "from_env")]
    pub(crate) daemon: Daemon,
    /// Its flags
    #[arg(last = true, value_name = "--FLAG=VALUE", requires = "from_env")]
    pub(crate) flags: Vec<String>,
    /// The same as `--output json`
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) show: Show,
}

/// A daemon by the name that it is called by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Daemon {
    /// `mesos-master`
    #[default]
    MesosMaster,
    /// `mesos-agent`
    MesosAgent,
    /// `alcazar master`
    Master,
    /// `alcazar agent`
    Agent,
}

impl Daemon {
    fn naming(self) -> Naming {
        match self {
            Self::MesosMaster | Self::MesosAgent => Naming::Mesos,
            Self::Master | Self::Agent => Naming::Alcazar,
        }
    }
}

impl Options {
    /// How to print.
    pub(crate) fn format(&self) -> Format {
        if self.json { Format::Json } else { self.show.output }
    }
}

/// Looks at the environment and flags.
pub(crate) fn from_environment(options: &Options, printer: Printer) -> anyhow::Result<u8> {
    let environment: Vec<_> = std::env::vars_os()
        .filter_map(|(n, v)| Some((n.into_string().ok()?, v.into_string().ok()?)))
        .collect();
    let found = examined(options.daemon, &options.flags, &environment);
    let found = found.map(|diagnosis| Found(value(&diagnosis)));
    let component = Component { name: "environment".to_owned(), found };
    finish(vec![component], printer)
}

/// Asks the daemons of a cluster.
pub(crate) async fn from_cluster(client: &mut Client, printer: Printer) -> anyhow::Result<u8> {
    let silence = "it is a master that tells nobody whom it asks";
    finish(asked::everybody(client, TARGET, silence).await?, printer)
}

fn finish(components: Vec<Component>, printer: Printer) -> anyhow::Result<u8> {
    let report = Report { components, library: None };
    report.print(printer)?;
    Ok(report.status())
}

/// In the words in which daemons say it themselves.
fn value(diagnosis: &Diagnosis) -> Value {
    let findings = |all: &[authn::diagnosis::Finding]| {
        let one = |f: &authn::diagnosis::Finding| report::finding(f.id, &f.what, &f.closed_by);
        all.iter().map(one).collect::<Vec<_>>()
    };
    json!({
        "posture": diagnosis.posture.to_string(),
        "holes": findings(&diagnosis.holes),
        "remarks": findings(&diagnosis.remarks),
        "notices": diagnosis.notices,
    })
}

/// What they come to, files included: only what would start has a posture.
fn examined(
    daemon: Daemon,
    flags: &[String],
    environment: &[(String, String)],
) -> Result<Diagnosis, Trouble> {
    let naming = daemon.naming();
    let read_file = |path: &Path| std::fs::read_to_string(path).map_err(|e| e.to_string());
    let sources = Sources { arguments: flags, environment, read_file: &read_file };
    match daemon {
        Daemon::MesosMaster | Daemon::Master => {
            let (settings, notices) = read(settings::master(naming, &sources))?;
            let security = protected(&settings.protection, environment)?;
            let more = authentication::readable_by_master(&settings, naming);
            let notices = [notices, more.map_err(not_started)?].concat();
            Ok(diagnose(&authentication::master_facts(&settings, &security), notices))
        }
        Daemon::MesosAgent | Daemon::Agent => {
            let (settings, notices) = read(settings::agent(naming, &sources))?;
            let security = protected(&settings.protection, environment)?;
            let more = authentication::readable_by_agent(&settings, naming);
            let notices = [notices, more.map_err(not_started)?].concat();
            Ok(diagnose(&authentication::agent_facts(&settings, &security), notices))
        }
    }
}

fn not_started(error: anyhow::Error) -> Trouble {
    Trouble { what: "does not start", lines: vec![format!("{error:#}")] }
}

fn read<T>(loaded: Result<Loaded<T>, Failure>) -> Result<(T, Vec<String>), Trouble> {
    let lines = match loaded {
        Ok(Loaded::Run { settings, notices }) => {
            return Ok((*settings, notices.iter().map(ToString::to_string).collect()));
        }
        Ok(Loaded::Help(_) | Loaded::Version) => {
            vec!["it would print its help or version and end".to_owned()]
        }
        Err(failure) => failure.errors.iter().map(ToString::to_string).collect(),
    };
    Err(Trouble { what: "does not start", lines })
}

/// What protects its connections.
fn protected(
    protection: &Protection,
    environment: &[(String, String)],
) -> Result<transport::tls::Security, Trouble> {
    let tls = security::loaded_of_daemon(protection, environment).map_err(not_started)?;
    Ok(tls.0)
}

#[cfg(test)]
mod authn_doctor {
    use super::*;

    fn examined_with(
        daemon: Daemon,
        flags: &[&str],
        variables: &[(&str, &str)],
    ) -> Result<Diagnosis, Trouble> {
        let flags: Vec<_> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let variables: Vec<_> = variables.iter().map(own).collect();
        examined(daemon, &flags, &variables)
    }

    fn ids(findings: &[authn::diagnosis::Finding]) -> Vec<&str> {
        findings.iter().map(|finding| finding.id).collect()
    }

    #[test]
    fn an_environment_is_read_as_its_daemon_reads_it() {
        let variables = [("MESOS_REGISTRY", "in_memory")];
        let found = examined_with(Daemon::MesosMaster, &[], &variables).unwrap();
        assert_eq!(found.posture.to_string(), "open");
        assert_eq!(ids(&found.holes)[0], "open-agents");
        let flags = ["--master=m:5050", "--work_dir=/w"];
        let found = examined_with(Daemon::MesosAgent, &flags, &[]).unwrap();
        assert!(ids(&found.holes).contains(&"any-master"));
        let plain = ["--registry=in_memory", "--danger-plaintext"];
        let found = examined_with(Daemon::Master, &plain, &[]).unwrap();
        assert!(ids(&found.holes).contains(&"plaintext"));
    }

    #[test]
    fn what_would_not_start_says_why() {
        let flags = ["--registry=in_memory", "--authenticate_http_readonly"];
        let trouble = examined_with(Daemon::MesosMaster, &flags, &[]).unwrap_err();
        assert_eq!(trouble.what, "does not start");
        assert!(trouble.lines[0].starts_with("No credentials provided"), "{trouble:?}");
        let flags = ["--registry=in_memory", "--credentials=/nowhere/c"];
        let trouble = examined_with(Daemon::MesosMaster, &flags, &[]).unwrap_err();
        assert!(trouble.lines[0].contains("/nowhere/c"), "{trouble:?}");
        assert!(trouble.lines[0].contains("--credentials"), "{trouble:?}");
        let flags = ["--registry=in_memory", "--acls={}"];
        assert!(examined_with(Daemon::MesosMaster, &flags, &[]).is_err());
    }
}
