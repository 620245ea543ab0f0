//! How commands talk to the cluster.

use std::sync::Arc;

use anyhow::Context as _;
use model::identity::Kind;
use scheduler::api::{Api, ApiError};
use serde_json::Value;
use transport::client::{self, Settings};
use transport::tls::{Expected, Security};
use wire::v1::agent;
use wire::{Limits, check};

use crate::args::Elsewhere;
use crate::cluster::Cluster;
use crate::credential;
use crate::exit::Failure;
use crate::security::{self, Files};
use crate::state_dir::StateDir;

/// A command's way to the cluster that it was pointed at.
#[derive(Debug)]
pub(crate) struct Client {
    cluster: Cluster,
    /// For the master, with the user's credential if there is one.
    transport: client::Client,
    /// For agents: the secret is none of their business unless the user says so.
    to_agents: client::Client,
    security: Security,
    master: Api,
    master_host: String,
    master_port: u16,
    principal: Option<String>,
}

impl Client {
    /// Finds the cluster and reads the certificates. Nothing is dialled yet.
    pub(crate) fn find(dir: &StateDir, elsewhere: &Elsewhere) -> anyhow::Result<Self> {
        let (cluster, security) = match &elsewhere.master {
            Some(master) => (Cluster::elsewhere(master)?, security::of_client(elsewhere)?),
            None if *elsewhere != Elsewhere::default() => {
                return Err(Failure::Usage(
                    "the options for a cluster elsewhere are given without --master".to_owned(),
                )
                .into());
            }
            None => {
                let cluster = Cluster::find(dir)?;
                let security = of_state_dir(&cluster, dir)?;
                (cluster, security)
            }
        };
        let mut transport = client::Client::new(security.clone(), Settings::default());
        let mut to_agents = transport.clone();
        let mut principal = None;
        if elsewhere.master.is_some() {
            let known = credential::of_client(elsewhere)?;
            principal = known.principal;
            if let Some(authenticatee) = known.authenticatee {
                transport = transport.authenticating(Arc::new(authenticatee), known.exposure);
                if elsewhere.secret_to_agents {
                    to_agents = transport.clone();
                }
            }
        }
        let (master_host, master_port) = cluster
            .master
            .split_once("//")
            .and_then(|(_, place)| place.trim_end_matches('/').rsplit_once(':'))
            .and_then(|(host, port)| {
                let host = host.trim_start_matches('[').trim_end_matches(']');
                Some((host.to_owned(), port.parse().ok()?))
            })
            .with_context(|| {
                let place = match &elsewhere.master {
                    Some(_) => "--master".to_owned(),
                    None => dir.path().display().to_string(),
                };
                format!("{} is not the URL of a master with its port, in {place}", cluster.master)
            })?;
        let expected = Expected::Kind(Kind::Master);
        let master = Api::new(transport.clone(), &master_host, master_port, expected);
        Ok(Self {
            cluster,
            transport,
            to_agents,
            security,
            master,
            master_host,
            master_port,
            principal,
        })
    }

    /// What `cluster.json` says.
    pub(crate) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The master's URL.
    pub(crate) fn master(&self) -> &str {
        &self.cluster.master
    }

    /// Who its user is, if that was said.
    pub(crate) fn principal(&self) -> Option<&str> {
        self.principal.as_deref()
    }

    /// The master's host and port.
    pub(crate) fn master_place(&self) -> (&str, u16) {
        (&self.master_host, self.master_port)
    }

    /// What our own connections have negotiated so far: names and counts.
    pub(crate) fn negotiated(&self) -> Vec<(String, u64)> {
        self.security.contexts().map(|c| c.counters().entries()).unwrap_or_default()
    }

    /// For connections of one's own.
    pub(crate) fn transport(&self) -> &client::Client {
        &self.transport
    }

    /// GET from the master, as JSON; `None` if it knows no such thing, as that of the original.
    pub(crate) async fn get_if_known(&mut self, target: &str) -> anyhow::Result<Option<Value>> {
        match self.get(target).await {
            Ok(value) => Ok(Some(value)),
            Err(error) => match error.downcast_ref() {
                Some(Failure::NotFound(_)) => Ok(None),
                _ => Err(error),
            },
        }
    }

