//! New certificates without a restart: by SIGHUP, by request and because a file has changed. What
//! is connected goes on; what cannot be used changes nothing and is reported.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddrV4, TcpStream};

use ::openssl::ssl::{SslConnector, SslMethod, SslStream, SslVerifyMode};
use rustix::process::Signal;
use serde_json::Value;
use testkit::process::eventually;
use transport::client::Call;

use crate::nodes::{Asking, Certificates, Node, loopback};

/// A connection to a daemon, and the serial number of the certificate that it presented.
struct Connection {
    stream: SslStream<TcpStream>,
    serial: String,
}

impl Connection {
    fn open(address: SocketAddrV4) -> Self {
        let mut connector = SslConnector::builder(SslMethod::tls()).expect("a connector");
        connector.set_verify(SslVerifyMode::NONE);
        let socket = TcpStream::connect(address).expect("it listens");
        let patience = Some(testkit::process::PATIENCE);
        socket.set_read_timeout(patience).expect("a deadline");
        let stream = connector.build().connect("localhost", socket).expect("a handshake");
        let certificate = stream.ssl().peer_certificate().expect("a certificate");
        let serial = certificate.serial_number().to_bn().expect("a number");
        let serial = serial.to_hex_str().expect("digits").to_string();
        Self { stream, serial }
    }

    /// Asks for `/health` on this connection and returns whether it is well.
    fn is_served(&mut self) -> bool {
        let asked = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";
        if self.stream.write_all(asked).is_err() {
            return false;
        }
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            if !matches!(self.stream.read(&mut byte), Ok(1)) {
                return false;
            }
            head.push(byte[0]);
        }
        head.starts_with(b"HTTP/1.1 200 ")
    }
}

fn serial(address: SocketAddrV4) -> String {
    Connection::open(address).serial
}

fn metric(asking: &Asking, node: &Node, name: &str) -> f64 {
    let metrics = asking.json(node.address(), "/metrics/snapshot").expect("metrics");
    metrics[name].as_f64().unwrap_or_else(|| panic!("no {name} in {metrics}"))
}

/// A master that looks at its files only when it is told to, unless `reload` says otherwise.
fn master(certificates: &Certificates, reload: &str) -> (Node, Asking) {
    let mut variables = certificates.encrypted();
    let asking = Asking::with(&variables);
    variables.push(("LIBPROCESS_SSL_RELOAD", reload.to_owned()));
    let mut master = Node::master();
    master.start(&variables);
    (master, asking)
}

#[test]
fn a_signal_has_certificates_read_again_and_old_connections_go_on() {
    let certificates = Certificates::make();
    let (mut master, asking) = master(&certificates, "false");
    let mut old = Connection::open(master.address());
    assert!(old.is_served());
    certificates.issue("node", &loopback());
    assert_eq!(serial(master.address()), old.serial, "nobody said anything yet");
    master.process().signal(Signal::HUP);
    master.process().wait_for_line("new connections use new certificates");
    let new = serial(master.address());
    assert_ne!(new, old.serial);
    assert!(old.is_served(), "the old connection goes on");
    assert_eq!(metric(&asking, &master, "alcazar/tls/reloads/done"), 1.0);

    // A key that is not that of the certificate: as it was, and said so.
    std::fs::write(certificates.path("node.pem"), "no certificate").expect("our own folder");
    master.process().signal(Signal::HUP);
    let line = master.process().wait_for_line("cannot use the new certificates");
    assert!(line.contains("node.pem"), "{line}");
    assert_eq!(serial(master.address()), new);
    assert!(old.is_served());
    assert_eq!(metric(&asking, &master, "alcazar/tls/reloads/failed"), 1.0);
}

