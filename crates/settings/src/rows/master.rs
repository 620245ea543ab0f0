//! What the master takes.

use crate::row::Default::{Unset, Value};
use crate::row::Effect::{Honoured, NoEffectYet, Refused};
use crate::row::Kind::{
    Bool, Bytes, Double, Duration, Int, Json, Path, Rate, SecurePathOrValue, Set, Size, String,
    UInt16,
};
use crate::row::{JsonShape, Place, Program, Restricts, Row, Section, Sensitivity};

const MASTER: &[Program] = &[Program::Master];

const fn section(title: &'static str, rows: &'static [Row]) -> Section {
    Section { title, programs: MASTER, place: Place::Flags, rows }
}

pub(super) const ADDRESS: Section = section(
    "Master: address and election",
    &[
        Row::new("version", Bool, Value("false"), Honoured, "Print the version and end."),
        Row::new("ip", String, Unset, Honoured, "The IPv4 address to listen on."),
        Row::new(
            "ip_discovery_command",
            String,
            Unset,
            Refused(Restricts::Given),
            "A shell command that prints the address to listen on. Not together with `--ip`.",
        ),
        Row::new("port", UInt16, Value("5050"), Honoured, "The port to listen on."),
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
            "zk",
            SecurePathOrValue,
            Unset,
            Refused(Restricts::Given),
            "ZooKeeper's URL, for the election of one master among several.",
        )
        .sensitivity(Sensitivity::Url),
        Row::new(
            "zk_session_timeout",
            Duration,
            Value("10secs"),
            NoEffectYet,
            "How long ZooKeeper keeps the session of a silent master.",
        ),
        Row::new(
            "master_contender",
            String,
            Unset,
            Refused(Restricts::Given),
            "A module that stands for election.",
        ),
        Row::new(
            "master_detector",
            String,
            Unset,
            Refused(Restricts::Given),
            "A module that finds the leading master.",
        ),
    ],
);

pub(super) const REGISTRY: Section = section(
    "Master: registry",
    &[
        Row::new(
            "quorum",
            Int,
            Unset,
            NoEffectYet,
            "How many masters must hold a copy of the registry before a change counts.",
        ),
        Row::new(
            "work_dir",
            String,
            Unset,
            Honoured,
            "Where the registry lies. Needed unless `--registry=in_memory`.",
        ),
        Row::new(
            "registry",
            String,
            Value("replicated_log"),
            Honoured,
            "`replicated_log` (or `log_storage`): on disk, below `work_dir`; `in_memory`: gone \
             with the process.",
        ),
        Row::new(
            "registry_strict",
            Bool,
            Value("false"),
            Honoured,
            "Without effect in the original, where `true` is an error, as it is here.",
        ),
        Row::new(
            "registry_fetch_timeout",
            Duration,
            Value("1mins"),
            NoEffectYet,
            "How long reading the registry may take.",
        ),
        Row::new(
            "registry_store_timeout",
            Duration,
            Value("20secs"),
            NoEffectYet,
            "How long a write to the registry may take before the master gives up.",
        ),
        Row::new(
            "log_auto_initialize",
            Bool,
            Value("true"),
            NoEffectYet,
            "Take up an empty registry by itself.",
        ),
        Row::new(
            "registry_gc_interval",
            Duration,
            Value("15mins"),
            Honoured,
            "How often records of unreachable and gone agents are pruned.",
        ),
        Row::new(
            "registry_max_agent_age",
            Duration,
            Value("2weeks"),
            Honoured,
            "How long records of unreachable and gone agents are kept.",
        ),
        Row::new(
            "registry_max_agent_count",
            Size,
            Value("102400"),
            Honoured,
            "How many records of unreachable, and of gone, agents are kept.",
        ),
    ],
);

