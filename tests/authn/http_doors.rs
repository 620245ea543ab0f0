//! Credentials over HTTP at a whole master: the recorded story, stolen stream ids, guesses, tokens
//! of an identity provider, and what of all that is written down.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddrV4, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use openssl::pkey::{PKey, Private};
use openssl::sign::Signer;
use tempfile::TempDir;
use testkit::captures::{Kind, story};
use testkit::daemon::Daemon;
use testkit::http::Message;

use crate::agent_fixture::{http, private_file};

const ALCAZAR: &str = env!("CARGO_BIN_EXE_alcazar");

const CREDENTIALS: &str = r#"{"credentials":[
    {"principal":"operator","secret":"operator-secret"},
    {"principal":"guest","secret":"guest-secret"},
    {"principal":"scheduler-principal","secret":"scheduler-secret"}]}"#;

/// A master that asks in every realm.
struct Asking {
    master: Daemon,
    directory: TempDir,
}

impl Asking {
    fn start(more: &[String]) -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let credentials = private_file(directory.path(), "credentials", CREDENTIALS);
        let mut flags = vec![
            "--registry=in_memory".to_owned(),
            "--authenticate_http_readonly".to_owned(),
            "--authenticate_http_readwrite".to_owned(),
            "--authenticate_http_frameworks".to_owned(),
            "--http_framework_authenticators=basic".to_owned(),
            format!("--credentials={}", credentials.display()),
            format!("--audit_log={}", directory.path().join("audit").display()),
        ];
        flags.extend_from_slice(more);
        let master = Daemon::start(Path::new(ALCAZAR), "mesos-master", &flags);
        Self { master, directory }
    }

    fn address(&self) -> SocketAddrV4 {
        self.master.address
    }

    fn ask(&self, line: &str, authorization: Option<&str>) -> Message {
        let authorization = authorization.map(|value| ("Authorization", value));
        let request = request(line, authorization.as_slice(), b"");
        http(self.address(), &request)
    }

    /// Waits for a line of the trail that has all of `parts`.
    fn audited(&self, parts: &[&str]) {
        let path = self.directory.path().join("audit");
        let began = Instant::now();
        loop {
            let text = std::fs::read_to_string(&path).expect("the trail");
            if text.lines().any(|line| parts.iter().all(|part| line.contains(part))) {
                return;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "{parts:?} is not in {text}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

fn request(line: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut text = format!("{line} HTTP/1.1\r\nHost: master\r\nConnection: close\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
    [text.as_bytes(), body].concat()
}

fn basic(pair: &str) -> String {
    format!("Basic {}", openssl::base64::encode_block(pair.as_bytes()))
}

/// Sends a request whose answer does not end, and reads up to the first event.
fn stream(address: SocketAddrV4, request: &[u8]) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(address).expect("the master listens");
    stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a socket");
    stream.write_all(request).expect("the master reads");
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while !String::from_utf8_lossy(&answer).contains("SUBSCRIBED") {
        let read = stream.read(&mut buffer).expect("the master answers");
        assert_ne!(read, 0, "{}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&buffer[..read]);
    }
    // The ids are in lower case, and so may be the names of headers.
    (stream, String::from_utf8_lossy(&answer).to_lowercase())
}

/// The story's requests over sockets of their own; what the original's rules forbid after it knows
/// who asks is a question of authorization.
#[test]
fn authn_the_story_of_http_credentials_is_answered_as_recorded() {
    let Some(recorded) = story("12-http-authentication-and-acls") else { return };
    let asking = Asking::start(&[]);
    let mut compared = 0;
    for (at, asked) in recorded.iter().enumerate() {
        if asked.kind != Kind::Request || asked.to != "127.0.0.2:5050" {
            continue;
        }
        let answered = recorded[at..]
            .iter()
            .find(|r| r.kind == Kind::Response && r.connection == asked.connection)
            .unwrap();
        let (message, file) = (asked.http(), asked.file.clone().unwrap());
        if message.target().1.ends_with("/scheduler") && answered.file.is_none()
            || answered.bytes.starts_with(b"HTTP/1.1 200 OK") && message.target().1.contains("sche")
        {
            // A stream of its own and what is said on it: below.
            continue;
        }
        let answered = answered.http();
        let headers = message.headers.iter().map(|(n, v)| (n.as_str(), v.as_str()));
        let headers: Vec<_> = headers
            .filter(|(name, _)| !["host", "content-length"].contains(&name.to_lowercase().as_str()))
            .collect();
        let line = message.first_line.strip_suffix(" HTTP/1.1").unwrap();
        let got = http(asking.address(), &request(line, &headers, &message.body));
        if answered.status() == 401 {
            assert_eq!(got.status(), 401, "{file}");
            for name in ["www-authenticate", "content-type", "content-length"] {
                assert_eq!(got.header(name), answered.header(name), "{file}");
            }
            assert_eq!(got.body, answered.body, "{file}");
        } else {
            assert_ne!(got.status(), 401, "{file}");
        }
        compared += 1;
    }
    assert!(compared >= 12, "{compared}");
    asking.audited(&["\"claimed\":\"operator\"", "refused", "wrong secret", "Basic", "127.0.0.1"]);
    asking.audited(&["\"principal\":\"guest\"", "granted", "mesos-master-readonly"]);
    asking.audited(&["refused", "mesos-master-scheduler", "no credentials"]);
    let path = asking.directory.path().join("audit");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(!text.contains("-secret"), "{text}");
    // Moved away, it is begun anew.
    std::fs::rename(&path, asking.directory.path().join("audit.1")).unwrap();
    asking.ask("GET /state", Some(&basic("guest:guest-secret")));
    let began = Instant::now();
    while !path.exists() {
        assert!(began.elapsed() < Duration::from_secs(60), "the trail goes on");
        std::thread::sleep(Duration::from_millis(10));
    }
    asking.audited(&["\"principal\":\"guest\"", "granted"]);
}

/// `authentication.md` §20.
#[test]
fn attack_a_stolen_stream_id_is_useless_without_its_credentials() {
    let asking = Asking::start(&[]);
    let call = |body: &str, headers: &[(&str, &str)]| {
        let headers = [&[("Content-Type", "application/json")], headers].concat();
        request("POST /api/v1/scheduler", &headers, body.as_bytes())
    };
    let subscribe = |principal: &str| {
        format!(
            r#"{{"type":"SUBSCRIBE","subscribe":{{"framework_info":{{"user":"root","name":"f"{principal}}}}}}}"#
        )
    };
    let owner = basic("scheduler-principal:scheduler-secret");
    let thief = basic("operator:operator-secret");
    let other = subscribe(r#","principal":"scheduler-principal""#);
    let got = http(asking.address(), &call(&other, &[("Authorization", &thief)]));
    assert_eq!(got.status(), 400);
    assert_eq!(
        String::from_utf8_lossy(&got.body),
        "Failed to validate scheduler::Call: Authenticated principal 'operator' does not match \
         principal 'scheduler-principal' set in `FrameworkInfo`"
    );
    let subscribing = call(&subscribe(""), &[("Authorization", &owner)]);
    let (_open, answer) = stream(asking.address(), &subscribing);
    let after = |mark: &str| {
        let rest = answer.split_once(mark).unwrap_or_else(|| panic!("{answer}")).1;
        rest.split(['\r', '"']).next().unwrap().to_owned()
    };
    let (secret, id) = (after("mesos-stream-id: "), after("\"framework_id\":{\"value\":\""));
    let teardown = format!(r#"{{"type":"TEARDOWN","framework_id":{{"value":"{id}"}}}}"#);
    let tear = |authorization: Option<&str>| {
        let mut headers = vec![("Mesos-Stream-Id", secret.as_str())];
        headers.extend(authorization.map(|value| ("Authorization", value)));
        http(asking.address(), &call(&teardown, &headers))
    };
    assert_eq!(tear(None).status(), 401);
    assert_eq!(tear(Some(&basic("scheduler-principal:guess"))).status(), 401);
    let got = tear(Some(&thief));
    assert_eq!(got.status(), 400);
    assert_eq!(
        String::from_utf8_lossy(&got.body),
        "Authenticated principal 'operator' does not match principal 'scheduler-principal' set \
         in `FrameworkInfo`"
    );
    // The field was set from what was proved.
    let state = asking.ask("GET /frameworks", Some(&thief));
    assert!(String::from_utf8_lossy(&state.body).contains(r#""principal":"scheduler-principal""#));
    assert_eq!(tear(Some(&owner)).status(), 202);
}

/// Row A9, over real sockets.
#[test]
fn attack_a9_a_master_slows_guesses_over_http() {
    let asking = Asking::start(&[]);
    let mut heard = 0;
    while asking.ask("GET /state", Some(&basic("guest:x"))).header("retry-after").is_none() {
        heard += 1;
        assert!(heard < 50, "as many guesses as one likes");
    }
    let right = asking.ask("GET /state", Some(&basic("guest:guest-secret")));
    assert_eq!((right.status(), right.header("retry-after").is_some()), (401, true));
    // Somebody else at the same place is not kept out.
    let other = basic("operator:operator-secret");
    assert_eq!(asking.ask("GET /state", Some(&other)).status(), 200);
    let metrics = asking.ask("GET /metrics/snapshot", Some(&other));
    let metrics: serde_json::Value = serde_json::from_slice(&metrics.body).unwrap();
    assert_eq!(metrics["alcazar/guesses/failures"], f64::from(heard));
    asking.audited(&["too many failures", "refused"]);
}

fn encode(bytes: &[u8]) -> String {
    let text = openssl::base64::encode_block(bytes).replace('+', "-").replace('/', "_");
    text.trim_end_matches('=').to_owned()
}

/// A token of `key`, valid for an hour.
fn token(key: &PKey<Private>, kid: &str, audience: &str) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let header = serde_json::json!({"alg": "EdDSA", "kid": kid});
    let claims = serde_json::json!({"sub": "ops", "aud": audience, "exp": now + 3600});
    let parts = [header, claims].map(|part| encode(part.to_string().as_bytes())).join(".");
    let mut signer = Signer::new_without_digest(key).unwrap();
    let signature = signer.sign_oneshot_to_vec(parts.as_bytes()).unwrap();
    format!("Bearer {parts}.{}", encode(&signature))
}

fn publish(path: &Path, key: &PKey<Private>, kid: &str) {
    let x = encode(&key.raw_public_key().unwrap());
    let key = serde_json::json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": x});
    let set = serde_json::json!({"keys": [key]}).to_string();
    // As whole, as programs that fetch such files do.
    let new = path.with_extension("new");
    std::fs::write(&new, set).unwrap();
    std::fs::rename(new, path).unwrap();
}

#[test]
fn authn_tokens_of_an_identity_provider_open_a_master_that_follows_its_keys() {
    let keys = tempfile::tempdir().expect("a directory");
    let path: PathBuf = keys.path().join("jwks.json");
    let (old, new) = (PKey::generate_ed25519().unwrap(), PKey::generate_ed25519().unwrap());
    publish(&path, &old, "old");
    let mut asking = Asking::start(&[
        format!("--jwks={}", path.display()),
        "--jwt_audience=cluster".to_owned(),
        "--http_authenticators=basic,jwt".to_owned(),
    ]);
    let address = asking.address();
    let status = |token: &str| {
        let request = request("GET /state", &[("Authorization", token)], b"");
        http(address, &request).status()
    };
    let before = token(&old, "old", "cluster");
    assert_eq!(status(&before), 200);
    for wrong in [token(&new, "old", "cluster"), token(&old, "old", "another")] {
        let got = asking.ask("GET /state", Some(&wrong));
        assert_eq!(got.status(), 401);
        let challenge = got.header("www-authenticate").unwrap();
        assert!(challenge.contains("error=\"invalid_token\""), "{challenge}");
    }
    assert_eq!(status(&basic("operator:operator-secret")), 200, "beside it");
    asking.audited(&["\"principal\":\"ops\"", "Bearer", "granted"]);
    // Half a file changes nothing.
    std::fs::write(&path, "{\"keys\":[").unwrap();
    asking.master.process.signal(rustix::process::Signal::HUP);
    asking.master.process.wait_for_line("jwks.json");
    assert_eq!(status(&before), 200);
    publish(&path, &new, "new");
    let after = token(&new, "new", "cluster");
    let began = Instant::now();
    while status(&after) != 200 {
        assert!(began.elapsed() < Duration::from_secs(60), "the file has changed");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(status(&before), 401);
}
