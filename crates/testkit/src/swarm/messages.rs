//! What an emulated agent tells its master of itself (`master-agent-protocol.md` §3).

use std::net::SocketAddrV4;

use serde::{Deserialize, Serialize};
use wire::internal::{
    RegisterSlaveMessage, ReregisterSlaveMessage, UpdateSlaveMessage, update_slave_message,
};
use wire::v1::agent_info::{Capability, capability::Type};
use wire::v1::{AgentId, AgentInfo, FrameworkInfo, Resource, Task, Uuid, value};

/// The version that it says it has.
const VERSION: &str = "1.12.0";

/// How much an agent has.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Size {
    /// Processors.
    pub cpus: f64,
    /// Memory, in megabytes.
    pub mem: f64,
}

impl Default for Size {
    fn default() -> Self {
        Self { cpus: 4.0, mem: 4096.0 }
    }
}

/// What an agent is, besides what it runs.
#[derive(Clone, Debug)]
pub struct Identity {
    /// Where it listens.
    pub address: SocketAddrV4,
    /// How much it has.
    pub size: Size,
    /// Its id, once a master has given it one.
    pub id: Option<AgentId>,
    /// Chosen when it started.
    pub resource_version: [u8; 16],
}

impl Identity {
    fn info(&self) -> AgentInfo {
        AgentInfo {
            hostname: self.address.ip().to_string(),
            port: Some(i32::from(self.address.port())),
            resources: vec![
                scalar("cpus", self.size.cpus),
                scalar("mem", self.size.mem),
                scalar("disk", 4096.0),
            ],
            checkpoint: Some(true),
            id: self.id.clone(),
            ..AgentInfo::default()
        }
    }

    fn resource_version(&self) -> Option<Uuid> {
        Some(Uuid { value: self.resource_version.to_vec().into() })
    }

    /// The name and body of the message with which it registers: again, with what it runs, if it
    /// has an id.
    #[must_use]
    pub fn registration(
        &self,
        tasks: Vec<Task>,
        frameworks: Vec<FrameworkInfo>,
    ) -> (&'static str, Vec<u8>) {
        match self.id {
            None => {
                let message = RegisterSlaveMessage {
                    slave: self.info(),
                    version: Some(VERSION.to_owned()),
                    agent_capabilities: capabilities(),
                    resource_version_uuid: self.resource_version(),
                    ..RegisterSlaveMessage::default()
                };
                ("mesos.internal.RegisterSlaveMessage", wire::encode(&message))
            }
            Some(_) => {
                let message = ReregisterSlaveMessage {
                    slave: self.info(),
                    tasks,
                    frameworks,
                    version: Some(VERSION.to_owned()),
                    agent_capabilities: capabilities(),
                    resource_version_uuid: self.resource_version(),
                    ..ReregisterSlaveMessage::default()
                };
                ("mesos.internal.ReregisterSlaveMessage", wire::encode(&message))
            }
        }
    }

    /// The name and body of what it says of its resources after it has registered as `id`.
    #[must_use]
    pub fn update(&self, id: AgentId) -> (&'static str, Vec<u8>) {
        let message = UpdateSlaveMessage {
            slave_id: id,
            update_oversubscribed_resources: Some(false),
            oversubscribed_resources: Vec::new(),
            operations: Some(update_slave_message::Operations::default()),
            resource_version_uuid: self.resource_version(),
            resource_providers: Some(update_slave_message::ResourceProviders::default()),
        };
        ("mesos.internal.UpdateSlaveMessage", wire::encode(&message))
    }
}

#[expect(deprecated, reason = "the form in which agents tell a master of their resources")]
fn scalar(name: &str, value: f64) -> Resource {
    Resource {
        name: name.to_owned(),
        r#type: value::Type::Scalar as i32,
        scalar: Some(value::Scalar { value }),
        role: Some("*".to_owned()),
        ..Resource::default()
    }
}

fn capabilities() -> Vec<Capability> {
    let all = [
        Type::MultiRole,
        Type::HierarchicalRole,
        Type::ReservationRefinement,
        Type::ResourceProvider,
        Type::ResizeVolume,
        Type::AgentOperationFeedback,
        Type::AgentDraining,
        Type::TaskResourceLimits,
    ];
    all.map(|kind| Capability { r#type: Some(kind.into()) }).to_vec()
}
