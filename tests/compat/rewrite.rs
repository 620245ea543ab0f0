//! Recorded messages with other addresses and ids: decoded, rewritten as text, encoded again.
//!
//! Ids of agents, frameworks and offers begin with the id of the master that made them, and our
//! master counts as the original does, so one replacement maps them all.

use serde_json::Value;
use wire::internal::{
    AcknowledgeOperationStatusMessage, ApplyOperationMessage, AuthenticateMessage,
    AuthenticationCompletedMessage, AuthenticationFailedMessage, AuthenticationMechanismsMessage,
    AuthenticationStartMessage, FrameworkRegisteredMessage, PingSlaveMessage, PongSlaveMessage,
    RegisterSlaveMessage, ReregisterSlaveMessage, ResourceOffersMessage, RunTaskMessage,
    ShutdownFrameworkMessage, SlaveRegisteredMessage, SlaveReregisteredMessage,
    StatusUpdateAcknowledgementMessage, StatusUpdateMessage, UpdateFrameworkMessage,
    UpdateOperationStatusMessage, UpdateSlaveMessage,
};
use wire::protocol::mesos::scheduler as v0;
use wire::v1::scheduler::{Call, Event};
use wire::{Described, Limits, Names, check, json};

/// What stands on the left in one world stands on the right in the other.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rewrite(Vec<(String, String)>);

impl Rewrite {
    pub(crate) fn add(&mut self, from: impl Into<String>, to: impl Into<String>) {
        self.0.push((from.into(), to.into()));
    }

    /// The same map read from right to left.
    pub(crate) fn reversed(&self) -> Self {
        Self(self.0.iter().map(|(from, to)| (to.clone(), from.clone())).collect())
    }

    /// What stands on the left in `text`, the longest first, is replaced; what comes of that is
    /// not looked at again.
    fn apply(&self, text: &str) -> String {
        let mut pairs: Vec<&(String, String)> = self.0.iter().collect();
        pairs.sort_by_key(|(from, _)| std::cmp::Reverse(from.len()));
        let mut out = String::new();
        let mut rest = text;
        while let Some(next) = rest.chars().next() {
            let found = pairs.iter().find(|(from, _)| rest.starts_with(from.as_str()));
            if let Some((from, to)) = found {
                out.push_str(to);
                rest = &rest[from.len()..];
            } else {
                out.push(next);
                rest = &rest[next.len_utf8()..];
            }
        }
        out
    }

    /// The message of that name as JSON, rewritten.
    pub(crate) fn to_json(&self, name: &str, body: &[u8]) -> Value {
        let text = self.apply(&to_text(name, body));
        let mut value =
            serde_json::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}: {text}"));
        sort_resources(&mut value);
        value
    }

    /// The message of that name, rewritten and encoded.
    pub(crate) fn to_bytes(&self, name: &str, body: &[u8]) -> Vec<u8> {
        encode(name, &self.to_json(name, body))
    }
}

/// Resources are a set: the original itself prints them in an order that depends on its history.
fn sort_resources(value: &mut Value) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(sort_resources),
        Value::Object(members) => {
            for (key, member) in members.iter_mut() {
                sort_resources(member);
                if let (true, Value::Array(resources)) = (key.ends_with("resources"), member) {
                    resources.sort_by_key(Value::to_string);
                }
            }
        }
        _ => {}
    }
}

/// The message of that name as it is.
pub(crate) fn as_json(name: &str, body: &[u8]) -> Value {
    Rewrite::default().to_json(name, body)
}

macro_rules! by_name {
    ($name:expr, $function:ident, $argument:expr) => {
        match $name.trim_start_matches("mesos.internal.") {
            "AcknowledgeOperationStatusMessage" => {
                $function::<AcknowledgeOperationStatusMessage>($argument)
            }
            "ApplyOperationMessage" => $function::<ApplyOperationMessage>($argument),
            "AuthenticateMessage" => $function::<AuthenticateMessage>($argument),
            "AuthenticationCompletedMessage" => {
                $function::<AuthenticationCompletedMessage>($argument)
            }
            "AuthenticationFailedMessage" => $function::<AuthenticationFailedMessage>($argument),
            "AuthenticationMechanismsMessage" => {
                $function::<AuthenticationMechanismsMessage>($argument)
            }
            "AuthenticationStartMessage" => $function::<AuthenticationStartMessage>($argument),
            "FrameworkRegisteredMessage" => $function::<FrameworkRegisteredMessage>($argument),
            "ResourceOffersMessage" => $function::<ResourceOffersMessage>($argument),
            "mesos.scheduler.Call" => $function::<v0::Call>($argument),
            "Call" => $function::<Call>($argument),
            "Event" => $function::<Event>($argument),
            "PingSlaveMessage" => $function::<PingSlaveMessage>($argument),
            "PongSlaveMessage" => $function::<PongSlaveMessage>($argument),
            "RegisterSlaveMessage" => $function::<RegisterSlaveMessage>($argument),
            "ReregisterSlaveMessage" => $function::<ReregisterSlaveMessage>($argument),
            "SlaveReregisteredMessage" => $function::<SlaveReregisteredMessage>($argument),
            "UpdateFrameworkMessage" => $function::<UpdateFrameworkMessage>($argument),
            "UpdateOperationStatusMessage" => $function::<UpdateOperationStatusMessage>($argument),
            "RunTaskMessage" => $function::<RunTaskMessage>($argument),
            "ShutdownFrameworkMessage" => $function::<ShutdownFrameworkMessage>($argument),
            "SlaveRegisteredMessage" => $function::<SlaveRegisteredMessage>($argument),
            "StatusUpdateAcknowledgementMessage" => {
                $function::<StatusUpdateAcknowledgementMessage>($argument)
            }
            "StatusUpdateMessage" => $function::<StatusUpdateMessage>($argument),
            "UpdateSlaveMessage" => $function::<UpdateSlaveMessage>($argument),
            other => panic!("no message named {other} is in these stories"),
        }
    };
}

fn to_text(name: &str, body: &[u8]) -> String {
    fn print<T: Described>(body: &[u8]) -> String {
        let (message, _) = check::decode::<T>(body, &Limits::default()).expect("decodes");
        let mut text = Vec::new();
        json::write(&message, json::Style::V1, &mut text);
        String::from_utf8(text).expect("JSON is UTF-8")
    }
    by_name!(name, print, body)
}

/// Encodes the JSON form of the message of that name.
pub(crate) fn encode(name: &str, value: &Value) -> Vec<u8> {
    fn read<T: Described>(text: &str) -> Vec<u8> {
        let read = json::read::<T>(text.as_bytes(), Names::V1, &Limits::default());
        wire::encode(&read.unwrap_or_else(|e| panic!("{e}: {text}")))
    }
    let text = value.to_string();
    by_name!(name, read, &text)
}
