//! Fetching into sandboxes.

use std::fs::Permissions;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::time::{Duration, SystemTime};

use alcazar_agent::containerizer::{Containerizer as _, LaunchError, ProcessContainerizer, RunAs};
use model::identity::{Identity, Kind, TrustDomain};
use transport::server::{Handler, Receipt, Received, Request, Response, Server, ServerParts};
use transport::tls::{Contexts, Leaf, Offer, Security, TlsMaterial};
use wire::v1::command_info::Uri;

use crate::fixture::{Place, id, run, run_to_end};

fn uri(value: impl Into<String>) -> Uri {
    Uri { value: value.into(), ..Uri::default() }
}

/// Runs a container that fetches `uris`.
async fn fetch(place: &Place, container: &str, uris: Vec<Uri>) -> Result<(), String> {
    fetch_with(&place.containerizer(), place, container, uris, RunAs::Agent).await
}

async fn fetch_with(
    containerizer: &ProcessContainerizer,
    place: &Place,
    container: &str,
    uris: Vec<Uri>,
    run_as: RunAs,
) -> Result<(), String> {
    let mut request = place.shell(container, "touch ran");
    request.command.uris = uris;
    request.run_as = run_as;
    match run_to_end(containerizer, request).await {
        Ok(_) => {
            assert!(place.sandbox(container).join("ran").exists());
            Ok(())
        }
        Err(error) => {
            assert!(matches!(error, LaunchError::Fetch { .. }), "{error}");
            assert!(!place.sandbox(container).join("ran").exists());
            Err(error.to_string())
        }
    }
}

/// A server that answers each request with what `answer` makes of its path. `None`: it reads
/// and stays silent.
fn serve(answer: fn(&str) -> Option<Vec<u8>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            std::thread::spawn(move || {
                let Some(path) = read_request(&stream) else { return };
                match answer(&path) {
                    Some(bytes) => {
                        let _ = stream.write_all(&bytes);
                    }
                    None => {
                        // Until the other end gives up.
                        let _ = BufReader::new(stream).read_line(&mut String::new());
                    }
                }
            });
        }
    });
    address
}

fn read_request(stream: &TcpStream) -> Option<String> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next()?.ok()?;
    for line in lines {
        if line.ok()?.is_empty() {
            break;
        }
    }
    first.split(' ').nth(1).map(str::to_owned)
}

fn ok(body: &str) -> Option<Vec<u8>> {
    let length = body.len();
    Some(format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes())
}

fn to(location: &str) -> Option<Vec<u8>> {
    let head = format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
    Some(head.into_bytes())
}

pub(crate) fn a_file_of_the_machine_is_fetched() {
    run(async {
        let place = Place::new();
        let source = place.path().join("tool.tgz");
        std::fs::write(&source, "#!/bin/sh\n").unwrap();
        let executable = Uri {
            executable: Some(true),
            output_file: Some("bin/tool".into()),
            ..uri(source.display().to_string())
        };
        let plain = uri(format!("file://{}", source.display()));
        fetch(&place, "c", vec![executable, plain]).await.unwrap();
        let mode = |name: &str| place.sandbox("c").join(name).metadata().unwrap().mode() & 0o777;
        assert_eq!((mode("bin/tool"), mode("tool.tgz")), (0o755, 0o644));
        assert_eq!(place.output("c", "tool.tgz"), "#!/bin/sh\n");
        let said = place.output("c", "stderr");
        assert_eq!(said.matches("does not extract archives yet").count(), 1, "{said}");
    });
}

pub(crate) fn a_file_is_fetched_from_a_server() {
    run(async {
        let place = Place::new();
        let server = serve(|path| ok(&format!("you asked for {path}")));
        fetch(&place, "c", vec![uri(format!("http://{server}/a/b.txt?c=d"))]).await.unwrap();
        assert_eq!(place.output("c", "b.txt?c=d"), "you asked for /a/b.txt?c=d");
    });
}

