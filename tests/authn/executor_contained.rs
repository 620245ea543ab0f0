//! A process in a container that carries bytes between this test and the agent: what the test
//! says through it comes from inside the container, and what it says by itself does not.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::SocketAddrV4;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};

use bytes::BytesMut;
use libprocess::message::encode_message;
use libprocess::upid::Upid;
use tempfile::TempDir;
use testkit::process::{PATIENCE, eventually};

use crate::instance::{Incoming, serve};

/// Ends when the directory is gone. Listens on TCP for the agent, whose connections it hands to `in`; and on `out`, each of whose
/// connections it carries to the agent.
const RELAY: &str = r#"
import json, os, socket, sys, threading, time
directory = sys.argv[1]
address, port = os.environ["MESOS_SLAVE_PID"].split("@")[1].split(":")
def pump(a, b):
    try:
        while data := a.recv(65536):
            b.sendall(data)
    except OSError:
        pass
    try:
        b.shutdown(socket.SHUT_WR)
    except OSError:
        pass
def join(a, b):
    threading.Thread(target=pump, args=(a, b), daemon=True).start()
    threading.Thread(target=pump, args=(b, a), daemon=True).start()
def carry_in(listener):
    while True:
        theirs, _ = listener.accept()
        ours = socket.socket(socket.AF_UNIX)
        ours.connect(directory + "/in")
        join(theirs, ours)
def end_with_the_test():
    while os.path.exists(directory):
        time.sleep(0.2)
    os._exit(0)
threading.Thread(target=end_with_the_test, daemon=True).start()
tcp = socket.create_server(("127.0.0.1", 0))
out = socket.socket(socket.AF_UNIX)
out.bind(directory + "/out")
out.listen()
threading.Thread(target=carry_in, args=(tcp,), daemon=True).start()
with open(directory + "/new", "w") as file:
    json.dump({"port": tcp.getsockname()[1], "pid": os.getpid(), "environment": dict(os.environ)}, file)
os.rename(directory + "/new", directory + "/ready")
while True:
    ours, _ = out.accept()
    join(ours, socket.create_connection((address, int(port))))
"#;

/// A relay that is about to be started in a container.
pub(crate) struct Relay {
    directory: TempDir,
    incoming: Receiver<Incoming>,
}

/// One that runs.
pub(crate) struct Contained {
    directory: TempDir,
    incoming: Receiver<Incoming>,
    /// Where the executor listens.
    pub(crate) pid: Upid,
    /// Its process.
    pub(crate) process: u32,
    /// Its environment.
    pub(crate) environment: BTreeMap<String, String>,
    /// The connection to the agent over which it sends messages.
    line: Option<UnixStream>,
}

impl Relay {
    /// `None`, and a line that says so, on a machine without Python.
    pub(crate) fn prepare() -> Option<Self> {
        if std::process::Command::new("python3").arg("--version").output().is_err() {
            println!("skipped: python3 is not there");
            return None;
        }
        let directory = tempfile::tempdir().expect("a directory");
        testkit::daemon::open_to_others(directory.path());
        std::fs::write(directory.path().join("relay.py"), RELAY).expect("a file");
        let listener = UnixListener::bind(directory.path().join("in")).expect("a socket");
        let (sender, incoming) = channel();
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let Ok(connection) = connection else { break };
                let sender = sender.clone();
                std::thread::spawn(move || serve(connection, &sender));
            }
        });
        Some(Self { directory, incoming })
    }

    /// The command that starts it.
    pub(crate) fn command(&self) -> String {
        let path = self.directory.path().display();
        format!("exec python3 {path}/relay.py {path}")
    }

    /// Waits until it runs.
    pub(crate) fn runs(self) -> Contained {
        let ready = self.directory.path().join("ready");
        let text = eventually("the relay", || std::fs::read_to_string(&ready).ok());
        let said: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let port = u16::try_from(said["port"].as_u64().expect("a number")).expect("a port");
        let address = SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, port);
        Contained {
            pid: Upid::new("executor(1)", address),
            process: u32::try_from(said["pid"].as_u64().expect("a number")).expect("a pid"),
            environment: serde_json::from_value(said["environment"].clone()).expect("variables"),
            directory: self.directory,
            incoming: self.incoming,
            line: None,
        }
    }
}

impl Contained {
    fn out(&self) -> PathBuf {
        self.directory.path().join("out")
    }

    /// Sends a message from inside the container, in the name of `from`.
    pub(crate) fn sends_as(&mut self, from: &Upid, to: &Upid, name: &str, body: &[u8]) {
        let mut bytes = BytesMut::new();
        let name = format!("mesos.internal.{name}");
        encode_message(&mut bytes, from, to, &name, body).expect("encodes");
        let path = self.out();
        let line = self.line.get_or_insert_with(|| {
            let line = UnixStream::connect(path).expect("the relay listens");
            let mut answers = line.try_clone().expect("a second handle");
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                while answers.read(&mut buffer).is_ok_and(|n| n > 0) {}
            });
            line
        });
        line.write_all(&bytes).expect("the relay reads");
    }

    pub(crate) fn sends(&mut self, to: &Upid, name: &str, body: &[u8]) {
        let from = self.pid.clone();
        self.sends_as(&from, to, name, body);
    }

    /// What the agent tells the executor next.
    #[track_caller]
    pub(crate) fn hears(&self, name: &str) -> Incoming {
        let incoming = self.incoming.recv_timeout(PATIENCE).expect("a message in time");
        assert_eq!(incoming.name, format!("mesos.internal.{name}"));
        incoming
    }

    /// An HTTP request from inside the container: the status line and the headers of the answer.
    pub(crate) fn requests(&self, request: &[u8]) -> String {
        let mut stream = UnixStream::connect(self.out()).expect("the relay listens");
        stream.write_all(request).expect("the relay reads");
        head(&mut stream)
    }
}

/// The head of an answer whose body may never end.
pub(crate) fn head(stream: &mut impl std::io::Read) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).expect("an answer") > 0 {
        head.push(byte[0]);
    }
    String::from_utf8(head).expect("text")
}

/// Whether a text is in any file beneath a directory, or in anybody's command line.
pub(crate) fn is_left_anywhere(text: &str, directory: &Path) -> Option<PathBuf> {
    let mut open = vec![directory.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            let kind = entry.file_type().expect("a type");
            if kind.is_dir() {
                open.push(entry.path());
            } else if kind.is_file() && contains(&entry.path(), text) {
                return Some(entry.path());
            }
        }
    }
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    processes.map(|entry| entry.path().join("cmdline")).find(|path| contains(path, text))
}

fn contains(path: &Path, text: &str) -> bool {
    let bytes = std::fs::read(path).unwrap_or_default();
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}