/// Row D5: whoever is revoked is refused from the next connection on, by master and agent.
#[test]
fn a_signal_has_revocation_lists_read_again_and_the_revoked_are_refused() {
    let certificates = Certificates::make();
    let client = certificates.authority.issue(&loopback());
    let list = certificates.path("revoked.pem");
    std::fs::write(&list, certificates.authority.revocation_list(&[])).expect("our own folder");
    let mut variables = certificates.mutual();
    variables.push(("LIBPROCESS_SSL_RELOAD", "false".to_owned()));
    let (certificate, key) = client.write(list.parent().expect("a folder"), "client");
    let as_client = variables
        .iter()
        .map(|(name, value)| match *name {
            "LIBPROCESS_SSL_CERT_FILE" => (*name, certificate.display().to_string()),
            "LIBPROCESS_SSL_KEY_FILE" => (*name, key.display().to_string()),
            _ => (*name, value.clone()),
        })
        .collect();
    variables.push(("LIBPROCESS_SSL_CRL_FILE", list.display().to_string()));
    let mut master = Node::master();
    master.start(&variables);
    let mut agent = Node::agent(&master);
    agent.start(&variables);
    let (others, asking) = (Asking::with(&variables), Asking::with(&as_client));
    for node in [&mut master, &mut agent] {
        let empty = certificates.authority.revocation_list(&[]);
        std::fs::write(&list, empty).expect("our own folder");
        assert_eq!(asking.get(node.address(), "/health").map(|got| got.0), Ok(200));
        let revoked = certificates.authority.revocation_list(&[&client]);
        std::fs::write(&list, revoked).expect("our own folder");
        node.process().signal(Signal::HUP);
        node.process().wait_for_line("new connections use new certificates");
        let refused = asking.get(node.address(), "/health");
        assert!(refused.is_err(), "{refused:?}");
        assert_eq!(others.get(node.address(), "/health").map(|got| got.0), Ok(200));
        assert!(metric(&others, node, "alcazar/tls/failures/revoked") >= 1.0);
    }
}

#[test]
fn a_request_has_certificates_read_again_and_says_what_came_of_it() {
    let certificates = Certificates::make();
    let (master, asking) = master(&certificates, "false");
    let mut agent = Node::agent(&master);
    agent.start(&certificates.encrypted());
    for node in [&master, &agent] {
        let reload = || {
            let call = Call::post("/alcazar/v1/tls/reload", "application/json", "");
            asking.ask(node.address(), call).expect("an answer")
        };
        // The files may be newer than the daemon: those of the round before.
        assert_eq!(reload().0, 200);
        let before = serial(node.address());
        let (status, body) = reload();
        let answer: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!((status, &answer["replaced"]), (200, &Value::Bool(false)), "{body}");
        certificates.issue("node", &loopback());
        let (status, body) = reload();
        let answer: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!((status, &answer["replaced"]), (200, &Value::Bool(true)), "{body}");
        assert!(answer["certificate_expires_in_days"].as_f64().is_some_and(|days| days > 1.0));
        let after = serial(node.address());
        assert_ne!(before, after);

        // Somebody else's key.
        let key = certificates.path("node-key.pem");
        let good = std::fs::read(&key).expect("a key");
        let (_, other) = certificates.issue("other", &loopback());
        std::fs::copy(other, &key).expect("our own folder");
        let (status, body) = reload();
        assert_eq!(status, 409, "{body}");
        assert!(body.contains("node.pem") && body.contains("key"), "{body}");
        assert_eq!(serial(node.address()), after);
        std::fs::write(&key, good).expect("our own folder");
        let (status, _) = asking.get(node.address(), "/alcazar/v1/tls/reload").expect("an answer");
        assert_eq!(status, 405, "to look is not to change");
    }
}

#[test]
fn a_changed_file_is_noticed() {
    let certificates = Certificates::make();
    let (mut master, asking) = master(&certificates, "1secs");
    let old = serial(master.address());
    certificates.issue("node", &loopback());
    master.process().wait_for_line("new connections use new certificates");
    let new = serial(master.address());
    assert_ne!(new, old);
    std::fs::write(certificates.path("node-key.pem"), "no key").expect("our own folder");
    master.process().wait_for_line("cannot use the new certificates");
    assert_eq!(serial(master.address()), new);
    // It is said once, not again and again, and good files are taken at once.
    let failed = metric(&asking, &master, "alcazar/tls/reloads/failed");
    assert!(failed >= 1.0);
    certificates.issue("node", &loopback());
    eventually("the third certificate is presented", || {
        let now = serial(master.address());
        (now != new && now != old).then_some(())
    });
    assert_eq!(metric(&asking, &master, "alcazar/tls/reloads/failed"), failed);
}

#[test]
fn the_end_of_a_certificate_is_announced_long_before() {
    let certificates = Certificates::make();
    certificates.issue("node", &loopback().valid(-1, 20));
    let (mut master, asking) = master(&certificates, "false");
    master.process().wait_for_line("a certificate of ours runs out soon");
    let days = metric(&asking, &master, "alcazar/tls/certificate_expires_in_days");
    assert!((18.9..=20.1).contains(&days), "{days}");
}
