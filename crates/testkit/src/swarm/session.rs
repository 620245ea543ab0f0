//! The connections of one emulated framework: one on which it has subscribed, and one for its
//! calls, of which many are under way at a time.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use libprocess::answer::AnswerDecoder;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::watch;
use wire::check::decode;
use wire::v1::scheduler::{Call, Event};

use super::Orders;
use super::book::{Book, Fact};
use super::framework::{Framework, Turn};
use super::sockets::dial;
use super::stream::Subscription;
use super::tls::{Contexts, Stream};

/// Between two attempts to subscribe.
const PAUSE: Duration = Duration::from_millis(200);
/// Bytes read at a time.
const CHUNK: usize = 16 * 1024;
/// How long a connection may take to come about, and a subscription to be answered.
const PATIENCE: Duration = Duration::from_secs(30);

/// A framework, for ever.
pub(super) async fn run(
    mut framework: Framework,
    own: Ipv4Addr,
    tls: Option<Contexts>,
    mut orders: watch::Receiver<Orders>,
    book: Arc<Book>,
) {
    let mut again = false;
    loop {
        let now = orders.borrow_and_update().clone();
        framework.disconnected();
        // Without a stream there is nothing to be done about it but to subscribe.
        framework.demands(now.round, now.demand, Instant::now());
        let Some(master) = now.master else {
            if orders.changed().await.is_err() {
                return;
            }
            continue;
        };
        let place = Place { own, master, tls: tls.clone() };
        match session(&mut framework, &place, now.cuts, &mut orders, &book, again).await {
            Ok(()) => return,
            Err(error) => book.enter(Fact::Disconnected(format!("a framework: {error}"))),
        }
        again = true;
        tokio::time::sleep(PAUSE).await;
    }
}

/// One subscription, until it breaks, or (`Ok`) until there is nobody any more who gives orders.
async fn session(
    framework: &mut Framework,
    place: &Place,
    cuts: u64,
    orders: &mut watch::Receiver<Orders>,
    book: &Book,
    again: bool,
) -> io::Result<()> {
    let master = place.master;
    let mut stream = place.connect().await?;
    let mut out = BytesMut::new();
    put(&mut out, master, None, &framework.subscribe());
    stream.write_all(&out).await?;
    out.clear();
    let mut events = Subscription::default();
    let mut turn = Turn::default();
    let open = async {
        while events.stream_id().is_none() {
            if read(&mut stream, events.buffer()).await? == 0 {
                return Err(io::Error::other("the master hung up on a subscription"));
            }
            take(&mut events, framework, book, &mut turn)?;
        }
        Ok(())
    };
    tokio::time::timeout(PATIENCE, open).await??;
    let stream_id = events.stream_id().unwrap_or_default().to_owned();
    let mut calls =
        Calls { stream: place.connect().await?, answers: AnswerDecoder::default(), out };
    if again {
        merge(&mut turn, framework.asks_about_everything(Instant::now()));
    }
    let mut pause = Instant::now();
    loop {
        for call in turn.calls.drain(..) {
            put(&mut calls.out, master, Some(&stream_id), &call);
        }
        turn.facts.drain(..).for_each(|fact| book.enter(fact));
        let due = framework.pause().map(|time| (pause + time).into());
        let due = async {
            match due {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            read = read(&mut stream, events.buffer()) => {
                if read? == 0 {
                    return Err(io::Error::other("the stream of events ended"));
                }
                take(&mut events, framework, book, &mut turn)?;
            }
            moved = calls.moves(book) => moved?,
            changed = orders.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
                let now = orders.borrow_and_update().clone();
                if now.master != Some(master) || now.cuts != cuts {
                    return Err(io::Error::other("it was told to connect anew"));
                }
                merge(&mut turn, framework.demands(now.round, now.demand, Instant::now()));
            }
            () = due => {
                pause = Instant::now();
                turn = framework.woken(pause);
            }
        }
    }
}

/// Where a framework is, and its master.
struct Place {
    own: Ipv4Addr,
    master: SocketAddrV4,
    tls: Option<Contexts>,
}

impl Place {
    async fn connect(&self) -> io::Result<Stream> {
        let dialled = dial(self.own, self.master, self.tls.clone());
        Ok(tokio::time::timeout(PATIENCE, dialled).await??.0)
    }
}

/// Appends what there is; 0 is the end.
async fn read(stream: &mut (impl AsyncRead + Unpin), into: &mut BytesMut) -> io::Result<usize> {
    // Otherwise it is read in pieces of 64 bytes.
    into.reserve(CHUNK);
    stream.read_buf(into).await
}

/// The connection for calls.
struct Calls {
    stream: Stream,
    answers: AnswerDecoder,
    out: BytesMut,
}

impl Calls {
    /// Sends what there is, or takes answers; to be called again and again. Nothing is lost if it
    /// is given up meanwhile.
    async fn moves(&mut self, book: &Book) -> io::Result<()> {
        let (mut reader, mut writer) = tokio::io::split(&mut self.stream);
        tokio::select! {
            written = writer.write_buf(&mut self.out), if !self.out.is_empty() => {
                written?;
            }
            read = read(&mut reader, self.answers.buffer()) => {
                if read? == 0 {
                    return Err(io::Error::other("the connection for calls ended"));
                }
                while let Some(status) = self.answers.poll().map_err(io::Error::other)? {
                    if !matches!(status, 200 | 202) {
                        book.enter(Fact::CallRefused(status));
                    }
                }
            }
        }
        Ok(())
    }
}

/// Gives the framework all events that have arrived.
fn take(
    events: &mut Subscription,
    framework: &mut Framework,
    book: &Book,
    turn: &mut Turn,
) -> io::Result<()> {
    while let Some(record) = events.next().map_err(io::Error::other)? {
        match decode::<Event>(&record, &wire::Limits::default()) {
            Ok((event, _)) => merge(turn, framework.event(event, Instant::now())),
            Err(error) => book.enter(Fact::Stray(format!("an event: {error}"))),
        }
    }
    if events.is_over() {
        return Err(io::Error::other("the master ended the stream of events"));
    }
    Ok(())
}

fn merge(turn: &mut Turn, more: Turn) {
    turn.calls.extend(more.calls);
    turn.facts.extend(more.facts);
}

fn put(out: &mut BytesMut, master: SocketAddrV4, stream_id: Option<&str>, call: &Call) {
    let body = wire::encode(call);
    let stream_id = stream_id.map(|id| format!("Mesos-Stream-Id: {id}\r\n")).unwrap_or_default();
    let head = format!(
        "POST /api/v1/scheduler HTTP/1.1\r\nHost: {master}\r\n{stream_id}\
         Accept: application/x-protobuf\r\nContent-Type: application/x-protobuf\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    out.extend_from_slice(head.as_bytes());
    out.extend_from_slice(&body);
}
