//! The servers that are measured. Each is a process that ends with its standard input and answers
//! each line there with what it has used.

use std::fmt;
use std::fs::File;
use std::future::Future;
use std::io::{BufRead as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::bail;
use endpoints::body::{Body, FileBody};
use http::StatusCode;
use testkit::usage;
use transport::counters::Counters;
use transport::messenger::Listeners;
use transport::server::{
    Handler, Receipt, Received, Request, Response, Server, ServerParts, Settings, bind,
};
use transport::tls::Security;

use crate::authority::Paths;
use crate::bare;

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// Ours, with TLS.
    Ours,
    /// Ours, in plaintext.
    OursPlain,
    /// The bare loop.
    Bare,
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ours => "ours",
            Self::OursPlain => "ours-plain",
            Self::Bare => "bare",
        })
    }
}

impl FromStr for How {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        Ok(match text {
            "ours" => Self::Ours,
            "ours-plain" => Self::OursPlain,
            "bare" => Self::Bare,
            other => bail!("`{other}` is no server"),
        })
    }
}

static MESSAGES: AtomicU64 = AtomicU64::new(0);

/// Serves until standard input ends.
pub(crate) fn run(how: How, paths: &Paths) -> anyhow::Result<()> {
    // As many threads as the daemons have: the runtime's choice.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let own: SocketAddr = (Ipv4Addr::LOCALHOST, 0).into();
    let (address, _server) = match how {
        How::Bare => {
            let listener = TcpListener::bind(own)?;
            let (address, paths) = (listener.local_addr()?, paths.clone());
            std::thread::spawn(move || {
                if let Err(error) = bare::run(&listener, &paths) {
                    eprintln!("alcazar-bench: the bare loop ended: {error:#}");
                }
            });
            (address, None)
        }
        How::Ours | How::OursPlain => {
            let security = match how {
                How::Ours => Security::load(&paths.policy()?)?,
                How::OursPlain | How::Bare => Security::DangerPlaintext,
            };
            let server = runtime.block_on(async {
                Server::start(bind(own)?, parts(security, paths.directory.join("data")))
            })?;
            (server.address(), Some(server))
        }
    };
    let mut out = std::io::stdout().lock();
    writeln!(out, "{address}")?;
    out.flush()?;
    for line in std::io::stdin().lock().lines() {
        line?;
        let cpu = usage::own_cpu().as_nanos();
        writeln!(out, "{cpu} {} {}", usage::own_memory()?, MESSAGES.load(Ordering::Relaxed))?;
        out.flush()?;
    }
    Ok(())
}

fn parts(security: Security, data: PathBuf) -> ServerParts<Program> {
    ServerParts {
        security,
        handler: Program { data },
        settings: Settings::default(),
        counters: Arc::new(Counters::default()),
        listeners: Arc::new(Listeners::default()),
        sessions: Arc::default(),
    }
}

/// The least that a program can be: it counts messages and serves one file.
struct Program {
    data: PathBuf,
}

impl Handler for Program {
    fn message(&self, _: Received) -> impl Future<Output = Receipt> + Send {
        MESSAGES.fetch_add(1, Ordering::Relaxed);
        std::future::ready(Receipt::Accepted)
    }

    fn request(&self, request: Request) -> impl Future<Output = Response> + Send {
        let response = match request.path.as_str() {
            "/data" => self.file().unwrap_or_else(|_| Response::status_text(StatusCode::NOT_FOUND)),
            _ => Response::ok("text/plain", "Hello"),
        };
        std::future::ready(response)
    }
}

impl Program {
    /// The file as the daemons send files: streamed.
    fn file(&self) -> std::io::Result<Response> {
        let file = File::open(&self.data)?;
        let length = file.metadata()?.len();
        Ok(http::Response::new(Body::File(FileBody::new(file, length))).into())
    }
}
