//! Schedulers that speak libprocess: the driver of the original, which sends calls and older
//! messages to the master's actor, and is sent messages where others get events.
//!
//! What is special about them is in here; what calls mean is the same for all schedulers.

use libprocess::sender::BoundPid;
use model::id::FrameworkId;
use model::identity::Kind;
use model::principal::Owner;
use wire::protocol::mesos::scheduler as v0;
use wire::v1::scheduler::{self, call, event};
use wire::{internal, v1};

use super::agents::peer_of;
use super::authentication;
use super::collections::edit;
use super::counters::Counter;
use super::effect::Peer;
use super::frameworks::{NO_PID, Subscriber, Unsubscribable};
use super::message::{Inbound, Outbound};
use super::out::Out;
use super::state::{Channel, Connection, Driver, Framework};
use super::{Engine, events, validate};

/// How a new subscriber is told that it is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Greeting {
    /// By events on its stream.
    Subscribed,
    /// By `FrameworkRegisteredMessage`.
    Registered,
    /// By `FrameworkReregisteredMessage`: it was never replaced.
    Reregistered,
}

/// Whether a subscriber is who it says; over HTTP the door has asked before.
pub(super) fn may_subscribe(
    subscriber: &Subscriber,
    info: &v1::FrameworkInfo,
) -> Result<(), Unsubscribable> {
    let Channel::Driver(driver) = &subscriber.channel else { return Ok(()) };
    if !subscriber.authenticated {
        return Err(format!("Framework at {} is not authenticated", driver.peer.pid).into());
    }
    match (&info.principal, &subscriber.principal) {
        (Some(claimed), Some(proved)) if claimed != proved => Err(format!(
            "Framework principal '{claimed}' does not match authenticated principal '{proved}'"
        )
        .into()),
        _ => Ok(()),
    }
}

/// A message from a driver, in the terms of calls.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "lives for one message only")]
enum Request {
    /// SUBSCRIBE, and whether the scheduler takes the place of another.
    Subscribe(call::Subscribe, bool),
    /// Any other call.
    Call(scheduler::Call),
    /// Offers are to stop.
    Deactivate(v1::FrameworkId),
    /// To be answered with no.
    Submit,
}

fn call_of(framework_id: v1::FrameworkId, kind: call::Type) -> scheduler::Call {
    let mut call =
        scheduler::Call { framework_id: Some(framework_id), ..scheduler::Call::default() };
    call.set_type(kind);
    call
}

impl Request {
    /// The meaning of a message; an error is what its sender is told.
    fn of(message: Inbound) -> Result<Self, String> {
        let of = call_of;
        Ok(Self::Call(match message {
            Inbound::Call(call) => return Self::of_call(call),
            Inbound::RegisterFramework(message) => {
                if message.framework.id.as_ref().is_some_and(|id| !id.value.is_empty()) {
                    return Err("Registering with 'id' already set".to_owned());
                }
                return Ok(Self::Subscribe(subscribe(message.framework), false));
            }
            Inbound::ReregisterFramework(message) => {
                if message.framework.id.as_ref().is_none_or(|id| id.value.is_empty()) {
                    return Err("Re-registering without an 'id'".to_owned());
                }
                return Ok(Self::Subscribe(subscribe(message.framework), message.failover));
            }
            Inbound::DeactivateFramework(message) => {
                return Ok(Self::Deactivate(message.framework_id));
            }
            Inbound::SubmitScheduler(_) => return Ok(Self::Submit),
            Inbound::UnregisterFramework(message) => of(message.framework_id, call::Type::Teardown),
            Inbound::LaunchTasks(message) => launch(message),
            Inbound::ReviveOffers(message) => scheduler::Call {
                revive: Some(call::Revive { roles: message.roles }),
                ..of(message.framework_id, call::Type::Revive)
            },
            Inbound::KillTask(message) => scheduler::Call {
                kill: Some(call::Kill {
                    task_id: message.task_id,
                    agent_id: None,
                    kill_policy: message.kill_policy,
                }),
                ..of(message.framework_id, call::Type::Kill)
            },
            Inbound::StatusUpdateAcknowledgement(message) => scheduler::Call {
                acknowledge: Some(call::Acknowledge {
                    agent_id: message.slave_id,
                    task_id: message.task_id,
                    uuid: message.uuid,
                }),
                ..of(message.framework_id, call::Type::Acknowledge)
            },
            Inbound::ReconcileTasks(message) => {
                let asked = message.statuses.into_iter();
                let tasks = asked.map(|status| call::reconcile::Task {
                    task_id: status.task_id,
                    agent_id: status.agent_id,
                });
                scheduler::Call {
                    reconcile: Some(call::Reconcile { tasks: tasks.collect() }),
                    ..of(message.framework_id, call::Type::Reconcile)
                }
            }
            Inbound::FrameworkToExecutor(message) => scheduler::Call {
                message: Some(call::Message {
                    agent_id: message.slave_id,
                    executor_id: message.executor_id,
                    data: message.data,
                }),
                ..of(message.framework_id, call::Type::Message)
            },
            Inbound::ResourceRequest(message) => scheduler::Call {
                request: Some(call::Request { requests: message.requests }),
                ..of(message.framework_id, call::Type::Request)
            },
            // The engine asks whose message it is before.
            other => return Err(format!("{} is not a driver's", other.name())),
        }))
    }

