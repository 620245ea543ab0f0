//! The stream of the operator API from outside.

use std::collections::VecDeque;

use serde_json::{Value as Json, json};
use transport::client::{Call, Reply, ReplyBody};
use wire::v1;

use crate::agent::Agent;
use crate::fixture::{Cluster, Trust, soon};

const JSON: &str = "application/json";
const PROTOBUF: &str = "application/x-protobuf";

struct Stream {
    media: &'static str,
    body: ReplyBody,
    decoder: wire::recordio::Decoder,
    events: VecDeque<Json>,
}

impl Stream {
    async fn open(cluster: &Cluster, media: &'static str) -> Self {
        let mut connection = cluster.connect(Some("operator/root")).await;
        let call = Call::post("/api/v1", JSON, r#"{"type":"SUBSCRIBE"}"#).accept(media);
        let Reply { status, headers, body } = soon(connection.call(call)).await.unwrap();
        assert_eq!((status.as_u16(), headers["content-type"].to_str().unwrap()), (200, media));
        // The connection lives as long as its response is read.
        tokio::spawn(async move {
            let _connection = connection;
            std::future::pending::<()>().await;
        });
        let decoder = wire::recordio::Decoder::new(1 << 20);
        Self { media, body, decoder, events: VecDeque::new() }
    }

    /// The next event; `None` at the end of the stream.
    async fn event(&mut self) -> Option<Json> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(event);
            }
            let piece = soon(self.body.next()).await?.unwrap();
            self.decoder.push(&piece);
            while let Some(record) = self.decoder.next().unwrap() {
                let json = match self.media {
                    JSON => record.to_vec(),
                    _ => {
                        let limits = wire::Limits::default();
                        let (event, _): (v1::master::Event, _) =
                            wire::check::decode(&record, &limits).unwrap();
                        let mut out = Vec::new();
                        wire::json::write(&event, wire::json::Style::V1, &mut out);
                        out
                    }
                };
                self.events.push_back(serde_json::from_slice(&json).unwrap());
            }
        }
    }

    async fn next(&mut self, kind: &str) -> Json {
        loop {
            let event = self.event().await.expect("the stream goes on");
            if event["type"] == kind {
                return event;
            }
            // One may come at any time on a slow machine.
            assert_eq!(event["type"], "HEARTBEAT", "{event}");
        }
    }
}

#[tokio::test]
async fn operators_hear_what_happens_after_the_state_that_they_began_with() {
    let cluster = Cluster::start(Trust::certificates()).await;
    let mut first = Agent::new(&cluster, "a1");
    let first_id = first.register().await;
    let mut streams = [Stream::open(&cluster, JSON).await, Stream::open(&cluster, PROTOBUF).await];
    for stream in &mut streams {
        let subscribed = stream.next("SUBSCRIBED").await;
        assert_eq!(subscribed["subscribed"]["heartbeat_interval_seconds"], 15.0);
        let agents = &subscribed["subscribed"]["get_state"]["get_agents"]["agents"];
        assert_eq!(agents[0]["agent_info"]["id"]["value"], first_id.as_str());
        stream.next("HEARTBEAT").await;
    }
    assert_eq!(cluster.metric("master/operator_event_stream_subscribers").await, 2.0);
    let mut second = Agent::new(&cluster, "a2");
    let second_id = second.register().await;
    for stream in &mut streams {
        let added = stream.next("AGENT_ADDED").await;
        let info = &added["agent_added"]["agent"]["agent_info"];
        assert_eq!(info["id"]["value"], second_id.as_str());
    }
    second.say(&wire::internal::UnregisterSlaveMessage {
        slave_id: v1::AgentId { value: second_id.clone() },
    });
    for stream in &mut streams {
        let removed = stream.next("AGENT_REMOVED").await;
        assert_eq!(removed["agent_removed"], json!({"agent_id": {"value": second_id.as_str()}}));
    }
    cluster.master.stop().await.unwrap();
    for stream in &mut streams {
        // In order, unless the connection was quicker than the end of the stream.
        assert!(soon(stream.body.next()).await.is_none_or(|piece| piece.is_err()));
    }
}

#[tokio::test]
async fn the_oldest_stream_ends_when_there_are_too_many() {
    let registry = registry::MemoryRegistry::new(registry::Contents::default());
    let cluster = Cluster::start_with(Trust::certificates(), Box::new(registry), |config| {
        config.max_operator_event_stream_subscribers = 1;
    })
    .await;
    let mut old = Stream::open(&cluster, JSON).await;
    old.next("SUBSCRIBED").await;
    old.next("HEARTBEAT").await;
    let mut new = Stream::open(&cluster, JSON).await;
    new.next("SUBSCRIBED").await;
    assert_eq!(old.event().await, None);
    assert_eq!(cluster.metric("master/operator_event_stream_subscribers").await, 1.0);
}
