//! What others have to know of an agent.

use wire::v1;

use super::Agent;

impl Agent {
    /// Where its own endpoints are.
    #[must_use]
    pub fn url(&self) -> v1::Url {
        let pid = &self.peer.pid;
        v1::Url {
            scheme: "http".to_owned(),
            address: v1::Address {
                hostname: Some(self.info.hostname.clone()),
                ip: Some(pid.address.ip().to_string()),
                port: pid.address.port().into(),
            },
            path: Some(format!("/{}", pid.id)),
            ..v1::Url::default()
        }
    }

    /// What the allocator has to know.
    #[must_use]
    pub fn allocator_facts(&self) -> allocator::AgentFacts {
        use v1::agent_info::capability::Type;
        let domain = self.info.domain.as_ref().and_then(|domain| domain.fault_domain.as_ref());
        allocator::AgentFacts {
            total: self.total.clone(),
            hostname: self.info.hostname.clone(),
            attributes: self.info.attributes.iter().map(allocator_attribute).collect(),
            region: domain.map(|domain| domain.region.name.clone()),
            zone: domain.map(|domain| domain.zone.name.clone()),
            multi_role: self.has(Type::MultiRole),
            hierarchical_role: self.has(Type::HierarchicalRole),
        }
    }
}

fn allocator_attribute(attribute: &v1::Attribute) -> allocator::Attribute {
    use allocator::AttributeValue;
    let text = attribute.text.as_ref().filter(|_| attribute.r#type() == v1::value::Type::Text);
    allocator::Attribute {
        name: attribute.name.clone(),
        value: text.map_or_else(
            || AttributeValue::Other(format!("{attribute:?}")),
            |text| AttributeValue::Text(text.value.clone()),
        ),
    }
}
