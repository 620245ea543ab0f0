//! Where emulated agents live.

use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};

use anyhow::{Context as _, bail};
use serde::{Deserialize, Serialize};

/// Where they listen, and from where they dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Addresses {
    /// Each has an address of the loopback network to itself, so that a master sees as many
    /// addresses as in a real cluster, and its limits per address do not come into it.
    Loopback,
    /// All have this one, each with a port of its own.
    One(Ipv4Addr),
}

impl Addresses {
    /// Those from which `master` can be reached, and can reach back.
    pub fn towards(master: SocketAddrV4) -> anyhow::Result<Self> {
        if master.ip().is_loopback() {
            return Ok(Self::Loopback);
        }
        // No packet is sent: the kernel only looks up the way.
        let probe = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        probe.connect(master).with_context(|| format!("there is no way to {master}"))?;
        match probe.local_addr()?.ip() {
            std::net::IpAddr::V4(own) => Ok(Self::One(own)),
            std::net::IpAddr::V6(own) => bail!("{own} is no address that libprocess has words for"),
        }
    }

    /// The address at which the agent with this number listens; the system chooses the port.
    pub fn of(self, number: usize) -> SocketAddrV4 {
        let ip = match self {
            // Four million of them, away from 127.0.0.1, where everybody else is.
            Self::Loopback => {
                let [.., b, c, d] = (number % (1 << 22) + 1).to_be_bytes();
                Ipv4Addr::new(127, 64 | b, c, d)
            }
            Self::One(ip) => ip,
        };
        SocketAddrV4::new(ip, 0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_agent_has_a_loopback_address_to_itself() {
        let all: BTreeSet<_> = (0..50_000).map(|n| *Addresses::Loopback.of(n).ip()).collect();
        assert_eq!(all.len(), 50_000);
        assert!(all.iter().all(|ip| ip.is_loopback() && *ip != Ipv4Addr::LOCALHOST));
        assert!(all.contains(&Ipv4Addr::new(127, 64, 0, 1)));
        assert!(all.contains(&Ipv4Addr::new(127, 64, 1, 0)));
    }

    #[test]
    fn agents_of_a_master_on_this_machine_are_on_the_loopback_network() {
        let master = "127.0.0.1:5050".parse().unwrap();
        assert_eq!(Addresses::towards(master).unwrap(), Addresses::Loopback);
    }
}