pub(super) const AGENTS: Section = section(
    "Master: agents",
    &[
        Row::new(
            "agent_reregister_timeout",
            Duration,
            Value("10mins"),
            Honoured,
            "After a failover, how long agents may stay away before they count as unreachable; \
             at least 10mins.",
        )
        .alias("slave_reregister_timeout"),
        Row::new(
            "recovery_agent_removal_limit",
            String,
            Value("100%"),
            Honoured,
            "End instead if a larger share of the agents would become unreachable after a failover.",
        )
        .alias("recovery_slave_removal_limit"),
        Row::new(
            "agent_removal_rate_limit",
            Rate,
            Unset,
            Honoured,
            "How many agents may become unreachable in a time, e.g. `1/10mins`.",
        )
        .alias("slave_removal_rate_limit"),
        Row::new(
            "agent_ping_timeout",
            Duration,
            Value("15secs"),
            Honoured,
            "How long an agent may take to answer a ping; from 1secs to 15mins.",
        )
        .alias("slave_ping_timeout"),
        Row::new(
            "max_agent_ping_timeouts",
            Size,
            Value("5"),
            Honoured,
            "How many pings in a row may stay unanswered before the agent counts as unreachable.",
        )
        .alias("max_slave_ping_timeouts"),
        Row::new(
            "require_agent_domain",
            Bool,
            Value("false"),
            Honoured,
            "Refuse agents that name no fault domain.",
        ),
        Row::new(
            "domain",
            Json(JsonShape::Object),
            Unset,
            Honoured,
            "The fault domain of this master: a `DomainInfo` with a `fault_domain`.",
        ),
        Row::new(
            "whitelist",
            Path,
            Unset,
            Honoured,
            "A file with the host names of the agents whose resources are offered, one in a line; \
             read again every 5secs. While it has never been readable nothing is offered.",
        ),
    ],
);

pub(super) const OFFERS: Section = section(
    "Master: offers",
    &[
        Row::new(
            "allocator",
            String,
            Value("hierarchical"),
            Refused(Restricts::Unless(&["hierarchical"])),
            "Who decides what is offered to whom: `hierarchical`, or a module.",
        ),
        Row::new(
            "role_sorter",
            String,
            Value("drf"),
            Honoured,
            "In which order roles are served: `drf` (least dominant share first) or `random`.",
        )
        .alias("user_sorter"),
        Row::new(
            "framework_sorter",
            String,
            Value("drf"),
            Honoured,
            "In which order the frameworks of a role are served: `drf` or `random`.",
        ),
        Row::new(
            "allocation_interval",
            Duration,
            Value("1secs"),
            Honoured,
            "How often everything that is free is offered again.",
        ),
        Row::new(
            "allocator_agent_recovery_factor",
            Double,
            Value("0.8"),
            Honoured,
            "After a failover with quotas, the share of agents to wait for before offering.",
        ),
        Row::new(
            "allocator_recovery_timeout",
            Duration,
            Value("10mins"),
            Honoured,
            "The longest such wait.",
        ),
        Row::new(
            "fair_sharing_excluded_resource_names",
            Set,
            Unset,
            Honoured,
            "Resources that do not count in dominant shares.",
        ),
        Row::new(
            "filter_gpu_resources",
            Bool,
            Value("true"),
            Honoured,
            "Offer agents with GPUs only to frameworks that say they know of GPUs.",
        ),
        Row::new(
            "min_allocatable_resources",
            String,
            Value("cpus:0.01|mem:32"),
            Honoured,
            "What an offer must hold at the least: alternatives separated by `|`.",
        ),
        Row::new(
            "offer_timeout",
            Duration,
            Unset,
            Honoured,
            "Take offers back that were not answered for this long.",
        ),
        Row::new(
            "offer_constraints_re2_max_mem",
            Bytes,
            Value("4KB"),
            Honoured,
            "The memory that one regular expression in offer constraints may need.",
        ),
        Row::new(
            "offer_constraints_re2_max_program_size",
            Int,
            Value("100"),
            Honoured,
            "The complexity that one regular expression in offer constraints may have.",
        ),
        Row::new(
            "max_executors_per_agent",
            Size,
            Unset,
            Refused(Restricts::Given),
            "How many executors an agent may run.",
        )
        .alias("max_executors_per_slave")
        .only_in("port mapping"),
        Row::new(
            "roles",
            String,
            Unset,
            Honoured,
            "The roles that frameworks may have, besides `*`, separated by commas (deprecated).",
        ),
        Row::new(
            "weights",
            String,
            Unset,
            Honoured,
            "How much roles count in sharing: `role=weight,…` (deprecated).",
        ),
    ],
);

