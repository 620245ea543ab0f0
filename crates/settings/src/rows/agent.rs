//! What the agent takes, containers and networks aside.

use crate::row::Default::{Computed, Required, Unset, Value};
use crate::row::Effect::{Honoured, NoEffectYet, Refused};
use crate::row::Kind::{
    Bool, Bytes, Double, Duration, Json, Path, SecurePathOrValue, Size, String, UInt16,
};
use crate::row::{JsonShape, Place, Program, Restricts, Row, Section, Sensitivity};

const AGENT: &[Program] = &[Program::Agent];

pub(super) const fn section(title: &'static str, rows: &'static [Row]) -> Section {
    Section { title, programs: AGENT, place: Place::Flags, rows }
}

pub(super) const ADDRESS: Section = section(
    "Agent: address, master, resources",
    &[
        Row::new("version", Bool, Value("false"), Honoured, "Print the version and end."),
        Row::new(
            "master",
            SecurePathOrValue,
            Unset,
            Honoured,
            "Where the master is: `host:port`, or (not yet) `zk://…`. Needed unless \
             `--master_detector`.",
        )
        .sensitivity(Sensitivity::Url),
        Row::new(
            "master_detector",
            String,
            Unset,
            Refused(Restricts::Given),
            "A module that finds the leading master.",
        ),
        Row::new(
            "zk_session_timeout",
            Duration,
            Value("10secs"),
            NoEffectYet,
            "How long ZooKeeper keeps the session of a silent agent.",
        ),
        Row::new("ip", String, Unset, Honoured, "The IPv4 address to listen on."),
        Row::new(
            "ip_discovery_command",
            String,
            Unset,
            Refused(Restricts::Given),
            "A shell command that prints the address to listen on. Not together with `--ip`.",
        ),
        Row::new(
            "ip6",
            String,
            Unset,
            NoEffectYet,
            "An IPv6 address that containers on the host's network are told.",
        ),
        Row::new(
            "ip6_discovery_command",
            String,
            Unset,
            NoEffectYet,
            "A shell command that prints that address. Not together with `--ip6`.",
        ),
        Row::new("port", UInt16, Value("5051"), Honoured, "The port to listen on."),
        Row::new(
            "advertise_ip",
            String,
            Unset,
            Honoured,
            "The address that others are told, if it is not the one listened on.",
        ),
        Row::new(
            "advertise_port",
            String,
            Unset,
            Honoured,
            "The port that others are told, if it is not the one listened on.",
        ),
        Row::new(
            "hostname",
            String,
            Unset,
            Honoured,
            "The host name that others are told; unless given, what a lookup of the address says.",
        ),
        Row::new(
            "hostname_lookup",
            Bool,
            Value("true"),
            Honoured,
            "Look the host name up; otherwise the address stands for it.",
        ),
        Row::new(
            "domain",
            Json(JsonShape::Object),
            Unset,
            Honoured,
            "The fault domain of this agent: a `DomainInfo` with a `fault_domain`.",
        ),
        Row::new(
            "attributes",
            String,
            Unset,
            Honoured,
            "What frameworks are told about this machine: `name:value;…`.",
        ),
        Row::new(
            "resources",
            String,
            Unset,
            Honoured,
            "What is offered: `name(role):value;…` or a JSON array; the rest is detected.",
        ),
        Row::new(
            "default_role",
            String,
            Value("*"),
            Honoured,
            "The role of resources that are given without one.",
        ),
        Row::new(
            "registration_backoff_factor",
            Duration,
            Value("1secs"),
            Honoured,
            "How long to wait, at random up to this, before registering; doubled each time, up \
             to 1mins.",
        ),
        Row::new(
            "authentication_backoff_factor",
            Duration,
            Value("1secs"),
            Honoured,
            "How much longer each further attempt to authenticate may take.",
        ),
        Row::new(
            "authentication_timeout_min",
            Duration,
            Value("5secs"),
            Honoured,
            "The least time that an attempt to authenticate is given.",
        ),
        Row::new(
            "authentication_timeout_max",
            Duration,
            Value("1mins"),
            Honoured,
            "The most time that an attempt to authenticate is given.",
        ),
        Row::new(
            "authenticatee",
            String,
            Value("crammd5"),
            Honoured,
            "What the agent authenticates with: `crammd5`, the built-in one, which the original calls \
             by its only mechanism. Which mechanisms it uses is said by `--sasl_mechanisms`.",
        ),
        Row::new(
            "credential",
            Path,
            Unset,
            Honoured,
            "A JSON file with the principal and secret with which the agent authenticates; read again \
             when it changes and at SIGHUP.",
        )
        .sensitivity(Sensitivity::PathToSecret),
        Row::new(
            "agent_features",
            Json(JsonShape::Object),
            Unset,
            NoEffectYet,
            "The capabilities that the master is told.",
        ),
    ],
);

