//! How a record is written down: one small protobuf message of our own per agent.

use std::time::Duration;

use model::id::AgentId;
use model::identity::Identity;
use model::time::Timestamp;
use prost::Message;
use wire::v1;

use crate::{AgentRecord, RegistryError, Standing};

#[derive(Clone, PartialEq, prost::Message)]
struct StoredAgent {
    /// The owner's identity in URI form.
    #[prost(string, optional, tag = "1")]
    owner: Option<String>,
    #[prost(oneof = "StoredStanding", tags = "2, 3, 4")]
    standing: Option<StoredStanding>,
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
    let owner = record.owner.as_ref().map(Identity::to_string);
    #[expect(
        clippy::disallowed_methods,
        reason = "our own file: prost fills in again what it leaves out"
    )]
    StoredAgent { owner, standing: Some(standing) }.encode_to_vec()
}

pub(crate) fn decode_agent(id: &str, bytes: &[u8]) -> Result<AgentRecord, RegistryError> {
    let damaged = |reason: String| RegistryError::Damaged { what: format!("agent {id}"), reason };
    #[expect(clippy::disallowed_methods, reason = "our own file, and no message from outside")]
    let stored = StoredAgent::decode(bytes).map_err(|e| damaged(e.to_string()))?;
    let owner = stored
        .owner
        .map(|owner| owner.parse::<Identity>())
        .transpose()
        .map_err(|e| damaged(e.to_string()))?;
    let standing = match stored.standing {
        Some(StoredStanding::Admitted(info)) => Standing::Admitted(Box::new(info)),
        Some(StoredStanding::UnreachableSince(since)) => {
            Standing::Unreachable { since: timestamp(since) }
        }
        Some(StoredStanding::GoneSince(since)) => Standing::Gone { since: timestamp(since) },
        None => return Err(damaged("it states no standing".to_owned())),
    };
    let id = AgentId::new(id).map_err(|e| damaged(e.to_string()))?;
    Ok(AgentRecord { id, owner, standing })
}

pub(crate) fn encode_master(master: &v1::MasterInfo) -> Vec<u8> {
    wire::encode(master)
}

pub(crate) fn decode_master(bytes: &[u8]) -> Result<v1::MasterInfo, RegistryError> {
    wire::check::decode(bytes, &wire::Limits::default()).map(|(master, _)| master).map_err(
        |error| RegistryError::Damaged { what: "the master".to_owned(), reason: error.to_string() },
    )
}
