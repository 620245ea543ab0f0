//! How a record is written down: one small protobuf message of our own per agent.

use std::time::Duration;

use model::id::AgentId;
use model::principal::Owner;
use model::time::Timestamp;
use prost::Message;
use wire::v1;

use crate::{AgentRecord, Orders, RegistryError, Standing};

#[derive(Clone, PartialEq, prost::Message)]
struct StoredAgent {
    /// What the owner's certificate said: an identity in URI form where certificates have them.
    #[prost(string, optional, tag = "1")]
    certificate: Option<String>,
    #[prost(oneof = "StoredStanding", tags = "2, 3, 4")]
    standing: Option<StoredStanding>,
    /// The owner's principal.
    #[prost(string, optional, tag = "5")]
    principal: Option<String>,
    #[prost(message, optional, tag = "6")]
    drain: Option<v1::DrainInfo>,
    #[prost(bool, tag = "7")]
    deactivated: bool,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum StoredStanding {
    #[prost(message, tag = "2")]
    Admitted(v1::AgentInfo),
    /// Nanoseconds since the epoch.
    #[prost(uint64, tag = "3")]
    UnreachableSince(u64),
    /// Nanoseconds since the epoch.
    #[prost(uint64, tag = "4")]
    GoneSince(u64),
}

fn nanoseconds(time: Timestamp) -> u64 {
    u64::try_from(time.since_epoch().as_nanos()).unwrap_or(u64::MAX)
}

fn timestamp(nanoseconds: u64) -> Timestamp {
    Timestamp::new(Duration::from_nanos(nanoseconds))
}

pub(crate) fn encode_agent(record: &AgentRecord) -> Vec<u8> {
    let standing = match &record.standing {
        Standing::Admitted(info) => StoredStanding::Admitted(info.as_ref().clone()),
        Standing::Unreachable { since } => StoredStanding::UnreachableSince(nanoseconds(*since)),
        Standing::Gone { since } => StoredStanding::GoneSince(nanoseconds(*since)),
    };
    let Owner { certificate, principal } = record.owner.clone();
    let Orders { drain, deactivated } = record.orders.clone();
    #[expect(
        clippy::disallowed_methods,
        reason = "our own file: prost fills in again what it leaves out"
    )]
    StoredAgent { certificate, standing: Some(standing), principal, drain, deactivated }
        .encode_to_vec()
}

pub(crate) fn decode_agent(id: &str, bytes: &[u8]) -> Result<AgentRecord, RegistryError> {
    let damaged = |reason: String| RegistryError::Damaged { what: format!("agent {id}"), reason };
    #[expect(clippy::disallowed_methods, reason = "our own file, and no message from outside")]
    let stored = StoredAgent::decode(bytes).map_err(|e| damaged(e.to_string()))?;
    let owner = Owner { certificate: stored.certificate, principal: stored.principal };
    let standing = match stored.standing {
        Some(StoredStanding::Admitted(info)) => Standing::Admitted(Box::new(info)),
        Some(StoredStanding::UnreachableSince(since)) => {
            Standing::Unreachable { since: timestamp(since) }
        }
        Some(StoredStanding::GoneSince(since)) => Standing::Gone { since: timestamp(since) },
        None => return Err(damaged("it states no standing".to_owned())),
    };
    let id = AgentId::new(id).map_err(|e| damaged(e.to_string()))?;
    let orders = Orders { drain: stored.drain, deactivated: stored.deactivated };
    Ok(AgentRecord { id, owner, standing, orders })
}

pub(crate) fn encode_master(master: &v1::MasterInfo) -> Vec<u8> {
    wire::encode(master)
}

pub(crate) fn decode_master(bytes: &[u8]) -> Result<v1::MasterInfo, RegistryError> {
    wire::check::decode(bytes, &wire::Limits::default()).map(|(master, _)| master).map_err(
        |error| RegistryError::Damaged { what: "the master".to_owned(), reason: error.to_string() },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What version 1 wrote: the owner's identity in field 1, the standing in field 3.
    const OF_VERSION_1: &[u8] = b"\x0a\x20spiffe://alcazar.local/agent/h-1\x18\x07";

    #[test]
    fn authn_records_of_the_first_version_keep_their_owner() {
        let record = decode_agent("m-S0", OF_VERSION_1).unwrap();
        let certificate = Some("spiffe://alcazar.local/agent/h-1".to_owned());
        assert_eq!(record.owner, Owner { certificate, principal: None });
        assert_eq!(record.standing, Standing::Unreachable { since: timestamp(7) });
        assert_eq!(encode_agent(&record), OF_VERSION_1);
        let nobodys = decode_agent("m-S0", &OF_VERSION_1[34..]).unwrap();
        assert!(nobodys.owner.is_nobody());
    }

    #[test]
    fn authn_the_principal_that_owns_an_agent_and_its_orders_are_on_record() {
        let owner = Owner { certificate: None, principal: Some("agent-principal".to_owned()) };
        let standing = Standing::Gone { since: timestamp(1) };
        let orders = Orders {
            drain: Some(v1::DrainInfo {
                state: v1::DrainState::Draining.into(),
                config: v1::DrainConfig { mark_gone: Some(true), ..Default::default() },
            }),
            deactivated: true,
        };
        let record = AgentRecord { id: AgentId::new("m-S0").unwrap(), owner, standing, orders };
        assert_eq!(decode_agent("m-S0", &encode_agent(&record)).unwrap(), record);
    }
}