pub(super) const DIRECTORIES: Section = section(
    "Agent: directories, recovery, removal of old files",
    &[
        Row::new("work_dir", String, Required, Honoured, "Where checkpoints and sandboxes lie."),
        Row::new(
            "runtime_dir",
            String,
            Computed("`/var/run/mesos` if it can be written, otherwise `<tmp>/mesos/runtime`"),
            NoEffectYet,
            "Where the state of running containers lies; empty after a reboot.",
        ),
        Row::new(
            "launcher_dir",
            String,
            Value("/usr/libexec/mesos"),
            NoEffectYet,
            "Where helper programs lie; ours are in the one program.",
        ),
        Row::new(
            "frameworks_home",
            String,
            Value(""),
            NoEffectYet,
            "What relative URIs of executors are relative to.",
        ),
        Row::new("hadoop_home", String, Unset, NoEffectYet, "Where Hadoop lies, for HDFS URIs."),
        Row::new(
            "sandbox_directory",
            String,
            Value("/mnt/mesos/sandbox"),
            NoEffectYet,
            "Where containers with a file system of their own find their sandbox.",
        ),
        Row::new(
            "fetcher_cache_size",
            Bytes,
            Value("2GB"),
            NoEffectYet,
            "How much of what was fetched is kept for the next task.",
        ),
        Row::new(
            "fetcher_cache_dir",
            String,
            Value("/tmp/mesos/fetch"),
            NoEffectYet,
            "Where it is kept.",
        ),
        Row::new(
            "fetcher_stall_timeout",
            Duration,
            Value("1mins"),
            Honoured,
            "Give up downloads that have stood still for this long.",
        ),
        Row::new(
            "recover",
            String,
            Value("reconnect"),
            Honoured,
            "After a restart: `reconnect` to the executors that still run, or `cleanup`: kill \
             them and end.",
        ),
        Row::new(
            "recovery_timeout",
            Duration,
            Value("15mins"),
            Honoured,
            "How long executors wait for an agent that is away before they end themselves.",
        ),
        Row::new(
            "strict",
            Bool,
            Value("true"),
            Honoured,
            "End when anything that was checkpointed cannot be recovered.",
        ),
        Row::new(
            "reconfiguration_policy",
            String,
            Value("equal"),
            Honoured,
            "What may change across a restart: nothing (`equal`), or (`additive`) resources, \
             attributes and the domain may be added.",
        ),
        Row::new(
            "gc_delay",
            Duration,
            Value("1weeks"),
            NoEffectYet,
            "How long the sandboxes of ended executors are kept at most.",
        ),
        Row::new(
            "gc_disk_headroom",
            Double,
            Value("0.1"),
            NoEffectYet,
            "The share of the disk to keep free by removing sandboxes earlier; from 0 to 1.",
        ),
        Row::new(
            "gc_non_executor_container_sandboxes",
            Bool,
            Value("false"),
            NoEffectYet,
            "Remove the sandboxes of nested and standalone containers as well.",
        ),
        Row::new(
            "disk_watch_interval",
            Duration,
            Value("1mins"),
            NoEffectYet,
            "How often the free space of the disk is looked at.",
        ),
        Row::new(
            "max_completed_executors_per_framework",
            Size,
            Value("150"),
            Honoured,
            "How many ended executors of each framework are remembered.",
        ),
    ],
);

pub(super) const EXECUTORS: Section = section(
    "Agent: executors",
    &[
        Row::new(
            "switch_user",
            Bool,
            Value("true"),
            Honoured,
            "Run tasks as the user that they name, which only root can.",
        ),
        Row::new(
            "executor_environment_variables",
            Json(JsonShape::Strings),
            Unset,
            Honoured,
            "The environment of executors, in place of the agent's own.",
        )
        .sensitivity(Sensitivity::Secret),
        Row::new(
            "executor_registration_timeout",
            Duration,
            Value("1mins"),
            Honoured,
            "Kill executors that have not registered after this long.",
        ),
        Row::new(
            "executor_reregistration_timeout",
            Duration,
            Value("2secs"),
            Honoured,
            "How long executors have to come back after the agent's restart; at most 15secs.",
        ),
        Row::new(
            "executor_reregistration_retry_interval",
            Duration,
            Unset,
            NoEffectYet,
            "How often executors are asked again to come back.",
        ),
        Row::new(
            "executor_shutdown_grace_period",
            Duration,
            Value("5secs"),
            Honoured,
            "How long executors have to end by themselves.",
        ),
        Row::new(
            "http_command_executor",
            Bool,
            Value("false"),
            NoEffectYet,
            "Let the command executor use the HTTP API; ours always does.",
        ),
        Row::new(
            "http_executor_domain_sockets",
            Bool,
            Value("false"),
            Refused(Restricts::True),
            "Let executors use a Unix socket.",
        ),
        Row::new(
            "domain_socket_location",
            String,
            Unset,
            NoEffectYet,
            "Where that socket is; by default `<runtime_dir>/agent.sock`.",
        ),
        Row::new(
            "http_heartbeat_interval",
            Duration,
            Value("30secs"),
            NoEffectYet,
            "How often an open stream is told that it is alive.",
        ),
        Row::new(
            "authenticate_http_executors",
            Bool,
            Value("false"),
            Honoured,
            "Demand tokens of executors. (Encrypted agents of ours always do.)",
        ),
        Row::new(
            "jwt_secret_key",
            Path,
            Unset,
            Honoured,
            "A file with the key that signs those tokens: all of its bytes.",
        )
        .alias("executor_secret_key")
        .sensitivity(Sensitivity::PathToSecret),
        Row::new(
            "secret_resolver",
            String,
            Unset,
            Refused(Restricts::Given),
            "A module that turns references to secrets into secrets.",
        ),
    ],
);