    fn of_call(call: v0::Call) -> Result<Self, String> {
        if call.r#type() == call::Type::Subscribe {
            let subscribe = call.subscribe.ok_or("Expecting 'subscribe' to be present")?;
            let stated = subscribe.framework_info.id.as_ref();
            let id = |id: Option<&v1::FrameworkId>| id.map_or("", |id| &id.value).to_owned();
            if id(stated) != id(call.framework_id.as_ref()) {
                let text = "'framework_id' differs from 'subscribe.framework_info.id'";
                return Err(text.to_owned());
            }
            let force = subscribe.force();
            let subscribe = call::Subscribe {
                framework_info: subscribe.framework_info,
                suppressed_roles: subscribe.suppressed_roles,
                offer_constraints: subscribe.offer_constraints,
            };
            return Ok(Self::Subscribe(subscribe, force));
        }
        Ok(Self::Call(scheduler::Call {
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
        }))
    }
}

fn subscribe(framework_info: v1::FrameworkInfo) -> call::Subscribe {
    call::Subscribe { framework_info, ..call::Subscribe::default() }
}

/// `LaunchTasksMessage`: without tasks it declines.
fn launch(message: internal::LaunchTasksMessage) -> scheduler::Call {
    let internal::LaunchTasksMessage { framework_id, tasks, filters, offer_ids, .. } = message;
    let filters = Some(filters);
    if tasks.is_empty() {
        let decline = Some(call::Decline { offer_ids, filters });
        return scheduler::Call { decline, ..call_of(framework_id, call::Type::Decline) };
    }
    let mut operation = v1::offer::Operation {
        launch: Some(v1::offer::operation::Launch { task_infos: tasks }),
        ..v1::offer::Operation::default()
    };
    operation.set_type(v1::offer::operation::Type::Launch);
    let accept = Some(call::Accept { offer_ids, operations: vec![operation], filters });
    scheduler::Call { accept, ..call_of(framework_id, call::Type::Accept) }
}

/// What a driver is sent in the place of an event, if it knows of such things. `pid_of` finds where
/// an agent listens.
pub(super) fn devolve(
    id: &FrameworkId,
    event: scheduler::Event,
    pid_of: impl Fn(&v1::AgentId) -> Option<String>,
) -> Option<Outbound> {
    let framework_id = || v1::FrameworkId { value: id.to_string() };
    Some(match event.r#type() {
        event::Type::Offers => {
            let offers = event.offers?.offers;
            // One for each offer: the driver ends itself if there are more or fewer.
            let pid = |offer: &v1::Offer| pid_of(&offer.agent_id).unwrap_or(NO_PID.to_owned());
            let pids = offers.iter().map(pid).collect();
            Outbound::ResourceOffers(internal::ResourceOffersMessage { offers, pids })
        }
        event::Type::Rescind => {
            let offer_id = event.rescind?.offer_id;
            Outbound::RescindResourceOffer(internal::RescindResourceOfferMessage { offer_id })
        }
        event::Type::InverseOffers => {
            let inverse_offers = event.inverse_offers?.inverse_offers;
            let pid = |offer: &v1::InverseOffer| {
                offer.agent_id.as_ref().and_then(&pid_of).unwrap_or(NO_PID.to_owned())
            };
            let pids = inverse_offers.iter().map(pid).collect();
            Outbound::InverseOffers(internal::InverseOffersMessage { inverse_offers, pids })
        }
        event::Type::RescindInverseOffer => {
            let inverse_offer_id = event.rescind_inverse_offer?.inverse_offer_id;
            let message = internal::RescindInverseOfferMessage { inverse_offer_id };
            Outbound::RescindInverseOffer(message)
        }
        event::Type::Update => Outbound::StatusUpdate(own_update(id, event.update?.status)),
        event::Type::Message => {
            let message = event.message?;
            Outbound::ExecutorToFramework(internal::ExecutorToFrameworkMessage {
                slave_id: message.agent_id,
                framework_id: framework_id(),
                executor_id: message.executor_id,
                data: message.data,
            })
        }
        event::Type::Failure => {
            let failure = event.failure?;
            let slave_id = failure.agent_id?;
            match failure.executor_id {
                Some(executor_id) => Outbound::ExitedExecutor(internal::ExitedExecutorMessage {
                    slave_id,
                    framework_id: framework_id(),
                    executor_id,
                    status: failure.status.unwrap_or(-1),
                }),
                None => Outbound::LostAgent(internal::LostSlaveMessage { slave_id }),
            }
        }
        event::Type::Error => error(event.error?.message),
        // It is greeted in its own words, needs no heartbeats since it has a link, and has no
        // handlers for the rest.
        event::Type::Unknown
        | event::Type::Subscribed
        | event::Type::Heartbeat
        | event::Type::UpdateOperationStatus => return None,
    })
}

