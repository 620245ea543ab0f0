//! The variables of the message layer.

use crate::row::Default::{Computed, Unset, Value};
use crate::row::Effect::{Honoured, NoEffectYet, Refused};
use crate::row::Kind::{Bool, Int, Path, Size, String, UInt16};
use crate::row::{Place, Program, Restricts, Row, Section};

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

/// Read by the crate `tls-policy`, not by this one; here for people. As long as
/// `LIBPROCESS_SSL_ENABLED=true` is refused, none of the others can have an effect.
pub(super) const TLS: Section = Section {
    title: "Variables: TLS",
    programs: &Program::ALL,
    place: Place::Variables,
    rows: &[
        Row::new(
            "LIBPROCESS_SSL_ENABLED",
            Bool,
            Value("false"),
            Refused(Restricts::True),
            "Encrypt all connections. Without, nothing else matters.",
        ),
        Row::new(
            "LIBPROCESS_SSL_SUPPORT_DOWNGRADE",
            Bool,
            Value("false"),
            NoEffectYet,
            "Serve, and dial, peers that do not encrypt.",
        ),
        Row::new(
            "LIBPROCESS_SSL_CERT_FILE",
            Path,
            Unset,
            NoEffectYet,
            "PEM: our certificate, then the intermediates.",
        ),
        Row::new("LIBPROCESS_SSL_KEY_FILE", Path, Unset, NoEffectYet, "PEM: its private key."),
        Row::new(
            "LIBPROCESS_SSL_VERIFY_CERT",
            Bool,
            Value("false"),
            Refused(Restricts::True),
            "The old name of `LIBPROCESS_SSL_VERIFY_SERVER_CERT`.",
        ),
        Row::new(
            "LIBPROCESS_SSL_VERIFY_SERVER_CERT",
            Bool,
            Value("false"),
            Refused(Restricts::True),
            "Verify whom we connect to.",
        ),
        Row::new(
            "LIBPROCESS_SSL_REQUIRE_CERT",
            Bool,
            Value("false"),
            Refused(Restricts::True),
            "The old name of `LIBPROCESS_SSL_REQUIRE_CLIENT_CERT`.",
        ),
        Row::new(
            "LIBPROCESS_SSL_REQUIRE_CLIENT_CERT",
            Bool,
            Value("false"),
            Refused(Restricts::True),
            "Demand a certificate of whoever connects, and verify it.",
        ),
        Row::new(
            "LIBPROCESS_SSL_VERIFY_IPADD",
            Bool,
            Value("false"),
            NoEffectYet,
            "Let an address in a certificate count as a name.",
        ),
        Row::new(
            "LIBPROCESS_SSL_VERIFICATION_DEPTH",
            Size,
            Value("4"),
            NoEffectYet,
            "How many certificates may stand above a peer's.",
        ),
        Row::new(
            "LIBPROCESS_SSL_CA_DIR",
            Path,
            Unset,
            NoEffectYet,
            "A directory of roots, hashed by OpenSSL.",
        ),
        Row::new("LIBPROCESS_SSL_CA_FILE", Path, Unset, NoEffectYet, "PEM: roots."),
        Row::new(
            "LIBPROCESS_SSL_CIPHERS",
            String,
            Value(
                "AES128-SHA:AES256-SHA:RC4-SHA:DHE-RSA-AES128-SHA:DHE-DSS-AES128-SHA:\
                 DHE-RSA-AES256-SHA:DHE-DSS-AES256-SHA",
            ),
            NoEffectYet,
            "The cipher suites of TLS 1.2, in OpenSSL's words. The default is the original's; \
             ours puts forward-secret suites in front and leaves out what OpenSSL dropped.",
        ),
        Row::new(
            "LIBPROCESS_SSL_ECDH_CURVES",
            String,
            Value("auto"),
            NoEffectYet,
            "The groups for key exchange, in order of preference, separated by colons.",
        ),
        Row::new(
            "LIBPROCESS_SSL_HOSTNAME_VALIDATION_SCHEME",
            String,
            Value("legacy"),
            NoEffectYet,
            "How names are verified: `legacy` (reverse lookup) or `openssl` (what was dialled).",
        ),
        Row::new("LIBPROCESS_SSL_ENABLE_SSL_V3", Bool, Value("false"), NoEffectYet, "Never."),
        Row::new("LIBPROCESS_SSL_ENABLE_TLS_V1_0", Bool, Value("false"), NoEffectYet, "Never."),
        Row::new("LIBPROCESS_SSL_ENABLE_TLS_V1_1", Bool, Value("false"), NoEffectYet, "Never."),
        Row::new(
            "LIBPROCESS_SSL_ENABLE_TLS_V1_2",
            Bool,
            Value("true"),
            NoEffectYet,
            "Offer TLS 1.2.",
        ),
        Row::new(
            "LIBPROCESS_SSL_ENABLE_TLS_V1_3",
            Bool,
            Value("false"),
            NoEffectYet,
            "Offer TLS 1.3. The default is the original's; here it is offered unless `false`.",
        ),
        Row::new("LIBPROCESS_SSL_HELP", Bool, Value("false"), NoEffectYet, "Nothing, as always."),
    ],
};
