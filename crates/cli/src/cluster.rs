//! `cluster.json`: the facts about a cluster that its client commands need. `up` writes it, every
//! other command reads it. Nothing in it is secret; the operator's key lies beside it, readable
//! by its owner alone.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::exit::Failure;
use crate::state_dir::StateDir;
use crate::up::checks::TaskUser;

/// The form of the file that this program writes and reads.
const FORMAT: u32 = 1;

/// The content of `cluster.json`.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cluster {
    /// Which form this file has.
    pub(crate) format: u32,
    /// Where the master listens, as a URL.
    pub(crate) master: String,
    /// The trust domain in everybody's certificate.
    pub(crate) trust_domain: String,
    /// The user that tasks run as unless told otherwise.
    pub(crate) task_user: String,
    /// Certificate, key and CA for client commands; `None` if the cluster runs in plaintext.
    pub(crate) tls: Option<Tls>,
    /// The agents that `up` starts.
    pub(crate) agents: Vec<Agent>,
}

/// Paths, relative to the state directory.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tls {
    /// The root certificate that everybody's chain ends in.
    pub(crate) ca: PathBuf,
    /// The operator's certificate, followed by the intermediate's.
    pub(crate) certificate: PathBuf,
    /// The operator's private key.
    pub(crate) key: PathBuf,
}

/// One agent that `up` starts.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Agent {
    /// `agent-<n>`: the name in its certificate, of its directory and its log.
    pub(crate) name: String,
    /// The port it listens on.
    pub(crate) port: u16,
    /// What it was told to offer; `None`: what it detects.
    pub(crate) resources: Option<String>,
}

impl Cluster {
    /// A description in the current form.
    pub(crate) fn new(
        master: String,
        trust_domain: String,
        task_user: String,
        tls: Option<Tls>,
        agents: Vec<Agent>,
    ) -> Self {
        Self { format: FORMAT, master, trust_domain, task_user, tls, agents }
    }

    /// A cluster of which only the master is known; tasks run as whoever asks for them.
    pub(crate) fn elsewhere(master: &str) -> anyhow::Result<Self> {
        let task_user = TaskUser::ours()?.name;
        Ok(Self::new(master.to_owned(), String::new(), task_user, None, Vec::new()))
    }

    /// Reads the file, for a client command.
    pub(crate) fn find(dir: &StateDir) -> anyhow::Result<Self> {
        Self::read(dir)?.ok_or_else(|| {
            Failure::NoCluster(format!(
                "no cluster in {}: start one with `alcazar up`, or say where it is with \
                 --state-dir",
                dir.path().display()
            ))
            .into()
        })
    }

    /// Reads the file; `None` if there is none.
    pub(crate) fn read(dir: &StateDir) -> anyhow::Result<Option<Self>> {
        let path = dir.cluster_file();
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e).with_context(|| format!("cannot read {}", path.display())),
        };
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let cannot = || format!("{} is not a description of a cluster", path.display());
        let Format { format } = serde_json::from_str(&text).with_context(cannot)?;
        if format != FORMAT {
            anyhow::bail!(
                "{} has form {format}, this program reads form {FORMAT}: it was written by \
                 another version",
                path.display()
            );
        }
        serde_json::from_str(&text).map(Some).with_context(cannot)
    }

    /// Replaces the file as a whole: a reader sees the old one or the new one.
    pub(crate) fn write(&self, dir: &StateDir) -> anyhow::Result<()> {
        let path = dir.cluster_file();
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        replace(&path, text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))
    }

    /// The port of the master's URL.
    pub(crate) fn master_port(&self) -> Option<u16> {
        self.master.rsplit_once(':').and_then(|(_, port)| port.parse().ok())
    }
}

fn replace(path: &Path, content: &[u8]) -> std::io::Result<()> {
    let new = path.with_extension("json.new");
    let mut file = std::fs::File::create(&new)?;
    file.write_all(content)?;
    file.sync_all()?;
    std::fs::rename(&new, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Cluster {
        Cluster::new(
            "https://127.0.0.1:5050".into(),
            "alcazar.local".into(),
            "nobody".into(),
            Some(Tls {
                ca: "pki/ca.pem".into(),
                certificate: "pki/operator.pem".into(),
                key: "pki/operator.key".into(),
            }),
            vec![Agent { name: "agent-1".into(), port: 5051, resources: None }],
        )
    }

    #[test]
    fn what_up_writes_a_command_reads() {
        let temp = tempfile::tempdir().unwrap();
        let dir = StateDir::resolve(Some(temp.path())).unwrap();
        let error = Cluster::find(&dir).unwrap_err();
        assert_eq!(crate::exit::status_of(&error), crate::exit::NO_CLUSTER);
        example().write(&dir).unwrap();
        assert_eq!(Cluster::find(&dir).unwrap(), example());
        assert_eq!(example().master_port(), Some(5050));
    }

    #[test]
    fn a_file_of_another_version_is_named_as_such() {
        let temp = tempfile::tempdir().unwrap();
        let dir = StateDir::resolve(Some(temp.path())).unwrap();
        std::fs::write(dir.cluster_file(), r#"{"format":2,"shape":"new"}"#).unwrap();
        let error = format!("{:#}", Cluster::find(&dir).unwrap_err());
        assert!(error.contains("form 2"), "{error}");
        std::fs::write(dir.cluster_file(), "{").unwrap();
        let error = format!("{:#}", Cluster::find(&dir).unwrap_err());
        assert!(error.contains("is not a description of a cluster"), "{error}");
    }
}