/// A status that the master made: nobody is there to be sent an acknowledgement.
fn own_update(id: &FrameworkId, status: v1::TaskStatus) -> internal::StatusUpdateMessage {
    internal::StatusUpdateMessage {
        update: internal::StatusUpdate {
            framework_id: v1::FrameworkId { value: id.to_string() },
            executor_id: status.executor_id.clone(),
            slave_id: status.agent_id.clone(),
            timestamp: status.timestamp.unwrap_or_default(),
            // Older drivers require the field.
            uuid: Some(bytes::Bytes::new()),
            latest_state: None,
            status,
        },
        pid: Some(NO_PID.to_owned()),
    }
}

pub(super) fn error(message: String) -> Outbound {
    Outbound::FrameworkError(internal::FrameworkErrorMessage { message })
}

impl Engine {
    /// A driver says something.
    pub(super) fn driver_message(
        &mut self,
        from: &BoundPid,
        message: Inbound,
        out: &mut Out,
    ) -> Result<(), String> {
        self.count_registration(&message);
        let refused = |reason: String, out: &mut Out| {
            out.send(&peer_of(from), error(reason.clone()));
            Err(reason)
        };
        match Request::of(message) {
            Err(reason) => refused(reason, out),
            Ok(Request::Subscribe(subscribe, force)) => {
                match self.driver_subscribes(from, subscribe, force, out) {
                    Ok(()) => Ok(()),
                    Err(Unsubscribable::Ignored(reason)) => Err(reason),
                    Err(Unsubscribable::Refused(reason)) => refused(reason, out),
                }
            }
            Ok(Request::Call(call)) => self.driver_calls(from, call, out),
            Ok(Request::Deactivate(framework_id)) => {
                self.state.counters.count(Counter::MessagesDeactivateFramework);
                let id = self.driver_speaking(from, Some(&framework_id), out)?;
                self.deactivate(&id, out);
                Ok(())
            }
            Ok(Request::Submit) => {
                let no = internal::SubmitSchedulerResponse { okay: false };
                out.send(&peer_of(from), Outbound::SubmitScheduler(no));
                Ok(())
            }
        }
    }

