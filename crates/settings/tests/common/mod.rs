//! Sources made of literals.

#![allow(dead_code, reason = "each test binary uses a part")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use alcazar_settings::{
    AgentSettings, ExecuteSettings, Failure, JsonShape, Kind, Loaded, MasterSettings, Naming,
    Notice, Program, Sources, agent, execute, master,
};

/// Arguments, variables and files of one test.
#[derive(Clone, Default)]
pub(crate) struct Given {
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) files: BTreeMap<PathBuf, String>,
}

impl Given {
    pub(crate) fn arguments(arguments: &[&str]) -> Self {
        Self { arguments: arguments.iter().map(|a| (*a).to_owned()).collect(), ..Self::default() }
    }

    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    pub(crate) fn file(mut self, path: &str, content: &str) -> Self {
        self.files.insert(path.into(), content.into());
        self
    }

    pub(crate) fn with<T>(&self, read: impl FnOnce(&Sources<'_>) -> T) -> T {
        let read_file = |path: &Path| {
            self.files.get(path).cloned().ok_or_else(|| "No such file or directory".to_owned())
        };
        read(&Sources {
            arguments: &self.arguments,
            environment: &self.environment,
            read_file: &read_file,
        })
    }

    /// A master, with what it needs.
    pub(crate) fn master(&self) -> Result<(MasterSettings, Vec<Notice>), Failure> {
        let mut given = self.clone();
        given.arguments.insert(0, "--registry=in_memory".into());
        given.with(|sources| master(Naming::Mesos, sources)).map(run)
    }

    /// An agent, with what it needs.
    pub(crate) fn agent(&self) -> Result<(AgentSettings, Vec<Notice>), Failure> {
        let mut given = self.clone();
        given.arguments.splice(0..0, ["--master=m:5050".into(), "--work_dir=/w".into()]);
        given.with(|sources| agent(Naming::Mesos, sources)).map(run)
    }

    /// `mesos-execute`, with what it needs.
    pub(crate) fn execute(&self) -> Result<(ExecuteSettings, Vec<Notice>), Failure> {
        let mut given = self.clone();
        let needed = ["--master=m:5050", "--name=n", "--command=c"];
        for needed in needed.into_iter().rev() {
            let (name, _) = needed.split_once('=').unwrap();
            if !given.arguments.iter().any(|a| a.starts_with(&format!("{name}="))) {
                given.arguments.insert(0, needed.into());
            }
        }
        given.with(execute).map(run)
    }

    /// What is wrong with `program`'s settings, one text for each error.
    pub(crate) fn errors(&self, program: Program) -> Vec<String> {
        let failure = match program {
            Program::Agent => self.agent().err(),
            Program::Execute => self.execute().err(),
            Program::Master => self.master().err(),
        };
        failure.map_or_else(Vec::new, |f| f.errors.iter().map(ToString::to_string).collect())
    }
}

fn run<T>(loaded: Loaded<T>) -> (T, Vec<Notice>) {
    match loaded {
        Loaded::Run { settings, notices } => (*settings, notices),
        Loaded::Help(_) | Loaded::Version => panic!("nobody asked"),
    }
}

/// A well-formed value that is nobody's default.
pub(crate) fn sample(kind: Kind) -> &'static str {
    match kind {
        Kind::Bool => "true",
        Kind::Bytes => "7MB",
        Kind::Double => "0.5",
        Kind::Duration => "11secs",
        Kind::Int | Kind::Size | Kind::UInt16 => "777",
        Kind::Json(JsonShape::Array) => r#"[{"k":"v3ry-s3cret"}]"#,
        Kind::Json(JsonShape::Object | JsonShape::Strings) => r#"{"k":"v3ry-s3cret"}"#,
        Kind::List | Kind::Set => "v3ry-s3cret,b",
        Kind::Path | Kind::SecurePathOrValue | Kind::String => "v3ry-s3cret",
        Kind::Rate => "3/5mins",
    }
}

/// The folder with the recorded facts about the original; `None` says that it is skipped.
pub(crate) fn shared(path: &str) -> Option<PathBuf> {
    let root = std::env::var_os("ALCAZAR_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let path = root.join(path);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: {} is not there (see ALCAZAR_SHARED)", path.display());
    None
}
