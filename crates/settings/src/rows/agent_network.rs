//! What the agent takes about the networks of containers.

use crate::row::Default::{Unset, Value};
use crate::row::Effect::{NoEffectYet, Refused};
use crate::row::Kind::{Bool, Bytes, Duration, String, UInt16};
use crate::row::{Restricts, Row, Section};

use super::agent::section;

const PORTS: &str = "network ports isolator";
const MAPPING: &str = "port mapping";

pub(super) const NETWORK: Section = section(
    "Agent: networks of containers",
    &[
        Row::new(
            "network_cni_plugins_dir",
            String,
            Unset,
            NoEffectYet,
            "Where CNI plugins lie; several directories are separated by colons.",
        ),
        Row::new(
            "network_cni_config_dir",
            String,
            Unset,
            NoEffectYet,
            "Where descriptions of CNI networks lie.",
        ),
        Row::new(
            "network_cni_root_dir_persist",
            Bool,
            Value("false"),
            NoEffectYet,
            "Keep what is known about CNI networks across a reboot.",
        ),
        Row::new(
            "network_cni_metrics",
            Bool,
            Value("true"),
            NoEffectYet,
            "Publish metrics about CNI networks.",
        ),
        Row::new(
            "container_ports_watch_interval",
            Duration,
            Value("30secs"),
            NoEffectYet,
            "How often the ports that containers listen on are looked at.",
        )
        .only_in(PORTS),
        Row::new(
            "check_agent_port_range_only",
            Bool,
            Value("false"),
            NoEffectYet,
            "Look only at ports among the agent's resources.",
        )
        .only_in(PORTS),
        Row::new(
            "enforce_container_ports",
            Bool,
            Value("false"),
            Refused(Restricts::True),
            "Kill containers that listen on ports that they were not given.",
        )
        .only_in(PORTS),
        Row::new(
            "container_ports_isolated_range",
            String,
            Unset,
            NoEffectYet,
            "Look only at these ports.",
        )
        .only_in(PORTS),
        Row::new(
            "ephemeral_ports_per_container",
            UInt16,
            Value("1024"),
            NoEffectYet,
            "How many ephemeral ports each container has; a power of two.",
        )
        .only_in(MAPPING),
        Row::new("eth0_name", String, Unset, NoEffectYet, "The interface to the outside.")
            .only_in(MAPPING),
        Row::new("lo_name", String, Unset, NoEffectYet, "The loopback interface.").only_in(MAPPING),
        Row::new(
            "egress_rate_limit_per_container",
            Bytes,
            Unset,
            Refused(Restricts::Given),
            "How much each container may send in a second.",
        )
        .only_in(MAPPING),
        Row::new(
            "egress_rate_per_cpu",
            String,
            Unset,
            Refused(Restricts::Given),
            "How much each container may send in a second for each whole CPU, or `auto`.",
        )
        .only_in(MAPPING),
        Row::new(
            "minimum_egress_rate_limit",
            Bytes,
            Unset,
            NoEffectYet,
            "The least that such a limit comes to.",
        )
        .only_in(MAPPING),
        Row::new(
            "maximum_egress_rate_limit",
            Bytes,
            Unset,
            Refused(Restricts::Given),
            "The most that such a limit comes to.",
        )
        .only_in(MAPPING),
        Row::new(
            "egress_ceil_limit",
            Bytes,
            Unset,
            Refused(Restricts::Given),
            "How much a container may send in a second for a short time.",
        )
        .only_in(MAPPING),
        Row::new("egress_burst", Bytes, Unset, NoEffectYet, "How much it may send at that rate.")
            .only_in(MAPPING),
        Row::new(
            "egress_unique_flow_per_container",
            Bool,
            Value("false"),
            NoEffectYet,
            "Give each container a flow of its own.",
        )
        .only_in(MAPPING),
        Row::new(
            "egress_flow_classifier_parent",
            String,
            Value("root"),
            NoEffectYet,
            "Where flows are told apart.",
        )
        .only_in(MAPPING),
        Row::new(
            "ingress_rate_limit_per_container",
            Bytes,
            Unset,
            Refused(Restricts::Given),
            "How much each container may receive in a second.",
        )
        .only_in(MAPPING),
        Row::new(
            "ingress_rate_per_cpu",
            String,
            Unset,
            Refused(Restricts::Given),
            "How much each container may receive in a second for each whole CPU, or `auto`.",
        )
        .only_in(MAPPING),
        Row::new(
            "minimum_ingress_rate_limit",
            Bytes,
            Unset,
            NoEffectYet,
            "The least that such a limit comes to.",
        )
        .only_in(MAPPING),
        Row::new(
            "maximum_ingress_rate_limit",
            Bytes,
            Unset,
            Refused(Restricts::Given),
            "The most that such a limit comes to.",
        )
        .only_in(MAPPING),
        Row::new(
            "ingress_ceil_limit",
            Bytes,
            Unset,
            Refused(Restricts::Given),
            "How much a container may receive in a second for a short time.",
        )
        .only_in(MAPPING),
        Row::new(
            "ingress_burst",
            Bytes,
            Unset,
            NoEffectYet,
            "How much it may receive at that rate.",
        )
        .only_in(MAPPING),
        Row::new(
            "ingress_isolate_existing_containers",
            Bool,
            Value("true"),
            NoEffectYet,
            "Limit containers that already run, too.",
        )
        .only_in(MAPPING),
        Row::new(
            "network_link_speed",
            Bytes,
            Unset,
            NoEffectYet,
            "The speed of the network, where `auto` detects it wrongly.",
        )
        .only_in(MAPPING),
        Row::new(
            "network_enable_socket_statistics_summary",
            Bool,
            Value("false"),
            NoEffectYet,
            "Count the sockets of each container.",
        )
        .only_in(MAPPING),
        Row::new(
            "network_enable_socket_statistics_details",
            Bool,
            Value("false"),
            NoEffectYet,
            "Keep details of the TCP connections of each container.",
        )
        .only_in(MAPPING),
        Row::new(
            "network_enable_snmp_statistics",
            Bool,
            Value("false"),
            NoEffectYet,
            "Keep the SNMP counters of each container.",
        )
        .only_in(MAPPING),
        Row::new(
            "network_enable_rate_statistics",
            Bool,
            Value("false"),
            NoEffectYet,
            "Keep percentiles of the traffic of each container.",
        )
        .only_in(MAPPING),
        Row::new(
            "network_rate_statistics_window",
            Duration,
            Unset,
            NoEffectYet,
            "The time that such percentiles are about.",
        )
        .only_in(MAPPING),
        Row::new(
            "network_rate_statistics_interval",
            Duration,
            Unset,
            NoEffectYet,
            "How often traffic is looked at for them.",
        )
        .only_in(MAPPING),
    ],
);
