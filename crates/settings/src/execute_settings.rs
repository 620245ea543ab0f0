//! What `mesos-execute` is told.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::agent_settings::{MasterAddress, master};
use crate::common_settings::LogSettings;
use crate::row::Program;
use crate::typed::{EffectiveFlags, Reading, Typed};

/// How to talk to the master.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContentType {
    /// `application/json`.
    Json,
    /// `application/x-protobuf`.
    Protobuf,
}

/// What to run.
#[derive(Clone, PartialEq, Eq)]
pub enum What {
    /// A task that is made from flags.
    Command {
        /// Its name and id.
        name: String,
        /// What it runs; `None` without `--shell`, if none was given.
        command: Option<String>,
        /// Its environment. May hold secrets.
        environment: BTreeMap<String, String>,
    },
    /// A task that is given: JSON text of a `TaskInfo`.
    Task(String),
}

impl fmt::Debug for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command { name, .. } => f.debug_tuple("Command").field(name).finish(),
            Self::Task(_) => f.write_str("Task(..)"),
        }
    }
}

/// A text that nobody may see.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretText(String);

impl SecretText {
    /// The text, for whoever sends it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretText(..)")
    }
}

/// The settings of `mesos-execute` that have an effect; the names are those of the flags.
#[derive(Clone, Debug, PartialEq)]
pub struct ExecuteSettings {
    /// What is logged.
    pub log: LogSettings,
    /// Where the master is.
    pub master: MasterAddress,
    /// What to run.
    pub what: What,
    /// Whether the command is for a shell.
    pub shell: bool,
    /// What the task needs, as it was written: text or a JSON array.
    pub resources: String,
    /// The framework's role, as it was written.
    pub role: String,
    /// Whether the framework checkpoints.
    pub checkpoint: bool,
    /// When the running task is killed.
    pub kill_after: Option<Duration>,
    /// `FrameworkInfo.principal`.
    pub principal: Option<String>,
    /// What the principal authenticates with (HTTP Basic); only with a principal.
    pub secret: Option<SecretText>,
    /// How to talk to the master.
    pub content_type: ContentType,
    /// Whether the framework knows of GPUs.
    pub gpu_resources: bool,
    /// Whether the task may live on when its agent becomes unreachable.
    pub partition_aware: bool,
    /// Every flag with its value, without secrets.
    pub effective_flags: EffectiveFlags,
}

impl Typed for ExecuteSettings {
    const PROGRAM: Program = Program::Execute;

    fn read(r: &mut Reading<'_>) -> Option<Self> {
        r.not_both("task", "task_group");
        let content_type = r.choice(
            "content_type",
            &[
                ("json", ContentType::Json),
                ("application/json", ContentType::Json),
                ("protobuf", ContentType::Protobuf),
                ("application/x-protobuf", ContentType::Protobuf),
            ],
        );
        let capabilities = r.several("framework_capabilities");
        if let Some(other) = capabilities.iter().find(|name| *name != "GPU_RESOURCES") {
            r.invalid("framework_capabilities", format!("names `{other}`, expected GPU_RESOURCES"));
        }
        let shell = r.flag("shell");
        let what = what(r, shell);
        let master = master(r);
        Some(Self {
            log: LogSettings::read(r),
            master: master?,
            what: what?,
            shell,
            resources: r.text("resources").unwrap_or_default(),
            role: r.text("role").unwrap_or_default(),
            checkpoint: r.flag("checkpoint"),
            kill_after: r.optional_duration("kill_after"),
            secret: secret(r),
            principal: r.text("principal"),
            content_type: content_type?,
            gpu_resources: !capabilities.is_empty(),
            partition_aware: r.flag("partition_aware"),
            effective_flags: r.effective(),
        })
    }
}

fn secret(r: &mut Reading<'_>) -> Option<SecretText> {
    let secret = r.text("secret")?;
    if !r.is_given("principal") {
        r.partly("secret", "has no effect without --principal");
        return None;
    }
    r.weak("secret", "whoever lists the processes of this machine can read it");
    Some(SecretText(secret))
}

fn what(r: &mut Reading<'_>, shell: bool) -> Option<What> {
    if let Some(task) = r.json("task") {
        return Some(What::Task(task));
    }
    // Refused as such; nothing more to ask for.
    if r.is_given("task_group") {
        return None;
    }
    let name = r.text("name");
    let command = r.text("command");
    if name.is_none() {
        r.invalid("name", "is required without --task and --task_group");
    }
    if shell && command.is_none() {
        r.invalid("command", "is required with --shell");
    }
    let environment = r.strings("env").unwrap_or_default();
    name.map(|name| What::Command { name, command, environment })
}
