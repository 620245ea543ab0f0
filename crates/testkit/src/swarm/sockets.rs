//! The sockets of one agent: its listener, what is connected to it, and its link to the master.
//!
//! As in libprocess, messages go out over the link only, and come in over connections that others
//! open; on each, the only thing that goes the other way is the answer `202 Accepted`.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use authn::sasl::Channel;
use authn::sasl::attempt::{Work, Worked};
use authn::sasl::retry::Number;
use bytes::{Buf as _, Bytes, BytesMut};
use libprocess::answer::AnswerDecoder;
use libprocess::decode::{Decoder, Event, Limits};
use libprocess::message::{MessageHead, encode_message};
use libprocess::upid::Upid;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinHandle;

use super::agent::{Input, Received};
use super::book::{Book, Fact};
use super::tls::{self, Contexts, Stream};

/// Connections that others may have to one agent: a master has one, a former master its own.
const MOST_CONNECTIONS: usize = 8;
/// Connections that wait to be accepted.
const BACKLOG: u32 = 16;
/// Bytes read at a time; on the stack, so that silent connections hold none.
const CHUNK: usize = 4096;
/// What an agent that runs nothing is told is short.
const LIMITS: Limits = Limits { head: 8 * 1024, headers: 32, body: 1 << 20 };
/// Without `Date`, which nobody reads, and which would have to be written each second.
const ACCEPTED: &[u8] = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n";

/// The sockets.
pub(super) struct Sockets {
    address: SocketAddrV4,
    /// `None`: nobody can reach it.
    listener: Option<TcpListener>,
    book: Arc<Book>,
    tls: Option<Contexts>,
    connections: Vec<Connection>,
    link: Option<Link>,
    work: Option<(Number, JoinHandle<Worked>)>,
    ready: VecDeque<Input>,
}

/// A connection that somebody opened to the agent.
struct Connection {
    stream: Stream,
    decoder: Decoder,
    /// What has come of the present message.
    message: Option<(MessageHead, BytesMut)>,
    out: BytesMut,
}

/// The connection to the master.
struct Link {
    address: SocketAddrV4,
    state: State,
    answers: AnswerDecoder,
    out: BytesMut,
}

enum State {
    Opening(Pin<Box<dyn Future<Output = io::Result<Dialled>> + Send>>),
    Open(Stream, Channel),
}

/// A connection, and what it is worth to an exchange.
type Dialled = (Stream, Channel);

impl Sockets {
    /// Listens at `address`.
    pub(super) fn bind(
        address: SocketAddrV4,
        tls: Option<Contexts>,
        book: Arc<Book>,
    ) -> io::Result<Self> {
        let socket = TcpSocket::new_v4()?;
        // One that comes back finds its own port, with what was left of its connections.
        socket.set_reuseaddr(true)?;
        socket.bind(address.into())?;
        let listener = socket.listen(BACKLOG)?;
        let port = listener.local_addr()?.port();
        Ok(Self {
            address: SocketAddrV4::new(*address.ip(), port),
            listener: Some(listener),
            book,
            tls,
            connections: Vec::new(),
            link: None,
            work: None,
            ready: VecDeque::new(),
        })
    }

    /// Ends all connections as the end of a process in the middle of something does.
    pub(super) fn cut(&mut self) {
        let link = self.link.take().and_then(|link| match link.state {
            State::Open(stream, _) => Some(stream),
            State::Opening(_) => None,
        });
        for stream in self.connections.drain(..).map(|connection| connection.stream).chain(link) {
            tls::cut(stream);
        }
        self.work = None;
        self.ready.clear();
    }