    fn count_registration(&mut self, message: &Inbound) {
        let again = match message {
            Inbound::RegisterFramework(_) => false,
            Inbound::ReregisterFramework(_) => true,
            Inbound::Call(call) if call.r#type() == call::Type::Subscribe => {
                call.framework_id.as_ref().is_some_and(|id| !id.value.is_empty())
            }
            _ => return,
        };
        self.state.counters.count(if again {
            Counter::MessagesReregisterFramework
        } else {
            Counter::MessagesRegisterFramework
        });
    }

    fn driver_subscribes(
        &mut self,
        from: &BoundPid,
        subscribe: call::Subscribe,
        force: bool,
        out: &mut Out,
    ) -> Result<(), Unsubscribable> {
        if !may_schedule(from) {
            return Err("Not authorized to register as a framework".into());
        }
        let driver = Driver { peer: peer_of(from), session: authentication::session_of(from) };
        let subscriber = Subscriber {
            channel: Channel::Driver(driver),
            owner: from.owner(),
            principal: authentication::principal_of(from).map(str::to_owned),
            authenticated: !self.config.authenticate_frameworks
                || authentication::has_authenticated(from),
            force,
        };
        self.enter(subscriber, subscribe, out)?;
        authentication::admitted(from, out);
        Ok(())
    }

    /// How a driver is greeted; `None` if it is subscribed already and asks again.
    pub(super) fn greeting(
        &self,
        driver: &Driver,
        id: Option<&FrameworkId>,
        known: Option<&Framework>,
        force: bool,
    ) -> Result<Option<Greeting>, Unsubscribable> {
        match (self.by_driver.get(&driver.peer.pid), id) {
            (Some(_), None) => return Ok(None),
            (Some(other), Some(id)) if other != id => {
                let why = format!("framework {other} is subscribed from there");
                return Err(Unsubscribable::Ignored(why));
            }
            _ => {}
        }
        match known {
            Some(known) if !known.is_recovered() && !force => {
                if known.pid() == Some(&driver.peer.pid) {
                    Ok(Some(Greeting::Reregistered))
                } else {
                    Err("Framework failed over".into())
                }
            }
            _ => Ok(Some(Greeting::Registered)),
        }
    }

    /// The answer to a driver's first SUBSCRIBE got lost or crossed with the retry.
    pub(super) fn greet_again(
        &mut self,
        driver: &Driver,
        owner: &Owner,
        out: &mut Out,
    ) -> Result<(), Unsubscribable> {
        let id = self.by_driver.get(&driver.peer.pid).cloned();
        let framework = id.and_then(|id| edit(&mut self.state.frameworks, &id));
        match framework {
            Some(framework) if framework.owner.admits(owner) => {
                // It may have authenticated again since.
                framework.connection = Connection::Connected(Channel::Driver(driver.clone()));
                let framework = framework.clone();
                self.greet(&framework.id, &driver.peer, Greeting::Registered, out);
                Ok(())
            }
            _ => Err(Unsubscribable::Ignored("somebody else is subscribed from there".into())),
        }
    }

    /// Tells a driver that it is subscribed.
    pub(super) fn greet(&self, id: &FrameworkId, to: &Peer, greeting: Greeting, out: &mut Out) {
        let framework_id = v1::FrameworkId { value: id.to_string() };
        let master_info = self.config.master.clone();
        out.send(
            to,
            match greeting {
                Greeting::Reregistered => {
                    Outbound::FrameworkReregistered(internal::FrameworkReregisteredMessage {
                        framework_id,
                        master_info,
                    })
                }
                Greeting::Registered | Greeting::Subscribed => {
                    Outbound::FrameworkRegistered(internal::FrameworkRegisteredMessage {
                        framework_id,
                        master_info,
                    })
                }
            },
        );
    }

    /// The framework that a message names, if the sender is its scheduler, by address and by what
    /// it has proved.
    fn driver_speaking(
        &self,
        from: &BoundPid,
        named: Option<&v1::FrameworkId>,
        out: &mut Out,
    ) -> Result<FrameworkId, String> {
        let named = named.ok_or("Expecting 'framework_id' to be present")?;
        let id = FrameworkId::new(&named.value).map_err(|error| error.to_string())?;
        let framework = self.state.frameworks.get(&id).ok_or("Framework cannot be found")?;
        if framework.pid() != Some(from.upid()) || !framework.owner.admits(&from.owner()) {
            return Err(format!("it is not the scheduler of framework {id}"));
        }
        match framework.driver() {
            Some(driver) if driver.peer == peer_of(from) => Ok(id),
            Some(_) => Err(format!("it is not the scheduler of framework {id}")),
            None => {
                // It cannot know that its link broke, but has to begin anew.
                let text = "Framework disconnected";
                out.send(&peer_of(from), error(text.to_owned()));
                Err(text.to_owned())
            }
        }
    }

    fn driver_calls(
        &mut self,
        from: &BoundPid,
        call: scheduler::Call,
        out: &mut Out,
    ) -> Result<(), String> {
        let kind = validate::call::call(&call, None).map_err(|refusal| refusal.to_string())?;
        let id = self.driver_speaking(from, call.framework_id.as_ref(), out)?;
        if matches!(kind, call::Type::AcknowledgeOperationStatus | call::Type::ReconcileOperations)
        {
            return Err(format!("drivers cannot call {}", kind.as_str_name()));
        }
        self.perform(&id, kind, call, out).map(|_| ()).map_err(|refusal| refusal.to_string())
    }

    /// `DeactivateFrameworkMessage`: no more offers, but all else goes on.
    fn deactivate(&mut self, id: &FrameworkId, out: &mut Out) {
        let Some(framework) = edit(&mut self.state.frameworks, id) else { return };
        framework.active = false;
        out.info(format!("Framework {id} was deactivated by its scheduler"));
        let off = allocator::Event::FrameworkSwitched { id: id.clone(), active: false };
        self.allocator.handle(off, out.now.monotonic);
        self.rescind_offers_to(id, out);
    }

    /// The link to a peer broke: if it is a driver's, its framework is disconnected.
    pub(super) fn driver_exited(&mut self, peer: &Peer, out: &mut Out) {
        let Some(id) = self.by_driver.get(&peer.pid).cloned() else { return };
        let driver = self.state.frameworks.get(&id).and_then(|f| f.driver()).cloned();
        let Some(driver) = driver.filter(|driver| driver.peer == *peer) else { return };
        // If only the link is gone it has to know, since nothing will come any more.
        self.tell(&id, events::error("Framework disconnected"), out);
        self.by_driver.remove(&peer.pid);
        self.disconnect_framework(&id, out);
        out.end_session(peer.pid.clone(), driver.session);
    }
}

/// Whether what the sender has proved lets it be a scheduler.
fn may_schedule(from: &BoundPid) -> bool {
    from.may_speak_as(Kind::Framework) || from.may_speak_as(Kind::Operator)
}