pub(super) const SECURITY: Section = section(
    "Master: who may do what",
    &[
        Row::new(
            "root_submissions",
            Bool,
            Value("true"),
            Honoured,
            "Accept frameworks whose user is `root`.",
        ),
        Row::new(
            "authenticate_frameworks",
            Bool,
            Value("false"),
            Honoured,
            "Accept only frameworks that have authenticated.",
        )
        .alias("authenticate"),
        Row::new(
            "authenticate_agents",
            Bool,
            Value("false"),
            Honoured,
            "Accept only agents that have authenticated.",
        )
        .alias("authenticate_slaves"),
        Row::new(
            "authentication_v0_timeout",
            Duration,
            Value("15secs"),
            Honoured,
            "How long one SASL exchange may take.",
        ),
        Row::new(
            "authenticators",
            String,
            Value("crammd5"),
            Honoured,
            "Who authenticates frameworks and agents: `crammd5`, the built-in one, which the original \
             calls by its only mechanism. Which mechanisms it offers is said by \
             `--sasl_mechanisms`; `crammd5` itself leaves none out.",
        ),
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
        )
        .alias("authenticate_http"),
        Row::new(
            "authenticate_http_frameworks",
            Bool,
            Value("false"),
            Honoured,
            "Demand authentication of frameworks that use the HTTP API.",
        ),
        Row::new(
            "http_authenticators",
            String,
            Value("basic"),
            Honoured,
            "What HTTP clients authenticate with: `basic`, `jwt` (with `--jwks`), `certificate`, \
             separated by commas; the first that proves something counts. Certificates that carry \
             identities count in any case.",
        ),
        Row::new(
            "http_framework_authenticators",
            String,
            Unset,
            Honoured,
            "What frameworks that use the HTTP API authenticate with, as in `--http_authenticators`.",
        ),
        Row::new(
            "credentials",
            Path,
            Unset,
            Honoured,
            "A JSON file with the principals that are known, and their secrets or what verifies them; \
             read again when it changes and at SIGHUP.",
        )
        .sensitivity(Sensitivity::PathToSecret),
        Row::new(
            "acls",
            Json(JsonShape::Object),
            Unset,
            Refused(Restricts::Given),
            "Who may do what.",
        ),
        Row::new(
            "authorizers",
            String,
            Value("local"),
            Refused(Restricts::Unless(&["local"])),
            "Who decides who may do what: `local` (by `--acls`), or a module.",
        ),
        Row::new(
            "firewall_rules",
            Json(JsonShape::Object),
            Unset,
            Refused(Restricts::Given),
            "Endpoints that are closed to everybody.",
        ),
        Row::new(
            "rate_limits",
            Json(JsonShape::Object),
            Unset,
            Honoured,
            "How many messages drivers (v0 schedulers) of each principal may send in a second: \
             `{\"limits\": [{\"principal\", \"qps\", \"capacity\"}, …], \"aggregate_default_qps\", \
             \"aggregate_default_capacity\"}`.",
        ),
    ],
);

pub(super) const MISCELLANEOUS: Section = section(
    "Master: miscellaneous",
    &[
        Row::new(
            "webui_dir",
            String,
            Value("/usr/share/mesos/webui"),
            NoEffectYet,
            "Where the files of the web page lie.",
        ),
        Row::new("cluster", String, Unset, Honoured, "The cluster's name, for people."),
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
            "max_operator_event_stream_subscribers",
            Size,
            Value("1000"),
            Honoured,
            "How many clients may follow events; the oldest is dropped for a new one.",
        ),
        Row::new(
            "max_completed_frameworks",
            Size,
            Value("50"),
            Honoured,
            "How many ended frameworks are remembered.",
        ),
        Row::new(
            "max_completed_tasks_per_framework",
            Size,
            Value("1000"),
            Honoured,
            "How many ended tasks of each framework are remembered.",
        ),
        Row::new(
            "max_unreachable_tasks_per_framework",
            Size,
            Value("1000"),
            Honoured,
            "How many unreachable tasks of each framework are remembered.",
        ),
        Row::new(
            "publish_per_framework_metrics",
            Bool,
            Value("true"),
            Honoured,
            "Publish metrics for each framework.",
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