    /// Listens no more.
    pub(super) fn close(&mut self) {
        self.listener = None;
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddrV4 {
        self.address
    }

    /// The next thing that the agent should hear of.
    pub(super) async fn next(&mut self) -> Input {
        poll_fn(|cx| self.poll(cx)).await
    }

    /// Links to `master`, unless that is so.
    pub(super) fn link(&mut self, master: SocketAddrV4) {
        match &self.link {
            Some(Link { address, state, .. }) if *address == master => {
                if let State::Open(_, channel) = state {
                    self.ready.push_back(Input::Linked(channel.clone()));
                }
            }
            _ => {
                let opening = Box::pin(dial(*self.address.ip(), master, self.tls.clone()));
                self.link = Some(Link {
                    address: master,
                    state: State::Opening(opening),
                    answers: AnswerDecoder::default(),
                    out: BytesMut::new(),
                });
            }
        }
    }

    /// Sends a message over the link, which is opened if need be.
    pub(super) fn send(&mut self, from: &str, to: &Upid, name: &str, body: &[u8]) {
        if self.link.as_ref().is_none_or(|link| link.address != to.address) {
            self.link(to.address);
        }
        let from = Upid::new(from, self.address);
        if let Some(link) = &mut self.link
            && let Err(error) = encode_message(&mut link.out, &from, to, name, body)
        {
            self.book.enter(Fact::Stray(format!("{name} cannot be sent: {error}")));
        }
    }

    /// Runs a step of an exchange where it holds nobody up. An earlier one is nobody's any more.
    pub(super) fn work(&mut self, number: Number, work: Work) {
        self.work = Some((number, tokio::task::spawn_blocking(move || work.run())));
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Input> {
        self.poll_listener(cx);
        if let Some(link) = &mut self.link
            && let Poll::Ready(ended) = link.poll(cx, &self.book, &mut self.ready)
        {
            if let Err(error) = ended {
                self.book.enter(Fact::Stray(format!("the link failed: {}", error.kind())));
            }
            self.link = None;
            self.ready.push_back(Input::LinkBroke);
        }
        let mut index = 0;
        while let Some(connection) = self.connections.get_mut(index) {
            match connection.poll(cx, &mut self.ready) {
                Poll::Pending => index += 1,
                Poll::Ready(ended) => {
                    if let Err(error) = ended {
                        self.book.enter(Fact::Stray(error));
                    }
                    self.connections.swap_remove(index);
                }
            }
        }
        if let Some((number, work)) = &mut self.work
            && let Poll::Ready(worked) = Pin::new(work).poll(cx)
        {
            // One that panicked is as one that never ends: the attempt's time runs out.
            if let Ok(worked) = worked {
                self.ready.push_back(Input::Worked(*number, worked));
            }
            self.work = None;
        }
        self.ready.pop_front().map_or(Poll::Pending, Poll::Ready)
    }

    fn poll_listener(&mut self, cx: &mut Context<'_>) {
        let Some(listener) = &self.listener else { return };
        while let Poll::Ready(accepted) = listener.poll_accept(cx) {
            match accepted {
                Ok((stream, _)) => {
                    if self.connections.len() == MOST_CONNECTIONS {
                        self.connections.remove(0);
                    }
                    match tls::accepted(stream, self.tls.as_ref()) {
                        Ok(stream) => self.connections.push(Connection::new(stream)),
                        Err(error) => self.book.enter(Fact::Stray(error.to_string())),
                    }
                }
                Err(error) => {
                    self.book.enter(Fact::Stray(format!("cannot accept: {}", error.kind())));
                    return;
                }
            }
        }
    }
}

pub(super) async fn dial(
    own: Ipv4Addr,
    master: SocketAddrV4,
    contexts: Option<Contexts>,
) -> io::Result<Dialled> {
    let socket = TcpSocket::new_v4()?;
    // Otherwise agents of the loopback network would all come from 127.0.0.1.
    socket.bind(SocketAddrV4::new(own, 0).into())?;
    let stream = socket.connect(master.into()).await?;
    stream.set_nodelay(true)?;
    tls::dialled(stream, master, contexts).await
}

impl Link {
    /// Ready when the link is over.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        book: &Book,
        ready: &mut VecDeque<Input>,
    ) -> Poll<io::Result<()>> {
        if let State::Opening(opening) = &mut self.state {
            match opening.as_mut().poll(cx) {
                Poll::Ready(Ok((stream, channel))) => {
                    ready.push_back(Input::Linked(channel.clone()));
                    self.state = State::Open(stream, channel);
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        let State::Open(stream, _) = &mut self.state else { return Poll::Pending };
        if let Poll::Ready(Err(error)) = flush(stream, &mut self.out, cx) {
            return Poll::Ready(Err(error));
        }
        loop {
            match read(stream, self.answers.buffer(), cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(0)) => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(_)) => {}
            }
            loop {
                match self.answers.poll() {
                    Ok(Some(202)) => {}
                    Ok(Some(status)) => book.enter(Fact::Status(status)),
                    Ok(None) => break,
                    Err(error) => return Poll::Ready(Err(io::Error::other(error))),
                }
            }
        }
    }
}

impl Connection {
    fn new(stream: Stream) -> Self {
        Self { stream, decoder: Decoder::new(LIMITS), message: None, out: BytesMut::new() }
    }

    /// Ready when the connection is over; the error is what its other end did wrong.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        ready: &mut VecDeque<Input>,
    ) -> Poll<Result<(), String>> {
        loop {
            // Answers first: a peer that does not take them is not read from.
            match flush(&mut self.stream, &mut self.out, cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(Ok(())),
                Poll::Pending => return Poll::Pending,
            }
            match read(&mut self.stream, self.decoder.buffer(), cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(_) | Ok(0)) => return Poll::Ready(Ok(())),
                Poll::Ready(Ok(_)) => {}
            }
            loop {
                match self.decoder.poll() {
                    Ok(Some(event)) => self.event(event, ready)?,
                    Ok(None) => break,
                    Err(error) => return Poll::Ready(Err(format!("not a message: {error}"))),
                }
            }
        }
    }

