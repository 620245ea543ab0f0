//! How a scheduler speaks: over HTTP, with a stream of events and calls on other connections, or
//! as a driver, by messages. What comes out is the same [`News`].

use std::time::Duration;

use libprocess::upid::Upid;
use master::engine::event::SubscriptionId;
use master::engine::message::{Inbound, Outbound};
use model::time::Instant;
use wire::protocol::mesos::scheduler as v0;
use wire::v1;
use wire::v1::scheduler::{Call, Event, call, event};

use crate::core::{Core, Happening, Inner};
use crate::names::{Host, Node, driver_pid};
use crate::net::{Lane, Parcel, PipeId};

/// After so long without a sign of life a scheduler believes its stream to be broken.
const SILENCE: Duration = Duration::from_secs(75);

/// What a scheduler is told.
#[derive(Debug)]
pub(crate) enum News {
    Subscribed(String),
    Offers(Vec<v1::Offer>),
    Rescinded(String),
    InverseOffers(Vec<v1::InverseOffer>),
    /// A task's status, and whether it wants to be acknowledged.
    Update(Box<v1::TaskStatus>, bool),
    /// An operation's status.
    Operation(Box<v1::OperationStatus>),
    /// It has no place here; why.
    Refused(String),
    /// The stream is at its end.
    Ended,
    Other,
}

/// See the module's text.
#[derive(Debug)]
pub(crate) struct Speech {
    /// Where its driver listens, if it has one.
    driver: Option<Upid>,
    is_driver: bool,
    /// Over which it speaks.
    requests: Option<PipeId>,
    /// Over which it is told events.
    events: Option<PipeId>,
    stream: Option<SubscriptionId>,
    registered: bool,
    ever_registered: bool,
    leader: Option<Upid>,
    heard: Instant,
    attempts: u32,
    calls: u64,
}

impl Speech {
    pub(crate) fn new(is_driver: bool) -> Self {
        Self {
            driver: None,
            is_driver,
            requests: None,
            events: None,
            stream: None,
            registered: false,
            ever_registered: false,
            leader: None,
            heard: Instant::default(),
            attempts: 0,
            calls: 0,
        }
    }

    pub(crate) fn listen(&mut self, node: Node, core: &mut Core) {
        let Host::Scheduler(n) = node.host else { return };
        if self.is_driver {
            let pid = driver_pid(n, node.run);
            core.net.listeners.insert(pid.address, node);
            self.driver = Some(pid);
        }
    }

    pub(crate) fn is_subscribed(&self) -> bool {
        self.registered
    }

    /// Whether there is reason to believe that it is heard.
    pub(crate) fn is_well(&self, _: Node, core: &Core) -> bool {
        let open = self.requests.is_some_and(|pipe| core.net.is_open(pipe));
        let silent = core.now.monotonic.saturating_since(self.heard) > SILENCE;
        open && self.registered && (self.is_driver || !silent)
    }

    pub(crate) fn hang_up(&mut self, _: Node, core: &mut Core) {
        self.registered = false;
        self.stream = None;
        for pipe in [self.requests.take(), self.events.take()].into_iter().flatten() {
            core.break_pipe(pipe);
        }
    }

    pub(crate) fn subscribe(
        &mut self,
        node: Node,
        leader: &Upid,
        wish: call::Subscribe,
        core: &mut Core,
    ) {
        self.attempts += 1;
        self.leader = Some(leader.clone());
        let framework_id = wish.framework_info.id.clone();
        if let Some(me) = self.driver.clone() {
            self.requests = Some(core.link(node, leader.address));
            // Only a driver that takes over from another one says so.
            let force = framework_id.is_some() && !self.ever_registered;
            let mut call = v0::Call {
                framework_id,
                subscribe: Some(v0::call::Subscribe {
                    framework_info: wish.framework_info,
                    force: force.then_some(true),
                    suppressed_roles: wish.suppressed_roles,
                    offer_constraints: wish.offer_constraints,
                }),
                ..v0::Call::default()
            };
            call.set_type(call::Type::Subscribe);
            self.post(me, Inbound::Call(call), core);
        } else {
            let Some(to) = core.net.listeners.get(&leader.address).copied() else {
                return;
            };
            // What was begun before is given up.
            self.hang_up(node, core);
            let pipe = core.net.open(node, to, Lane::Requests, core.now.monotonic);
            self.requests = Some(pipe);
            self.heard = core.now.monotonic;
            let mut call = Call { framework_id, subscribe: Some(wish), ..Call::default() };
            call.set_type(call::Type::Subscribe);
            core.send(pipe, Parcel::Subscribe(Box::new(call)));
        }
        let longest = Duration::from_secs(2).saturating_mul(1 << self.attempts.min(5));
        let wait = core.dice.between(Duration::from_millis(500), longest);
        core.after(wait, Happening::In(node, Inner::Subscribe));
    }

    fn post(&mut self, from: Upid, message: Inbound, core: &mut Core) {
        if let Some(pipe) = self.requests {
            core.send(pipe, Parcel::FromDriver { from, message: Box::new(message) });
        }
    }

