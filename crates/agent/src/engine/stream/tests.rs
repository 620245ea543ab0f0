use super::*;
use wire::v1::{self, TaskState};

fn update(number: u8, state: TaskState) -> StatusUpdate {
    let id = UpdateId::new([number; 16]).to_wire();
    StatusUpdate {
        framework_id: v1::FrameworkId { value: "f".into() },
        executor_id: None,
        slave_id: None,
        status: v1::TaskStatus {
            task_id: v1::TaskId { value: "t".into() },
            state: state.into(),
            uuid: Some(id.clone()),
            ..Default::default()
        },
        timestamp: 1.0,
        uuid: Some(id),
        latest_state: None,
    }
}

fn at(seconds: u64) -> Instant {
    Instant::new(Duration::from_secs(seconds))
}

fn feed(stream: &mut StatusStream, input: Input, seconds: u64) -> Vec<String> {
    let mut out = Vec::new();
    match stream.handle(input, at(seconds), &mut out) {
        Ok(()) => out.iter().map(name).collect(),
        Err(e) => {
            assert!(out.is_empty(), "a refused input leaves no output");
            vec![format!("refused: {e}")]
        }
    }
}

fn name(output: &Output) -> String {
    let first = |bytes: Option<&Bytes>| bytes.map_or(0, |b| b[0]);
    match output {
        Output::AckExecutor(id) => format!("ack executor {}", id.0[0]),
        Output::Forward(u) => format!("forward {}", first(u.uuid.as_ref())),
        Output::Persist(r) => match &r.update {
            Some(u) => format!("persist update {}", first(u.uuid.as_ref())),
            None => format!("persist ack {}", first(r.uuid.as_ref())),
        },
        Output::Retire => "retire".to_owned(),
    }
}

fn received(number: u8, state: TaskState) -> Input {
    Input::Update(Box::new(update(number, state)))
}

fn acknowledged(number: u8) -> Input {
    Input::Acknowledged(UpdateId::new([number; 16]))
}

const RUNNING: TaskState = TaskState::TaskRunning;
const FINISHED: TaskState = TaskState::TaskFinished;

#[test]
fn an_update_is_persisted_before_the_executor_or_the_master_hears_of_it() {
    let mut stream = StatusStream::new(true, false);
    assert_eq!(
        feed(&mut stream, received(1, RUNNING), 0),
        ["persist update 1", "ack executor 1", "forward 1"]
    );
}

#[test]
fn a_stream_that_is_not_checkpointed_persists_nothing() {
    let mut stream = StatusStream::new(false, false);
    assert_eq!(feed(&mut stream, received(1, FINISHED), 0), ["ack executor 1", "forward 1"]);
    assert_eq!(feed(&mut stream, acknowledged(1), 0), ["retire"]);
}

#[test]
fn only_the_head_travels_and_the_next_follows_its_acknowledgement() {
    let mut stream = StatusStream::new(true, false);
    feed(&mut stream, received(1, RUNNING), 0);
    assert_eq!(feed(&mut stream, received(2, FINISHED), 0), ["persist update 2", "ack executor 2"]);
    assert_eq!(feed(&mut stream, acknowledged(1), 1), ["persist ack 1", "forward 2"]);
    assert_eq!(feed(&mut stream, acknowledged(2), 1), ["persist ack 2", "retire"]);
    assert!(stream.is_retired());
}

#[test]
fn an_acknowledgement_for_anything_but_the_head_is_refused() {
    let mut stream = StatusStream::new(true, false);
    feed(&mut stream, received(1, RUNNING), 0);
    feed(&mut stream, received(2, FINISHED), 0);
    assert!(feed(&mut stream, acknowledged(2), 0)[0].starts_with("refused"));
    assert!(feed(&mut stream, acknowledged(9), 0)[0].starts_with("refused"));
    feed(&mut stream, acknowledged(1), 0);
    assert!(feed(&mut stream, acknowledged(1), 0)[0].starts_with("refused"));
}

#[test]
fn a_duplicate_is_answered_and_not_stored_even_after_its_acknowledgement() {
    let mut stream = StatusStream::new(true, false);
    feed(&mut stream, received(1, RUNNING), 0);
    assert_eq!(feed(&mut stream, received(1, RUNNING), 0), ["ack executor 1"]);
    feed(&mut stream, acknowledged(1), 0);
    assert_eq!(feed(&mut stream, received(1, RUNNING), 0), ["ack executor 1"]);
    assert_eq!(stream.waiting().count(), 0);
}

