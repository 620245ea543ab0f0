//! Machines, as operators name them in maintenance schedules.

use std::fmt;
use std::net::Ipv4Addr;

/// Why a name is not that of a machine. The texts are the original's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MachineError {
    /// Neither a host name nor an address.
    #[error("Both 'hostname' and 'ip' for a machine are empty")]
    Nameless,
    /// The address is none.
    #[error("Failed to parse IPv4: {0}")]
    Address(String),
    /// Longer than [`MAX_HOSTNAME_BYTES`].
    #[error("A machine's 'hostname' must not be longer than {MAX_HOSTNAME_BYTES} bytes, got {0}")]
    TooLong(usize),
}

/// The longest host name, in bytes: that of the domain name system.
pub const MAX_HOSTNAME_BYTES: usize = 255;

/// A machine: a host name without regard to case, an IPv4 address, or both. Machines with the same
/// host name and different addresses are different machines.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Machine {
    hostname: String,
    ip: Option<Ipv4Addr>,
}

impl Machine {
    /// Takes a host name and an address as a machine; either may be empty.
    pub fn new(hostname: &str, ip: &str) -> Result<Self, MachineError> {
        if hostname.is_empty() && ip.is_empty() {
            return Err(MachineError::Nameless);
        }
        if hostname.len() > MAX_HOSTNAME_BYTES {
            return Err(MachineError::TooLong(hostname.len()));
        }
        let ip = match ip {
            "" => None,
            text => Some(
                text.parse().map_err(|_| MachineError::Address(text.chars().take(64).collect()))?,
            ),
        };
        Ok(Self { hostname: hostname.to_lowercase(), ip })
    }

    /// The host name in lower case; empty if there is none.
    #[must_use]
    pub fn hostname(&self) -> &str {
        &self.hostname
    }

    /// The address, if there is one.
    #[must_use]
    pub fn ip(&self) -> Option<Ipv4Addr> {
        self.ip
    }
}

/// `host (10.0.0.1)`, or the one of them that there is.
impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.ip {
            Some(ip) if self.hostname.is_empty() => write!(f, "{ip}"),
            Some(ip) => write!(f, "{} ({ip})", self.hostname.escape_debug()),
            None => write!(f, "{}", self.hostname.escape_debug()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_have_no_case_and_addresses_are_addresses() {
        let machine = |hostname, ip| Machine::new(hostname, ip);
        assert_eq!(machine("Host.A", "10.0.0.1"), machine("host.a", "10.0.0.1"));
        assert_ne!(machine("a", "10.0.0.1"), machine("a", ""));
        assert_eq!(machine("", ""), Err(MachineError::Nameless));
        for bad in ["10.0.0", "10.0.0.256", "::1", "x", " 10.0.0.1"] {
            assert_eq!(machine("a", bad), Err(MachineError::Address(bad.to_owned())));
        }
        let long = "a".repeat(256);
        assert_eq!(Machine::new(&long, ""), Err(MachineError::TooLong(256)));
        assert_eq!(machine("A", "10.0.0.1").unwrap().to_string(), "a (10.0.0.1)");
    }
}
