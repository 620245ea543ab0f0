//! A master's routes on a port, in front of a state that nobody changes but this program.

use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;

use anyhow::Context as _;
use endpoints::access::Posture;
use endpoints::common::Build;
use endpoints::serve::serve;
use endpoints::site::Site;
use master::engine::state::Snapshot;
use master::http::{Master, table};
use master::views::Program;
use tokio::runtime::Runtime;
use transport::counters::Counters;
use transport::messenger::Listeners;
use transport::server::{
    Handler, Receipt, Received, Request, Response, Server, ServerParts, Settings, bind,
};
use transport::tls::Security;

pub(super) struct Exhibit {
    master: Arc<Master>,
    address: SocketAddrV4,
    _server: Server,
    _runtime: Runtime,
}

struct Door(Site<Master>);

impl Handler for Door {
    async fn message(&self, _: Received) -> Receipt {
        Receipt::NoSuchActor
    }

    async fn request(&self, request: Request) -> Response {
        serve(&self.0, request).await
    }
}

impl Exhibit {
    pub(super) fn start(snapshot: Snapshot) -> anyhow::Result<Self> {
        // As many threads as the program has.
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        let program = Program {
            build: Build {
                version: "1.12.0".to_owned(),
                date: String::new(),
                time: 0.0,
                user: String::new(),
                git_sha: None,
                git_branch: None,
                git_tag: None,
            },
            flags: std::collections::BTreeMap::default(),
            cluster: None,
            log_dir: None,
            external_log_file: None,
        };
        let entered = runtime.enter();
        let listener = bind(SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0)))?;
        let SocketAddr::V4(address) = listener.local_addr()? else {
            anyhow::bail!("the listener has no IPv4 address");
        };
        let master = Master::exhibit(snapshot, program);
        let site = Site::new(Arc::clone(&master), table(), Posture::danger_plaintext());
        let parts = ServerParts {
            security: Security::DangerPlaintext,
            handler: Door(site),
            settings: Settings::default(),
            counters: Arc::new(Counters::default()),
            listeners: Arc::new(Listeners::default()),
            sessions: Arc::default(),
        };
        let server = Server::start(listener, parts).context("the server does not start")?;
        drop(entered);
        Ok(Self { master, address, _server: server, _runtime: runtime })
    }

    pub(super) fn address(&self) -> SocketAddrV4 {
        self.address
    }

    pub(super) fn master(&self) -> Arc<Master> {
        Arc::clone(&self.master)
    }
}