    pub(crate) fn call(&mut self, node: Node, call: Call, core: &mut Core) {
        core.trace(node, || format!("calls {}", call.r#type().as_str_name()));
        if let Some(me) = self.driver.clone() {
            if self.registered {
                self.post(me, Inbound::Call(devolve(call)), core);
            }
            return;
        }
        self.calls += 1;
        let number = self.calls;
        if let (Some(pipe), Some(stream)) = (self.requests, self.stream) {
            core.send(pipe, Parcel::Call { number, stream, call: Box::new(call) });
        }
    }

    /// Whether the connection that broke is one that counts.
    pub(crate) fn noticed(&mut self, pipe: PipeId) -> bool {
        self.requests == Some(pipe) || self.events == Some(pipe)
    }

    pub(crate) fn receive(
        &mut self,
        node: Node,
        via: PipeId,
        parcel: Parcel,
        core: &mut Core,
    ) -> Vec<News> {
        match parcel {
            Parcel::ToDriver(message) => self.message(node, *message, core),
            Parcel::Event { stream, event } => {
                if self.stream.is_none() && event.subscribed.is_some() {
                    self.stream = Some(stream);
                    self.events = Some(via);
                }
                // A refusal comes before there is a stream.
                let strange = self.stream.map_or(event.error.is_none(), |own| own != stream);
                if strange {
                    return Vec::new();
                }
                self.heard = core.now.monotonic;
                vec![self.event(*event)]
            }
            Parcel::EndOfStream if self.events == Some(via) => vec![News::Ended],
            Parcel::Answer { answer, .. } => match answer {
                Ok(_) => Vec::new(),
                Err(refusal) => {
                    core.trace(node, || format!("its call is refused: {refusal}"));
                    // A call that came to a stream of another time says nothing about this one.
                    Vec::new()
                }
            },
            _ => Vec::new(),
        }
    }

    fn event(&mut self, event: Event) -> News {
        match event.r#type() {
            event::Type::Subscribed => match event.subscribed {
                Some(subscribed) => {
                    self.registered = true;
                    self.attempts = 0;
                    News::Subscribed(subscribed.framework_id.value)
                }
                None => News::Other,
            },
            event::Type::Offers => News::Offers(event.offers.unwrap_or_default().offers),
            event::Type::Rescind => {
                event.rescind.map_or(News::Other, |rescind| News::Rescinded(rescind.offer_id.value))
            }
            event::Type::InverseOffers => {
                News::InverseOffers(event.inverse_offers.unwrap_or_default().inverse_offers)
            }
            event::Type::Update => event.update.map_or(News::Other, |update| {
                let wants = update.status.uuid.as_ref().is_some_and(|uuid| !uuid.is_empty());
                News::Update(Box::new(update.status), wants)
            }),
            event::Type::UpdateOperationStatus => event
                .update_operation_status
                .map_or(News::Other, |update| News::Operation(Box::new(update.status))),
            event::Type::Error => News::Refused(event.error.unwrap_or_default().message),
            _ => News::Other,
        }
    }

    fn message(&mut self, _: Node, message: Outbound, core: &mut Core) -> Vec<News> {
        self.heard = core.now.monotonic;
        vec![match message {
            Outbound::FrameworkRegistered(message) => self.greeted(message.framework_id.value),
            Outbound::FrameworkReregistered(message) => self.greeted(message.framework_id.value),
            Outbound::ResourceOffers(message) => {
                if message.pids.len() != message.offers.len() {
                    core.ledger.violation("offers and addresses do not match".to_owned());
                }
                News::Offers(message.offers)
            }
            Outbound::InverseOffers(message) => News::InverseOffers(message.inverse_offers),
            Outbound::RescindResourceOffer(message) => News::Rescinded(message.offer_id.value),
            Outbound::StatusUpdate(message) => {
                let mut status = message.update.status;
                let uuid = message.update.uuid.filter(|uuid| !uuid.is_empty());
                let wants = uuid.is_some();
                status.uuid = uuid;
                if status.agent_id.is_none() {
                    status.agent_id = message.update.slave_id;
                }
                News::Update(Box::new(status), wants)
            }
            Outbound::FrameworkError(message) => News::Refused(message.message),
            _ => News::Other,
        }]
    }

    fn greeted(&mut self, id: String) -> News {
        // The answer to a retry: drivers take no notice of it.
        if self.registered {
            return News::Other;
        }
        self.registered = true;
        self.ever_registered = true;
        self.attempts = 0;
        News::Subscribed(id)
    }
}

/// A call in its old form.
fn devolve(call: Call) -> v0::Call {
    v0::Call {
        framework_id: call.framework_id,
        r#type: call.r#type,
        subscribe: None,
        accept: call.accept,
        decline: call.decline,
        accept_inverse_offers: call.accept_inverse_offers,
        decline_inverse_offers: call.decline_inverse_offers,
        revive: call.revive,
        kill: call.kill,
        shutdown: call.shutdown,
        acknowledge: call.acknowledge,
        acknowledge_operation_status: call.acknowledge_operation_status,
        reconcile: call.reconcile,
        reconcile_operations: call.reconcile_operations,
        message: call.message,
        request: call.request,
        suppress: call.suppress,
        update_framework: call.update_framework,
    }
}