pub(super) const SECURITY: Section = section(
    "Agent: who may do what",
    &[
        Row::new(
            "authenticate_http_readonly",
            Bool,
            Value("false"),
            Honoured,
            "Demand authentication for HTTP requests that only read.",
        ),
        Row::new(
            "authenticate_http_readwrite",
            Bool,
            Value("false"),
            Honoured,
            "Demand authentication for HTTP requests that change something.",
        ),
        Row::new(
            "http_authenticators",
            String,
            Unset,
            Honoured,
            "What HTTP clients authenticate with, in all realms: `basic`, `jwt`, `certificate`, \
             separated by commas; the first that proves something counts. Unless given `basic`, \
             and `basic,jwt` with `--authenticate_http_executors`.",
        ),
        Row::new(
            "http_credentials",
            Path,
            Unset,
            Honoured,
            "A JSON file with the principals that are known over HTTP, and their secrets or what \
             verifies them; read again when it changes and at SIGHUP.",
        )
        .sensitivity(Sensitivity::PathToSecret),
        Row::new(
            "authorizer",
            String,
            Value("local"),
            Refused(Restricts::Unless(&["local"])),
            "Who decides who may do what: `local` (by `--acls`), or a module.",
        ),
        Row::new(
            "acls",
            Json(JsonShape::Object),
            Unset,
            Refused(Restricts::Given),
            "Who may do what.",
        ),
        Row::new(
            "firewall_rules",
            Json(JsonShape::Object),
            Unset,
            Refused(Restricts::Given),
            "Endpoints that are closed to everybody.",
        ),
        Row::new(
            "effective_capabilities",
            Json(JsonShape::Object),
            Unset,
            Refused(Restricts::Given),
            "The Linux capabilities that tasks have unless they say otherwise.",
        )
        .alias("allowed_capabilities"),
        Row::new(
            "bounding_capabilities",
            Json(JsonShape::Object),
            Unset,
            Refused(Restricts::Given),
            "The Linux capabilities that tasks may have at most.",
        ),
        Row::new(
            "disallow_sharing_agent_ipc_namespace",
            Bool,
            Value("false"),
            Refused(Restricts::True),
            "Give each container an IPC namespace of its own.",
        ),
        Row::new(
            "disallow_sharing_agent_pid_namespace",
            Bool,
            Value("false"),
            Refused(Restricts::True),
            "Give each container a PID namespace of its own.",
        ),
        Row::new(
            "seccomp_config_dir",
            String,
            Unset,
            Refused(Restricts::Given),
            "Where profiles of system calls lie.",
        )
        .only_in("seccomp"),
        Row::new(
            "seccomp_profile_name",
            String,
            Unset,
            Refused(Restricts::Given),
            "The profile of system calls for tasks that name none.",
        )
        .only_in("seccomp"),
    ],
);

pub(super) const MISCELLANEOUS: Section = section(
    "Agent: resource providers, oversubscription, modules",
    &[
        Row::new(
            "resource_provider_config_dir",
            String,
            Unset,
            NoEffectYet,
            "Descriptions of local resource providers.",
        ),
        Row::new(
            "csi_plugin_config_dir",
            String,
            Unset,
            NoEffectYet,
            "Descriptions of CSI plugins.",
        ),
        Row::new(
            "disk_profile_adaptor",
            String,
            Unset,
            NoEffectYet,
            "A module that knows the profiles of disks.",
        ),
        Row::new(
            "resource_estimator",
            String,
            Unset,
            NoEffectYet,
            "A module that says how much may be offered beyond what is there.",
        ),
        Row::new(
            "qos_controller",
            String,
            Unset,
            NoEffectYet,
            "A module that says which of such tasks have to go.",
        ),
        Row::new(
            "qos_correction_interval_min",
            Duration,
            Value("0ns"),
            NoEffectYet,
            "The least time between its corrections.",
        ),
        Row::new(
            "oversubscribed_resources_interval",
            Duration,
            Value("15secs"),
            NoEffectYet,
            "How often the master is told what may be offered beyond what is there.",
        ),
        Row::new(
            "modules",
            Json(JsonShape::Object),
            Unset,
            Refused(Restricts::Given),
            "Shared libraries to load.",
        )
        .sensitivity(Sensitivity::Secret),
        Row::new(
            "modules_dir",
            String,
            Unset,
            Refused(Restricts::Given),
            "A directory with descriptions of shared libraries to load.",
        ),
        Row::new(
            "hooks",
            String,
            Unset,
            Refused(Restricts::Given),
            "Modules that are asked at certain moments.",
        ),
        Row::new(
            "memory_profiling",
            Bool,
            Value("false"),
            NoEffectYet,
            "Serve profiles of the memory in use.",
        ),
    ],
);
