//! What operators have set, as small records: quotas, weights, machines.

use model::machine::Machine;
use model::quota::{Limits, Quota};
use model::resources::{Quantities, Scalar};
use model::role::Role;
use model::weight::Weight;
use prost::Message;
use wire::v1;

use crate::RegistryError;

/// Whether a machine may run something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MachineMode {
    /// It will not be available at some time; until it is taken down it is offered.
    Draining,
    /// An operator has taken it down: agents on it are refused.
    Down,
}

/// What the record says of one machine.
#[derive(Clone, Debug, PartialEq)]
pub struct MachineRecord {
    /// Which machine.
    pub machine: Machine,
    /// The machine's name as it was posted, which is how it is shown.
    pub posted: v1::MachineId,
    /// Whether it may run something.
    pub mode: MachineMode,
    /// When it is not available.
    pub unavailability: v1::Unavailability,
    /// The number of its window in the schedule, from 0. Windows of one number have one
    /// unavailability.
    pub window: u32,
    /// Its place in the window, from 0.
    pub place: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct StoredMachine {
    #[prost(message, required, tag = "1")]
    posted: v1::MachineId,
    #[prost(bool, tag = "2")]
    down: bool,
    #[prost(message, required, tag = "3")]
    unavailability: v1::Unavailability,
    #[prost(uint32, tag = "4")]
    window: u32,
    #[prost(uint32, tag = "5")]
    place: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
struct StoredWeight {
    #[prost(double, tag = "1")]
    weight: f64,
}

fn damaged(what: &str, name: &str, reason: impl ToString) -> RegistryError {
    let what = format!("{what} {}", name.escape_debug());
    RegistryError::Damaged { what, reason: reason.to_string() }
}

#[expect(
    clippy::disallowed_methods,
    reason = "our own file: prost fills in again what it leaves out"
)]
fn encode(message: &impl Message) -> Vec<u8> {
    message.encode_to_vec()
}

#[expect(clippy::disallowed_methods, reason = "our own file, and no message from outside")]
fn decode<M: Message + Default>(bytes: &[u8]) -> Result<M, prost::DecodeError> {
    M::decode(bytes)
}

/// The key of a machine's record: an address holds no zero, so no two machines have one key.
pub(crate) fn machine_key(machine: &Machine) -> String {
    let ip = machine.ip().map(|ip| ip.to_string()).unwrap_or_default();
    format!("{}\0{ip}", machine.hostname())
}

pub(crate) fn encode_machine(record: &MachineRecord) -> Vec<u8> {
    encode(&StoredMachine {
        posted: record.posted.clone(),
        down: record.mode == MachineMode::Down,
        unavailability: record.unavailability,
        window: record.window,
        place: record.place,
    })
}

pub(crate) fn decode_machine(key: &str, bytes: &[u8]) -> Result<MachineRecord, RegistryError> {
    let stored: StoredMachine = decode(bytes).map_err(|e| damaged("machine", key, e))?;
    let StoredMachine { posted, down, unavailability, window, place } = stored;
    let machine = Machine::new(posted.hostname(), posted.ip())
        .map_err(|error| damaged("machine", key, error))?;
    if machine_key(&machine) != key {
        return Err(damaged("machine", key, format!("it is that of {machine}")));
    }
    let mode = if down { MachineMode::Down } else { MachineMode::Draining };
    Ok(MachineRecord { machine, posted, mode, unavailability, window, place })
}

pub(crate) fn encode_quota(role: &Role, quota: &Quota) -> Vec<u8> {
    let entry = |(name, amount): (&str, Scalar)| {
        (name.to_owned(), v1::value::Scalar { value: amount.as_f64() })
    };
    encode(&v1::quota::QuotaConfig {
        role: role.to_string(),
        guarantees: quota.guarantees().iter().map(entry).collect(),
        limits: quota.limits().iter().map(entry).collect(),
    })
}

pub(crate) fn decode_quota(role: &str, bytes: &[u8]) -> Result<(Role, Quota), RegistryError> {
    let damaged = |reason: String| damaged("quota of", role, reason);
    let config: v1::quota::QuotaConfig = decode(bytes).map_err(|e| damaged(e.to_string()))?;
    if config.role != role {
        return Err(damaged("it is that of another role".to_owned()));
    }
    let (mut guarantees, mut limits) = (Quantities::default(), Limits::default());
    for (name, value) in &config.guarantees {
        guarantees.add(name, amount(*value).map_err(damaged)?);
    }
    for (name, value) in &config.limits {
        limits.set(name, amount(*value).map_err(damaged)?);
    }
    let quota = Quota::new(guarantees, limits).map_err(|e| damaged(e.to_string()))?;
    Ok((Role::new(role).map_err(|e| damaged(e.to_string()))?, quota))
}

/// An amount of a quota: it may be larger than any resource.
fn amount(stored: v1::value::Scalar) -> Result<Scalar, String> {
    const MOST: f64 = 1e13;
    match stored.value {
        value if (0.0..=MOST).contains(&value) => {
            Ok(Scalar::from_thousandths((value * 1000.0).round() as u64))
        }
        value => Err(format!("{value} is no amount")),
    }
}

pub(crate) fn encode_weight(weight: Weight) -> Vec<u8> {
    encode(&StoredWeight { weight: weight.as_f64() })
}

pub(crate) fn decode_weight(role: &str, bytes: &[u8]) -> Result<(Role, Weight), RegistryError> {
    let StoredWeight { weight } = decode(bytes).map_err(|e| damaged("weight of", role, e))?;
    let weight = Weight::new(weight).map_err(|e| damaged("weight of", role, e))?;
    Ok((Role::new(role).map_err(|e| damaged("weight of", role, e))?, weight))
}
