//! The variables of the message layer.

use crate::row::Default::{Computed, Unset, Value};
use crate::row::Effect::{Honoured, NoEffectYet};
use crate::row::Kind::{Bool, Int, String, UInt16};
use crate::row::{Place, Program, Row, Section};

pub(super) const LIBPROCESS: Section = Section {
    title: "Variables: addresses and the message layer",
    programs: &Program::ALL,
    place: Place::Variables,
    rows: &[
        Row::new(
            "LIBPROCESS_IP",
            String,
            Unset,
            Honoured,
            "The IPv4 address to listen on; `--ip` wins.",
        ),
        Row::new("LIBPROCESS_IP6", String, Unset, NoEffectYet, "An IPv6 address to tell others."),
        Row::new(
            "LIBPROCESS_ADVERTISE_IP",
            String,
            Unset,
            Honoured,
            "The address that others are told; `--advertise_ip` wins.",
        ),
        Row::new(
            "LIBPROCESS_PORT",
            UInt16,
            Value("0"),
            Honoured,
            "The port to listen on. Master and agent always use `--port` and its default.",
        ),
        Row::new(
            "LIBPROCESS_ADVERTISE_PORT",
            UInt16,
            Unset,
            Honoured,
            "The port that others are told; `--advertise_port` wins.",
        ),
        Row::new(
            "LIBPROCESS_REQUIRE_PEER_ADDRESS_IP_MATCH",
            Bool,
            Value("false"),
            Honoured,
            "Believe a sender only if it is where it says. Without certificates this is always \
             so here; with them the certificate decides.",
        ),
        Row::new(
            "LIBPROCESS_MEMORY_PROFILING",
            Bool,
            Value("false"),
            NoEffectYet,
            "Serve profiles of the memory in use.",
        ),
        Row::new(
            "LIBPROCESS_NUM_WORKER_THREADS",
            Int,
            Computed("the number of CPUs, 8 at the least"),
            NoEffectYet,
            "How many threads work; from 1 to 1024.",
        ),
        Row::new(
            "LIBPROCESS_LIBEV_NUM_IO_THREADS",
            Int,
            Value("1"),
            NoEffectYet,
            "How many threads read and write; from 1 to 1024.",
        ),
        Row::new(
            "LIBPROCESS_METRICS_SNAPSHOT_ENDPOINT_RATE_LIMIT",
            String,
            Value("2/1secs"),
            NoEffectYet,
            "How often metrics may be asked for; empty: as often as anybody likes.",
        ),
        Row::new(
            "LIBPROCESS_ENABLE_PROFILER",
            String,
            Unset,
            NoEffectYet,
            "`1`: allow the profiler of the CPU to be started.",
        ),
        Row::new("LIBPROCESS_HELP", Bool, Value("false"), NoEffectYet, "Nothing, as always."),
    ],
};