#[test]
fn an_update_after_the_ending_is_refused() {
    let mut stream = StatusStream::new(true, false);
    feed(&mut stream, received(1, FINISHED), 0);
    assert!(feed(&mut stream, received(2, RUNNING), 0)[0].contains("after the end"));
}

#[test]
fn retries_double_from_ten_seconds_to_ten_minutes() {
    let mut stream = StatusStream::new(true, false);
    feed(&mut stream, received(1, RUNNING), 0);
    let mut now = 0;
    for wait in [10, 20, 40, 80, 160, 320, 600, 600] {
        assert_eq!(stream.next_deadline(), Some(at(now + wait)));
        assert!(feed(&mut stream, Input::TimePassed, now + wait - 1).is_empty());
        now += wait;
        assert_eq!(feed(&mut stream, Input::TimePassed, now), ["forward 1"]);
    }
}

#[test]
fn nothing_is_forwarded_while_there_is_no_master_and_the_head_goes_out_at_once_when_there_is() {
    let mut stream = StatusStream::new(true, true);
    assert_eq!(feed(&mut stream, received(1, RUNNING), 0), ["persist update 1", "ack executor 1"]);
    assert_eq!(stream.next_deadline(), None);
    assert_eq!(feed(&mut stream, Input::Resumed, 5), ["forward 1"]);
    assert_eq!(stream.next_deadline(), Some(at(15)));
    feed(&mut stream, Input::Paused, 6);
    assert!(feed(&mut stream, Input::TimePassed, 100).is_empty());
}

#[test]
fn a_stream_holds_a_bounded_number_of_updates() {
    let mut stream = StatusStream::new(false, true);
    for n in 0..MAX_WAITING {
        let mut u = update(0, RUNNING);
        let mut id = [0; 16];
        id[..8].copy_from_slice(&(n as u64).to_be_bytes());
        u.uuid = Some(UpdateId::new(id).to_wire());
        assert_eq!(stream.handle(Input::Update(Box::new(u)), at(0), &mut Vec::new()), Ok(()));
    }
    assert!(feed(&mut stream, received(255, RUNNING), 0)[0].starts_with("refused: 1000"));
}

#[test]
fn uuids_that_are_not_sixteen_bytes_never_become_update_ids() {
    for length in [0, 1, 15, 17, 32] {
        assert_eq!(UpdateId::from_wire(&vec![7; length]), None, "{length}");
        let mut u = update(1, RUNNING);
        u.uuid = Some(Bytes::from(vec![7; length]));
        let mut stream = StatusStream::new(true, false);
        assert_eq!(
            stream.handle(Input::Update(Box::new(u)), at(0), &mut Vec::new()),
            Err(StreamError::Uuid)
        );
    }
}

/// Whatever the stream wrote, a stream replayed from it goes on as the first one would have.
#[test]
fn a_replayed_stream_is_the_stream_that_wrote_the_records() {
    let story = [
        received(1, TaskState::TaskStarting),
        received(2, RUNNING),
        acknowledged(1),
        received(2, RUNNING),
        received(3, FINISHED),
        acknowledged(2),
        acknowledged(3),
    ];
    for length in 0..=story.len() {
        let mut stream = StatusStream::new(true, false);
        let mut records = Vec::new();
        for input in &story[..length] {
            let mut out = Vec::new();
            stream.handle(input.clone(), at(0), &mut out).unwrap();
            records.extend(out.into_iter().filter_map(|o| match o {
                Output::Persist(record) => Some(*record),
                _ => None,
            }));
        }
        let mut replayed = StatusStream::replay(records).unwrap();
        assert_eq!(replayed.is_retired(), stream.is_retired(), "{length}");
        assert_eq!(replayed.has_ending(), stream.has_ending(), "{length}");
        assert!(replayed.waiting().eq(stream.waiting()), "{length}");
        for input in &story[length..] {
            replayed.handle(input.clone(), at(0), &mut Vec::new()).unwrap();
        }
        assert!(replayed.is_retired(), "{length}");
    }
}
