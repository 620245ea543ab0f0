//! `alcazar doctor tls`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use serde_json::{Value, json};
use tls_policy::{PolicyErrors, diagnose};
use transport::tls::Security;

use super::asked;
use super::library::Library;
use super::report::{Component, Found, Report, Trouble};
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

/// Where a daemon says what protects it.
const TARGET: &str = "/alcazar/v1/tls";
/// A certificate that ends within this time is spoken of.
const SOON: Duration = Duration::from_secs(30 * 24 * 60 * 60);

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
fn examined(environment: &[(String, String)]) -> Result<Found, Trouble> {
    let not_started = |lines| Trouble { what: "does not start", lines };
    let resolved = security::resolve_variables(environment).map_err(|PolicyErrors(errors)| {
        not_started(errors.iter().map(ToString::to_string).collect())
    })?;
    let security = Security::load(&resolved.policy)
        .map_err(|error| not_started(vec![format!("{:#}", anyhow::Error::new(error))]))?;
    let mut diagnosis = diagnose(&resolved.policy, &resolved.notices);
    let Some(contexts) = security.contexts() else { return Ok(Found::from(&diagnosis)) };
    diagnosis.notices.extend(contexts.notices().iter().map(ToString::to_string));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let left = contexts.first_expiry().map(|end| end.as_secs_f64() - now.as_secs_f64());
    match left {
        Some(left) if left <= 0.0 => diagnosis
            .notices
            .push("a certificate of ours has run out: peers that verify refuse it".to_owned()),
        Some(left) if left < SOON.as_secs_f64() => diagnosis
            .notices
            .push("a certificate of ours runs out soon: put a new one in its place".to_owned()),
        _ => {}
    }
    let Found(mut value) = Found::from(&diagnosis);
    if let Some(left) = left {
        value["certificate_expires_in_days"] = (left / SOON.as_secs_f64() * 30.0).into();
    }
    Ok(Found(value))
}

/// Asks the daemons of a cluster.
pub(crate) async fn from_cluster(client: &mut Client, printer: Printer) -> anyhow::Result<u8> {
    let silence = "it is a master that tells nobody what protects it";
    let mut components = asked::everybody(client, TARGET, silence).await?;
    if let Some(Component { found: Ok(Found(said)), .. }) = components.first_mut() {
        said["connection"] = connection(&client.negotiated());
    }
    finish(components, printer)
}

/// What our own connection to the master came to, from our counters.
fn connection(counters: &[(String, u64)]) -> Value {
    let counted = |prefix: &str| {
        let names = counters.iter().filter(|(_, count)| *count > 0);
        names.filter_map(|(name, _)| name.strip_prefix(prefix)).find(|name| *name != "resumed")
    };
    json!({
        "version": counted("tls/handshakes/"),
        "suite": counted("tls/suites/"),
        "group": counted("tls/groups/"),
    })
}

fn finish(components: Vec<Component>, printer: Printer) -> anyhow::Result<u8> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let today = when::moment(now.as_secs_f64()).chars().take(10).collect();
    let library = Library::of(transport::tls::library_version());
    let report = Report { components, library: Some((library, today)) };
    report.print(printer)?;
    Ok(report.status())
}
