//! A libprocess instance made by hand: a listener that answers `202`, and one connection out.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};

use bytes::BytesMut;
use libprocess::decode::{Decoder, Event, Limits};
use libprocess::message::encode_message;
use libprocess::upid::Upid;
use testkit::process::PATIENCE;

/// A message that arrived.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) from: Upid,
    pub(crate) to: String,
    pub(crate) name: String,
    pub(crate) body: Vec<u8>,
}

/// The instance.
#[derive(Debug)]
pub(crate) struct Instance {
    address: SocketAddrV4,
    incoming: Receiver<Incoming>,
    outgoing: Option<TcpStream>,
}

impl Instance {
    /// Listens on loopback, on a port from the operating system.
    pub(crate) fn listen() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let std::net::SocketAddr::V4(address) = listener.local_addr().expect("an address") else {
            panic!("an IPv4 address");
        };
        let (sender, incoming) = channel();
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let Ok(connection) = connection else { break };
                let sender = sender.clone();
                std::thread::spawn(move || serve(connection, &sender));
            }
        });
        Self { address, incoming, outgoing: None }
    }

    pub(crate) fn address(&self) -> SocketAddrV4 {
        self.address
    }

    /// The address of an actor of this instance.
    pub(crate) fn actor(&self, id: &str) -> Upid {
        Upid::new(id, self.address)
    }

    /// Closes the connection out; the next message opens another.
    #[allow(dead_code, reason = "of the binaries that share this file not all need it")]
    pub(crate) fn hang_up(&mut self) {
        self.outgoing = None;
    }

    /// Sends a message over the one connection out, which is opened by the first message.
    pub(crate) fn send(&mut self, from: &str, to: &Upid, name: &str, body: &[u8]) {
        self.send_as(&self.actor(from), to, name, body);
    }

    /// The same in the name of anybody.
    pub(crate) fn send_as(&mut self, from: &Upid, to: &Upid, name: &str, body: &[u8]) {
        let mut bytes = BytesMut::new();
        encode_message(&mut bytes, from, to, name, body).expect("encodes");
        let stream = self.outgoing.get_or_insert_with(|| {
            let stream = TcpStream::connect(to.address).expect("the peer listens");
            let mut answers = stream.try_clone().expect("a second handle");
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                while answers.read(&mut buffer).is_ok_and(|n| n > 0) {}
            });
            stream
        });
        stream.write_all(&bytes).expect("the peer reads");
    }

    /// The next message that arrives.
    #[track_caller]
    pub(crate) fn receive(&self) -> Incoming {
        self.incoming.recv_timeout(PATIENCE).expect("a message in time")
    }

    /// The next message, if one arrives within that time.
    #[allow(dead_code, reason = "of the binaries that share this file not all need it")]
    pub(crate) fn receive_within(&self, time: std::time::Duration) -> Option<Incoming> {
        self.incoming.recv_timeout(time).ok()
    }

    /// The next message that is not a ping; pings are answered.
    #[track_caller]
    pub(crate) fn receive_no_ping(&mut self, me: &str) -> Incoming {
        loop {
            let message = self.receive();
            if message.name != "mesos.internal.PingSlaveMessage" {
                return message;
            }
            self.send(me, &message.from, "mesos.internal.PongSlaveMessage", &[]);
        }
    }
}

/// Takes the messages of one connection, and answers each.
pub(crate) fn serve(mut connection: impl Read + Write, into: &Sender<Incoming>) {
    let mut decoder = Decoder::new(Limits::default());
    let mut buffer = [0; 4096];
    let mut current = None;
    loop {
        match decoder.poll().expect("our daemons send well-formed messages") {
            Some(Event::Message(head)) => {
                let from = head.from.expect("our daemons name themselves").0;
                current = Some(Incoming { from, to: head.to, name: head.name, body: Vec::new() });
            }
            Some(Event::Data(data)) => {
                current.as_mut().expect("a head came first").body.extend_from_slice(&data);
            }
            Some(Event::End) => {
                let answer = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n";
                if connection.write_all(answer).is_err()
                    || into.send(current.take().expect("a head came first")).is_err()
                {
                    return;
                }
            }
            Some(other) => panic!("a message was expected, got {other:?}"),
            None => match connection.read(&mut buffer) {
                Ok(0) | Err(_) => return,
                Ok(n) => decoder.push(&buffer[..n]),
            },
        }
    }
}
