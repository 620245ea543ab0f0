//! `alcazar doctor tls`.

use clap::Args;
use tls_policy::{PolicyErrors, diagnose};
use transport::tls::Security;

use super::library::Library;
use super::report::{Component, Found, Report};
use crate::args::Show;
use crate::client::Client;
use crate::printer::{Format, Printer};
use crate::security;
use crate::when;

/// The table for `--help`.
pub(crate) const HELP: &str = "\
Exit status:
  0  no holes
  1  holes: somebody on the network could do what is listed (or the command failed)
  2  the configuration would not start, or a daemon did not answer (or wrong arguments)
  3  no cluster there, or it does not answer";

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Look at the variables LIBPROCESS_SSL_* and SSL_* of this environment, as `mesos-master`
    /// and `mesos-agent` would read them, instead of at the running cluster
    #[arg(long)]
    pub(crate) from_env: bool,
    /// The same as `--output json`
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) show: Show,
}

impl Options {
    /// How to print.
    pub(crate) fn format(&self) -> Format {
        if self.json { Format::Json } else { self.show.output }
    }
}

/// Looks at the environment.
pub(crate) fn from_environment(printer: Printer) -> anyhow::Result<u8> {
    let environment: Vec<_> = std::env::vars_os()
        .filter_map(|(n, v)| Some((n.into_string().ok()?, v.into_string().ok()?)))
        .collect();
    let component = Component { name: "environment".to_owned(), found: examined(&environment) };
    finish(vec![component], printer)
}

/// What the variables come to, files included: only what would start has a posture.
fn examined(environment: &[(String, String)]) -> Result<Found, Vec<String>> {
    let resolved = security::resolve_variables(environment).map_err(|PolicyErrors(errors)| {
        errors.iter().map(ToString::to_string).collect::<Vec<_>>()
    })?;
    let security = Security::load(&resolved.policy)
        .map_err(|error| vec![format!("{:#}", anyhow::Error::new(error))])?;
    let mut diagnosis = diagnose(&resolved.policy, &resolved.notices);
    if let Some(contexts) = security.contexts() {
        diagnosis.notices.extend(contexts.notices().iter().map(ToString::to_string));
    }
    Ok(Found::from(&diagnosis))
}

/// Asks the daemons of a cluster.
pub(crate) async fn from_cluster(client: &mut Client, printer: Printer) -> anyhow::Result<u8> {
    let master = client.get("/alcazar/v1/tls").await?;
    let mut components =
        vec![Component { name: client.master().to_owned(), found: Ok(Found(master)) }];
    let agents: Vec<_> =
        client.cluster().agents.iter().map(|agent| (agent.name.clone(), agent.port)).collect();
    let host = client.master_place().0.to_owned();
    for (name, port) in agents {
        let found = client.get_from_agent((&host, port), "/alcazar/v1/tls").await;
        let found = found.map(Found).map_err(|error| vec![format!("{error:#}")]);
        components.push(Component { name, found });
    }
    finish(components, printer)
}

fn finish(components: Vec<Component>, printer: Printer) -> anyhow::Result<u8> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let today = when::moment(now.as_secs_f64()).chars().take(10).collect();
    let library = Library::of(transport::tls::library_version());
    let report = Report { components, library, today };
    report.print(printer)?;
    Ok(report.status())
}