    fn event(&mut self, event: Event, ready: &mut VecDeque<Input>) -> Result<(), String> {
        match event {
            Event::Message(head) => self.message = Some((head, BytesMut::new())),
            Event::Data(data) => {
                if let Some((_, body)) = &mut self.message {
                    body.extend_from_slice(&data);
                }
            }
            Event::End => {
                let Some((head, body)) = self.message.take() else { return Ok(()) };
                let from = head.from.map_err(|error| format!("a message from nobody: {error}"))?;
                self.out.extend_from_slice(ACCEPTED);
                ready.push_back(Input::Received(Received {
                    from: from.0,
                    to: head.to,
                    name: head.name,
                    body: Bytes::from(body),
                }));
            }
            Event::MessageRefused(error) => return Err(format!("a message to nobody: {error}")),
            Event::Request(head) => return Err(format!("a request for {}", head.target)),
        }
        Ok(())
    }
}

/// Writes what there is.
fn flush<S: AsyncWrite + Unpin>(
    stream: &mut S,
    out: &mut BytesMut,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    while !out.is_empty() {
        match Pin::new(&mut *stream).poll_write(cx, out) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Ok(written)) => out.advance(written),
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
        }
    }
    // A silent connection holds no memory.
    *out = BytesMut::new();
    Pin::new(stream).poll_flush(cx)
}

/// Appends what there is, at most [`CHUNK`] bytes; 0 is the end.
fn read<S: AsyncRead + Unpin>(
    stream: &mut S,
    into: &mut BytesMut,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    let mut chunk = [0; CHUNK];
    let mut chunk = ReadBuf::new(&mut chunk);
    match Pin::new(stream).poll_read(cx, &mut chunk) {
        Poll::Pending => Poll::Pending,
        Poll::Ready(Ok(())) => {
            into.extend_from_slice(chunk.filled());
            Poll::Ready(Ok(chunk.filled().len()))
        }
        Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
    }
}