    /// GET from the master, as JSON.
    pub(crate) async fn get(&mut self, target: &str) -> anyhow::Result<Value> {
        let body = self.master.get(target).await.map_err(explain)?;
        serde_json::from_slice(&body)
            .with_context(|| format!("the master's answer to {target} is not JSON"))
    }

    /// POST to the master, as JSON.
    pub(crate) async fn post(&mut self, target: &str, body: &Value) -> anyhow::Result<()> {
        let body = serde_json::to_vec(body)?;
        self.master.post(target, "application/json", body).await.map_err(explain)?;
        Ok(())
    }

    /// GET from the agent at `host:port`, as JSON.
    pub(crate) async fn get_from_agent(
        &self,
        (host, port): (&str, u16),
        target: &str,
    ) -> anyhow::Result<Value> {
        let expected = Expected::Kind(Kind::Agent);
        let mut agent = Api::new(self.to_agents.clone(), host, port, expected);
        let body = agent.get(target).await.map_err(explain)?;
        serde_json::from_slice(&body)
            .with_context(|| format!("the agent's answer to {target} is not JSON"))
    }

    /// The sandbox of an executor's latest run on the agent at `host:port`.
    pub(crate) fn sandbox(
        &self,
        (host, port): (&str, u16),
        framework: &str,
        executor: &str,
    ) -> Sandbox {
        let expected = Expected::Kind(Kind::Agent);
        Sandbox {
            agent: Api::new(self.to_agents.clone(), host, port, expected),
            directory: format!("/frameworks/{framework}/executors/{executor}/runs/latest"),
        }
    }
}

/// As the operator of the cluster that `up` runs.
fn of_state_dir(cluster: &Cluster, dir: &StateDir) -> anyhow::Result<Security> {
    let Some(tls) = &cluster.tls else { return Ok(Security::DangerPlaintext) };
    let path = |p| dir.path().join(p);
    let (ca, certificate, key) = (path(&tls.ca), path(&tls.certificate), path(&tls.key));
    let files = Files { ca: &ca, certificate: &certificate, key: &key };
    security::identities(files).context("cannot act as the operator of this cluster")
}

/// The files of one sandbox.
#[derive(Debug)]
pub(crate) struct Sandbox {
    agent: Api,
    directory: String,
}

impl Sandbox {
    /// Reads what `file` holds from `offset` on, as much as the agent gives at once; nothing at
    /// the end of the file.
    pub(crate) async fn read(&mut self, file: &str, offset: u64) -> Result<Vec<u8>, ReadError> {
        let call = agent::Call {
            r#type: Some(agent::call::Type::ReadFile as i32),
            read_file: Some(agent::call::ReadFile {
                path: format!("{}/{file}", self.directory),
                offset,
                length: None,
            }),
            ..agent::Call::default()
        };
        let body =
            self.agent.post("/api/v1", "application/x-protobuf", wire::encode(&call)).await?;
        let (response, _): (agent::Response, _) = check::decode(&body, &Limits::default())?;
        Ok(response.read_file.map(|r| r.data.to_vec()).unwrap_or_default())
    }
}

/// Why a piece of a file was not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// The agent did not give it.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The agent's answer cannot be read.
    #[error("the agent's answer cannot be read")]
    Answer(#[from] wire::check::DecodeError),
}

impl ReadError {
    /// There is no such file (yet).
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Api(ApiError::Status { status, .. }) if status.as_u16() == 404)
    }

    /// The agent answered, and asking again will not help.
    pub(crate) fn is_final(&self) -> bool {
        match self {
            Self::Api(ApiError::Status { status, .. }) => status.is_client_error(),
            Self::Api(_) => false,
            Self::Answer(_) => true,
        }
    }
}

/// Gives an error of the cluster its exit status and says what to do about it.
pub(crate) fn explain(error: ApiError) -> anyhow::Error {
    let failure = match &error {
        ApiError::Unreachable { .. } | ApiError::Broken { .. } => Failure::NoCluster,
        ApiError::Status { status, .. } => match status.as_u16() {
            401 | 403 => Failure::Refused,
            404 => Failure::NotFound,
            503 => Failure::NoCluster,
            _ => return error.into(),
        },
    };
    let hint = match &error {
        ApiError::Unreachable { .. } => "; does `alcazar up` run?",
        ApiError::Broken { .. } | ApiError::Status { .. } => "",
    };
    // All causes in one text: what holds it has none.
    failure(format!("{:#}{hint}", anyhow::Error::new(error))).into()
}