pub(crate) fn redirections_are_followed_within_limits() {
    run(async {
        let place = Place::new();
        let server = serve(|path| match path {
            "/old" => to("/a/new"),
            "/a/new" => to("newer?x"),
            "/a/newer?x" => ok("found"),
            "/loop" => to("/loop"),
            "/local" => to("file:///etc/passwd"),
            _ => None,
        });
        fetch(&place, "c", vec![uri(format!("http://{server}/old"))]).await.unwrap();
        assert_eq!(place.output("c", "old"), "found");
        let failure = fetch(&place, "d", vec![uri(format!("http://{server}/loop"))]).await;
        assert!(failure.unwrap_err().contains("more than 10 redirections"));
        let failure = fetch(&place, "e", vec![uri(format!("http://{server}/local"))]).await;
        assert!(failure.unwrap_err().contains("file:///etc/passwd"));
    });
}

pub(crate) fn what_cannot_be_fetched_is_named() {
    run(async {
        let place = Place::new();
        let server = serve(|path| match path {
            "/large" => ok(&"x".repeat((1 << 20) + 1)),
            "/short" => Some(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort".to_vec()),
            "/nonsense" => Some(b"nonsense\r\n\r\n".to_vec()),
            _ => Some(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".to_vec()),
        });
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let leaving = Uri { output_file: Some("../x".into()), ..uri("/etc/passwd") };
        let cases = [
            (uri(format!("http://{server}/none")), "answered 404 Not Found"),
            (uri(format!("http://{server}/large")), "larger than 1048576 bytes"),
            (uri(format!("http://{server}/short")), "connection failed"),
            (uri(format!("http://{server}/nonsense")), "connection failed"),
            (uri(format!("http://{nobody}/x")), "cannot connect"),
            (uri("hdfs://h/x"), "only file, http and https"),
            (uri("relative/x"), "relative path"),
            (uri("/no/such/file"), "No such file"),
            (uri("/etc"), "not a regular file"),
            (leaving, "'../x' is not inside the sandbox"),
        ];
        let containerizer = place.containerizer();
        for (number, (uri, expected)) in cases.into_iter().enumerate() {
            let (container, named) = (format!("c{number}"), uri.value.clone());
            let fetching = fetch_with(&containerizer, &place, &container, vec![uri], RunAs::Agent);
            let failure = fetching.await.unwrap_err();
            assert!(failure.contains(expected) && failure.contains(&named), "{failure}");
            let said = place.output(&container, "stderr");
            assert!(said.contains(expected), "{said}");
        }
        assert!(!place.sandbox("x").exists());
    });
}

pub(crate) fn a_fetch_is_given_up_when_the_container_is_destroyed() {
    run(async {
        static ASKED: std::sync::Mutex<Option<mpsc::Sender<()>>> = std::sync::Mutex::new(None);
        let (asked, was_asked) = mpsc::channel();
        *ASKED.lock().unwrap() = Some(asked);
        let server = serve(|_| {
            if let Some(asked) = ASKED.lock().unwrap().take() {
                asked.send(()).unwrap();
            }
            None
        });
        let place = Place::new();
        let containerizer = place.containerizer();
        let mut request = place.shell("c", "touch ran");
        request.command.uris = vec![uri(format!("http://{server}/x"))];
        let destroying = async {
            tokio::task::spawn_blocking(move || was_asked.recv().unwrap()).await.unwrap();
            containerizer.destroy(&id("c")).await;
        };
        let (launched, ()) = tokio::join!(containerizer.launch(request), destroying);
        assert!(matches!(launched, Err(LaunchError::Destroyed)), "{launched:?}");
        assert!(!place.sandbox("c").join("ran").exists());
    });
}

pub(crate) fn a_silent_server_is_given_up() {
    run(async {
        let server = serve(|_| None);
        let place = Place::new();
        let mut settings = place.settings();
        settings.fetch.stall_timeout = Duration::from_millis(200);
        let containerizer = ProcessContainerizer::new(settings).unwrap();
        let uris = vec![uri(format!("http://{server}/x"))];
        let failure = fetch_with(&containerizer, &place, "c", uris, RunAs::Agent).await;
        assert!(failure.unwrap_err().contains("no response within 200ms"));
    });
}

pub(crate) fn what_the_user_may_not_read_is_not_fetched() {
    if !testkit::is_root() {
        testkit::skipped("only root can become another user");
        return;
    }
    run(async {
        let place = Place::new();
        let secret: PathBuf = place.path().join("secret");
        std::fs::write(&secret, "secret").unwrap();
        std::fs::set_permissions(&secret, Permissions::from_mode(0o600)).unwrap();
        let nobody = || RunAs::User("nobody".to_owned());
        let containerizer = place.containerizer();
        let uris = || vec![uri(secret.display().to_string())];
        let failure = fetch_with(&containerizer, &place, "c", uris(), nobody()).await;
        assert!(failure.unwrap_err().contains("Permission denied"));

        std::fs::set_permissions(&secret, Permissions::from_mode(0o644)).unwrap();
        fetch_with(&containerizer, &place, "d", uris(), nobody()).await.unwrap();
        let fetched = place.sandbox("d").join("secret").metadata().unwrap();
        assert_ne!(fetched.uid(), 0);
    });
}

/// Answers every request alike.
#[derive(Debug)]
struct Hello;

impl Handler for Hello {
    async fn message(&self, _message: Received) -> Receipt {
        Receipt::NoSuchActor
    }

    async fn request(&self, _request: Request) -> Response {
        Response::ok("text/plain", "hello")
    }
}

/// A server on loopback with a certificate for `ip`, and the authority behind it.
fn serve_https(ip: IpAddr) -> (Server, Vec<u8>) {
    let domain = TrustDomain::new("example.test").unwrap();
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let now = model::time::Timestamp::new(since_epoch);
    let authority = pki::Authority::create(domain.clone(), now).unwrap();
    let identity = Identity::new(domain.clone(), Kind::Operator, "server").unwrap();
    let request = pki::LeafRequest { ips: vec![ip], ..pki::LeafRequest::new(identity, now) };
    let leaf = authority.issue(&request).unwrap();
    let roots_pem = authority.trust_bundle_pem().unwrap();
    let material = TlsMaterial {
        leaves: vec![Leaf {
            chain_pem: leaf.chain_pem,
            key_pem: leaf.key_pem.expose_secret().to_vec().into(),
        }],
        roots_pem: roots_pem.clone(),
        trust_domain: domain,
        offer: Offer::default(),
    };
    let parts = ServerParts {
        security: Security::Tls(Arc::new(Contexts::new(&material).unwrap())),
        handler: Hello,
        settings: transport::server::Settings::default(),
        counters: Arc::default(),
        listeners: Arc::default(),
        sessions: Arc::default(),
    };
    let listener = transport::server::bind(([127, 0, 0, 1], 0).into()).unwrap();
    (Server::start(listener, parts).unwrap(), roots_pem)
}

pub(crate) fn an_https_server_must_be_vouched_for() {
    run(async {
        let place = Place::new();
        let (server, roots) = serve_https([127, 0, 0, 1].into());
        let (other_name, other_roots) = serve_https([127, 0, 0, 9].into());
        let roots_path = place.path().join("roots.pem");
        let get = async |server: &Server, roots: &[u8], container: &str| {
            std::fs::write(&roots_path, roots).unwrap();
            let mut settings = place.settings();
            settings.fetch.roots = Some(roots_path.clone());
            let containerizer = ProcessContainerizer::new(settings).unwrap();
            let uris = vec![uri(format!("https://{}/file", server.address()))];
            fetch_with(&containerizer, &place, container, uris, RunAs::Agent).await
        };
        get(&server, &roots, "c").await.unwrap();
        assert_eq!(place.output("c", "file"), "hello");
        let untrusted = get(&server, &other_roots, "d").await.unwrap_err();
        assert!(untrusted.contains("cannot trust"), "{untrusted}");
        let wrong_name = get(&other_name, &other_roots, "e").await.unwrap_err();
        assert!(wrong_name.contains("cannot trust"), "{wrong_name}");
    });
}
