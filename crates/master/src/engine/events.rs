//! The events that schedulers get.

use wire::v1;
use wire::v1::scheduler::{Event, event};

fn of(kind: event::Type) -> Event {
    let mut event = Event::default();
    event.set_type(kind);
    event
}

pub(super) fn subscribed(
    framework_id: &str,
    heartbeat_interval_seconds: f64,
    master: v1::MasterInfo,
) -> Event {
    Event {
        subscribed: Some(event::Subscribed {
            framework_id: v1::FrameworkId { value: framework_id.to_owned() },
            heartbeat_interval_seconds: Some(heartbeat_interval_seconds),
            master_info: Some(master),
        }),
        ..of(event::Type::Subscribed)
    }
}

pub(super) fn heartbeat() -> Event {
    of(event::Type::Heartbeat)
}

pub(super) fn offers(offers: Vec<v1::Offer>) -> Event {
    Event { offers: Some(event::Offers { offers }), ..of(event::Type::Offers) }
}

pub(super) fn rescind(offer_id: &str) -> Event {
    let offer_id = v1::OfferId { value: offer_id.to_owned() };
    Event { rescind: Some(event::Rescind { offer_id }), ..of(event::Type::Rescind) }
}

pub(super) fn inverse_offers(inverse_offers: Vec<v1::InverseOffer>) -> Event {
    let inverse_offers = Some(event::InverseOffers { inverse_offers });
    Event { inverse_offers, ..of(event::Type::InverseOffers) }
}

pub(super) fn rescind_inverse_offer(id: &str) -> Event {
    let inverse_offer_id = v1::OfferId { value: id.to_owned() };
    let rescind_inverse_offer = Some(event::RescindInverseOffer { inverse_offer_id });
    Event { rescind_inverse_offer, ..of(event::Type::RescindInverseOffer) }
}

pub(super) fn update(status: v1::TaskStatus) -> Event {
    Event { update: Some(event::Update { status }), ..of(event::Type::Update) }
}

pub(super) fn operation_status(status: v1::OperationStatus) -> Event {
    Event {
        update_operation_status: Some(event::UpdateOperationStatus { status }),
        ..of(event::Type::UpdateOperationStatus)
    }
}

pub(super) fn message(message: event::Message) -> Event {
    Event { message: Some(message), ..of(event::Type::Message) }
}

/// An agent, or an executor on it, is no more.
pub(super) fn failure(agent_id: &str, executor: Option<(&str, i32)>) -> Event {
    let failure = event::Failure {
        agent_id: Some(v1::AgentId { value: agent_id.to_owned() }),
        executor_id: executor.map(|(id, _)| v1::ExecutorId { value: id.to_owned() }),
        status: executor.map(|(_, status)| status),
    };
    Event { failure: Some(failure), ..of(event::Type::Failure) }
}

pub(super) fn error(message: &str) -> Event {
    let message = message.to_owned();
    Event { error: Some(event::Error { message }), ..of(event::Type::Error) }
}
