//! Python as a stock peer, which speaks TLS 1.2 with RSA key exchange and CBC only.

use std::path::Path;

use testkit::daemon::Daemon;
use testkit::process::Process;
use testkit::tools::{run, server, tool};

use crate::fixture::{ALCAZAR, Folder};

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/tls");
const GET: &str = "GET /version HTTP/1.1\\r\\nHost: here\\r\\nConnection: close\\r\\n\\r\\n";

/// Both leaves on one port, as one makes it who has stock peers.
fn master(folder: &Folder) -> Daemon {
    folder.master(&[
        ("CERT_FILE", "@rsa.pem"),
        ("KEY_FILE", "@rsa-key.pem"),
        ("ALT_CERT_FILE", "@ecdsa.pem"),
        ("ALT_KEY_FILE", "@ecdsa-key.pem"),
    ])
}

fn client(master: &Daemon, ciphers: &str, request: &str) -> Option<String> {
    let (_, text) = run(tool("python3")?
        .arg(format!("{SCRIPTS}/stock_client.py"))
        .arg(master.address.ip().to_string())
        .arg(master.address.port().to_string())
        .args([ciphers, "", "", request]));
    Some(text)
}

#[test]
fn a_stock_client_and_an_ecdsa_only_one_are_served_on_one_port() {
    let folder = Folder::new();
    let master = master(&folder);
    let Some(stock) = client(&master, "AES128-SHA", GET) else { return };
    assert!(stock.starts_with("TLSv1.2 AES128-SHA"), "{stock}");
    assert!(stock.contains("HTTP/1.1 200"), "{stock}");
    let ecdsa = client(&master, "ECDHE-ECDSA-AES128-GCM-SHA256", GET).expect("there was one");
    assert!(ecdsa.starts_with("TLSv1.2 ECDHE-ECDSA-AES128-GCM-SHA256"), "{ecdsa}");
    assert!(ecdsa.contains("HTTP/1.1 200"), "{ecdsa}");
}

#[test]
fn a_stock_peers_message_is_taken() {
    let folder = Folder::new();
    let master = master(&folder);
    let message = "POST /master/mesos.internal.UnregisterSlaveMessage HTTP/1.1\\r\\n\
                   Libprocess-From: slave(1)@127.0.0.1:9\\r\\nContent-Length: 0\\r\\n\\r\\n";
    let Some(answer) = client(&master, "AES128-SHA", message) else { return };
    assert!(answer.contains("HTTP/1.1 202"), "{answer}");
}

#[test]
fn our_agent_speaks_to_a_stock_master() {
    let folder = Folder::new();
    let Some(mut python) = server("python3") else { return };
    python
        .arg(format!("{SCRIPTS}/stock_server.py"))
        .args([folder.file("rsa.pem"), folder.file("rsa-key.pem")])
        .arg("AES128-SHA");
    let mut stock = Process::start(python);
    let port = stock.wait_for_line("port ");
    let port = port.strip_prefix("port ").expect("a port");
    let settings = [("ENABLED", "true"), ("CERT_FILE", "@rsa.pem"), ("KEY_FILE", "@rsa-key.pem")];
    let _agent = Daemon::start_with(
        Path::new(ALCAZAR),
        "mesos-agent",
        &[
            format!("--master=127.0.0.1:{port}"),
            "--resources=cpus:1;mem:128;disk:128".to_owned(),
            "--launcher=posix".to_owned(),
        ],
        &folder.variables(&settings),
    );
    let spoken = stock.wait_for_line("speaks ");
    assert_eq!(spoken, "speaks TLSv1.2 AES128-SHA");
    let heard = stock.wait_for_line("heard ");
    assert!(heard.contains("POST /master/mesos.internal.RegisterSlaveMessage"), "{heard}");
}
