//! `alcazar credentials`, and daemons that follow their files.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use testkit::daemon::Daemon;
use testkit::process::eventually;

const ALCAZAR: &str = env!("CARGO_BIN_EXE_alcazar");

struct Files(TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory"))
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).expect("a file")
    }

    fn mode(&self, name: &str) -> u32 {
        std::fs::metadata(self.path(name)).expect("a file").permissions().mode() & 0o7777
    }

    /// Everything that is there but what was asked for is left over.
    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.0.path()).expect("a directory");
        let name = |entry: std::io::Result<std::fs::DirEntry>| {
            entry.expect("an entry").file_name().to_string_lossy().into_owned()
        };
        let mut names: Vec<_> = entries.map(name).collect();
        names.sort();
        names
    }

    /// `alcazar credentials <arguments>` in the directory, with this piped in.
    fn run(&self, arguments: &[&str], piped: &str) -> Output {
        let mut command = Command::new(ALCAZAR);
        command
            .arg("credentials")
            .args(arguments)
            .current_dir(self.0.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("the binary starts");
        // Whoever does not read has ended.
        let _ = child.stdin.take().expect("piped").write_all(piped.as_bytes());
        child.wait_with_output().expect("it ends")
    }

    /// The same, with this exit status; returns what it printed, for people and for programs.
    #[track_caller]
    fn ended(&self, status: i32, arguments: &[&str], piped: &str) -> (String, String) {
        let output = self.run(arguments, piped);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (out, err) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {out}{err}");
        (out, err)
    }
}

#[test]
fn authn_credentials_are_added_listed_checked_rotated_and_removed() {
    let files = Files::new();
    let file = "c.json";
    let add = ["add", file, "ops", "--kinds", "operator,framework"];
    let (out, err) = files.ended(0, &add, "s3cret\n");
    assert!(out.is_empty() && !err.contains("s3cret"), "{out}{err}");
    assert_eq!(files.mode(file), 0o600);
    assert!(!files.text(file).contains("s3cret"), "only a verifier is kept");
    // Once is enough.
    files.ended(1, &add, "other\n");
    files.ended(0, &["check", file, "ops"], "s3cret\n");
    files.ended(1, &["check", file, "ops"], "S3cret\n");
    files.ended(5, &["check", file, "nobody"], "s3cret\n");

    let list = |more: &[&str]| -> Value {
        let all = [&["list", file, "--output", "json"], more].concat();
        serde_json::from_str(&files.ended(0, &all, "").0).expect("JSON")
    };
    let entry = &list(&[])[0];
    assert_eq!(entry["kinds"], serde_json::json!(["framework", "operator"]));
    assert_eq!(entry["kept"], serde_json::json!(["scram-sha-256 (4096)"]));

    // Two secrets are valid until the rotation is finished, and they share a salt, without which
    // one exchange could not serve both.
    let before = files.text(file);
    files.ended(0, &["rotate", file, "ops"], "n3w\n");
    let salt = |text: &str| text.split("4096:").nth(1).expect("a verifier")[..24].to_owned();
    let text = files.text(file);
    assert_eq!(text.matches(&salt(&before)).count(), 2, "{text}");
    files.ended(1, &["rotate", file, "ops"], "newer\n");
    let (_, err) = files.ended(0, &["check", file, "ops"], "s3cret\n");
    assert!(err.contains("of before"), "{err}");
    files.ended(0, &["check", file, "ops"], "n3w\n");
    files.ended(0, &["rotate", file, "ops", "--finish"], "");
    files.ended(1, &["check", file, "ops"], "s3cret\n");
    files.ended(0, &["check", file, "ops"], "n3w\n");
    files.ended(1, &["rotate", file, "ops", "--finish"], "");

    files.ended(5, &["remove", file, "nobody"], "");
    files.ended(0, &["remove", file, "ops"], "");
    assert_eq!(list(&[]), serde_json::json!([]));
    assert_eq!(files.names(), [file], "nothing is left behind");
}

#[test]
fn authn_a_generated_secret_is_handed_out_as_asked_and_never_printed_otherwise() {
    let files = Files::new();
    let add = ["add", "c.json", "a1", "--kinds", "agent", "--generate"];
    // Nobody would know it.
    let (_, err) = files.ended(2, &add, "");
    assert!(err.contains("--show"), "{err}");
    assert_eq!(files.names(), [""; 0]);
    let (out, err) = files.ended(0, &[&add[..], &["--credential", "a1.json"]].concat(), "");
    assert_eq!(files.mode("a1.json"), 0o600);
    let own: Value = serde_json::from_str(&files.text("a1.json")).expect("JSON");
    let secret = own["secret"].as_str().expect("a secret");
    assert!(!out.contains(secret) && !err.contains(secret));
    files.ended(0, &["check", "c.json", "a1"], secret);
    let (out, _) = files.ended(0, &["rotate", "c.json", "a1", "--generate", "--show"], "");
    files.ended(0, &["check", "c.json", "a1"], &out);
}

#[test]
fn authn_secrets_come_from_a_pipe_or_a_file_and_not_from_the_command_line() {
    let files = Files::new();
    std::fs::write(files.path("secret"), "from a file\n").expect("our own directory");
    let add = ["add", "c.json", "p", "--kinds", "agent", "--keep", "plain", "--from", "secret"];
    files.ended(0, &add, "piped\n");
    assert!(files.text("c.json").contains("\"from a file\""));
    files.ended(0, &["check", "c.json", "p", "--from", "-"], "from a file");
    for wrong in ["", "\n", "two\nlines\n"] {
        files.ended(1, &["add", "c.json", "q", "--kinds", "agent"], wrong);
    }
    files.ended(2, &["add", "c.json", "q", "--kinds", "agent", "--secret", "s"], "");
    files.ended(2, &["add", "c.json", "q", "--kinds", "slave"], "s");
    files.ended(2, &["add", "c.json", "q"], "s");
    assert_eq!(files.text("c.json").matches("principal").count(), 1);
}

#[test]
fn authn_files_of_the_original_are_hashed_and_keep_what_else_is_in_them() {
    let files = Files::new();
    let text = r#"{"credentials":[{"principal":"a","secret":"sa","team":"x"},
        {"principal":"b","secret":"sb"}],"comment":"ours"}"#;
    std::fs::write(files.path("c.json"), text).expect("our own directory");
    let mode = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(files.path("c.json"), mode).expect("our own file");
    // Everything about it is weak: mode, plaintext, kinds; and our own daemons refuse it.
    let (out, _) = files.ended(1, &["check", "c.json", "--output", "json"], "");
    let said: Value = serde_json::from_str(&out).expect("JSON");
    let findings = said["findings"].as_array().expect("findings");
    assert_eq!(findings.len(), 6, "{said:#}");
    for part in ["accessible by others", "with its secret", "kinds", "of our own refuse it"] {
        let says = |f: &Value| f["what"].as_str().is_some_and(|what| what.contains(part));
        assert!(findings.iter().any(says), "{part}: {said:#}");
    }
    let (_, err) = files.ended(0, &["hash", "c.json"], "");
    assert!(err.contains("2 of 2"), "{err}");
    let text = files.text("c.json");
    assert!(!text.contains("\"sa\"") && !text.contains("\"sb\""), "{text}");
    assert!(text.contains("\"team\"") && text.contains("\"comment\""), "{text}");
    assert_eq!(files.mode("c.json"), 0o640, "no more open than before, and closed to others");
    files.ended(0, &["check", "c.json", "a"], "sa");
    files.ended(0, &["check", "c.json", "b"], "sb");
    let (_, err) = files.ended(0, &["hash", "c.json"], "");
    assert!(err.contains("0 of 2"), "{err}");
    // A link stays a link.
    std::os::unix::fs::symlink("c.json", files.path("link")).expect("a link");
    files.ended(0, &["remove", "link", "a"], "");
    assert!(std::fs::symlink_metadata(files.path("link")).expect("it").file_type().is_symlink());
    assert!(!files.text("c.json").contains("\"a\""));
}

#[test]
fn authn_a_file_that_cannot_be_used_is_said_to_be_so_and_stays_as_it_is() {
    let files = Files::new();
    for text in ["", "p s3cret\n", r#"{"credentials":[{"secret":"s3cret"}]}"#] {
        std::fs::write(files.path("c.json"), text).expect("our own directory");
        for arguments in [
            &["list", "c.json"][..],
            &["check", "c.json"],
            &["hash", "c.json"],
            &["add", "c.json", "p", "--kinds", "agent"],
        ] {
            let (out, err) = files.ended(2, arguments, "s");
            assert!(err.contains("cannot use c.json") || err.contains("/c.json"), "{err}");
            assert!(!out.contains("s3cret") && !err.contains("s3cret"), "{out}{err}");
        }
        assert_eq!(files.text("c.json"), text);
    }
    files.ended(1, &["list", "nowhere.json"], "");
}

/// What `/slaves` answers to somebody.
fn status(master: &Daemon, user: &str) -> u16 {
    let output = Command::new("curl")
        .args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "-u", user])
        .arg(format!("http://{}/slaves", master.address))
        .output()
        .expect("curl starts");
    String::from_utf8_lossy(&output.stdout).parse().expect("a status")
}

#[test]
fn authn_a_running_master_follows_its_file_and_a_broken_one_changes_nothing() {
    let files = Files::new();
    let add = ["add", "c.json", "ops", "--kinds", "operator", "--keep", "plain"];
    files.ended(0, &add, "one\n");
    let flags = [
        "--registry=in_memory".to_owned(),
        "--authenticate_http_readonly".to_owned(),
        format!("--credentials={}", files.path("c.json")),
    ];
    let mut master = Daemon::start(Path::new(ALCAZAR), "mesos-master", &flags);
    assert_eq!(status(&master, "ops:one"), 200);
    // Both secrets during the rotation, noticed without a word to anybody.
    files.ended(0, &["rotate", "c.json", "ops"], "two\n");
    eventually("the new secret is known", || (status(&master, "ops:two") == 200).then_some(()));
    assert_eq!(status(&master, "ops:one"), 200);
    files.ended(0, &["rotate", "c.json", "ops", "--finish"], "");
    eventually("the old one is forgotten", || (status(&master, "ops:one") == 401).then_some(()));
    // Half a file, written over the old one.
    std::fs::write(files.path("c.json"), "{\"credentials\":[{").expect("our own file");
    master.process.signal(rustix::process::Signal::HUP);
    let line = master.process.wait_for_line("said before still counts");
    assert!(line.contains("c.json") && !line.contains("two"), "{line}");
    assert_eq!(status(&master, "ops:two"), 200);
    // A good one again, at SIGHUP.
    let good = r#"{"credentials":[{"principal":"ops","secret":"three","kinds":["operator"]}]}"#;
    std::fs::write(files.path("c.json"), good).expect("our own file");
    master.process.signal(rustix::process::Signal::HUP);
    eventually("the file counts", || (status(&master, "ops:three") == 200).then_some(()));
}

#[test]
fn authn_daemons_of_ours_want_kinds_and_a_mode_and_say_what_to_do() {
    let files = Files::new();
    let run = |text: &str, mode: u32| {
        std::fs::write(files.path("c.json"), text).expect("our own directory");
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(files.path("c.json"), mode).expect("our own file");
        let output = Command::new(ALCAZAR)
            .args(["master", "--ip=127.0.0.1", "--port=0", "--registry=in_memory"])
            .args(["--danger-plaintext", &format!("--credentials={}", files.path("c.json"))])
            .output()
            .expect("the binary starts");
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let without = r#"{"credentials":[{"principal":"ops","secret":"s3cret"}]}"#;
    let error = run(without, 0o600);
    assert!(error.contains("add \"kinds\": [\"operator\"]"), "{error}");
    let with = r#"{"credentials":[{"principal":"ops","secret":"s3cret","kinds":["operator"]}]}"#;
    let error = run(with, 0o644);
    assert!(error.contains("accessible by others: chmod o="), "{error}");
    let unknown = with.replace("kinds", "kind");
    let error = run(&unknown, 0o600);
    assert!(error.contains("did you mean `kinds`?") && !error.contains("s3cret"), "{error}");
}

/// Answers every request on a new port with what `answer` says of its path, and keeps their heads.
fn serve(
    answer: impl Fn(&str) -> String + Send + 'static,
) -> (std::net::SocketAddr, std::sync::mpsc::Receiver<String>) {
    use std::io::{BufRead as _, BufReader};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let (sender, heads) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { break };
            let lines = BufReader::new(stream.try_clone().expect("a socket")).lines();
            let head: Vec<_> =
                lines.map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
            let path = head.first().and_then(|l| l.split(' ').nth(1)).unwrap_or("/").to_owned();
            let body = answer(&path);
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\
                 Content-Length: {}\r\n\r\n{body}",
                body.len()
            );
            if sender.send(head.join("\n")).is_err() {
                break;
            }
        }
    });
    (address, heads)
}

#[test]
fn attack_an_agent_that_a_master_names_is_not_told_the_users_secret() {
    let said = r#"{"posture":"open","holes":[],"remarks":[],"notices":[]}"#;
    for (more, told) in [(&[][..], false), (&["--secret-to-agents"], true)] {
        let (agent, to_agent) = serve(|_| said.to_owned());
        let (master, to_master) = serve(move |path| match path {
            "/slaves" => format!(r#"{{"slaves":[{{"pid":"slave(1)@{agent}"}}]}}"#),
            _ => said.to_owned(),
        });
        let output = Command::new(ALCAZAR)
            .args(["--master", &format!("http://{master}"), "--danger-expose-secret"])
            .args(["--principal", "ops", "--secret", "s3cret"])
            .args(more)
            .args(["doctor", "auth"])
            .output()
            .expect("the binary starts");
        assert!(output.status.success(), "{output:?}");
        let secret = "authorization: basic b3bzonmzy3jlda==";
        let heads: Vec<_> = to_master.try_iter().collect();
        assert_eq!(heads.len(), 2, "{heads:?}");
        assert!(heads.iter().all(|head| head.to_ascii_lowercase().contains(secret)), "{heads:?}");
        let heads: Vec<_> = to_agent.try_iter().collect();
        assert_eq!(heads.len(), 1, "{heads:?}");
        assert_eq!(heads[0].to_ascii_lowercase().contains(secret), told, "{heads:?}");
    }
}

#[test]
fn attack_a_master_that_is_not_verified_is_not_told_the_users_secret() {
    let (master, heads) = serve(|_| String::new());
    for (url, more) in [
        (format!("http://{master}"), &[][..]),
        (format!("https://{master}"), &["--danger-unverified"]),
    ] {
        let output = Command::new(ALCAZAR)
            .args(["--master", &url, "--principal", "ops", "--secret", "s3cret"])
            .args(more)
            .args(["agents"])
            .output()
            .expect("the binary starts");
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(error.contains("--danger-expose-secret"), "{error}");
    }
    assert_eq!(heads.try_iter().count(), 0, "nobody was even dialled");
}

#[test]
fn authn_decisions_of_a_running_master_are_written_down_and_follow_a_rotation() {
    let files = Files::new();
    let add = ["add", "c.json", "ops", "--kinds", "operator"];
    files.ended(0, &add, "s3cret\n");
    let flags = [
        "--registry=in_memory".to_owned(),
        "--authenticate_http_readonly".to_owned(),
        format!("--credentials={}", files.path("c.json")),
        format!("--audit_log={}", files.path("audit.log")),
    ];
    let master = Daemon::start(Path::new(ALCAZAR), "mesos-master", &flags);
    assert_eq!(files.mode("audit.log"), 0o600);
    assert_eq!(status(&master, "ops:s3cret"), 200);
    assert_eq!(status(&master, "ops:other"), 401);
    let lines = |name: &str| -> Vec<Value> {
        let text = std::fs::read_to_string(files.path(name)).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    };
    eventually("both are written", || (lines("audit.log").len() >= 2).then_some(()));
    let all = lines("audit.log");
    let of = |result: &str| all.iter().find(|line| line["result"] == result).expect("a line");
    for (result, name) in [("granted", "principal"), ("refused", "claimed")] {
        let line = of(result);
        assert_eq!(line[name], "ops", "{line}");
        assert_eq!(line["realm"], "mesos-master-readonly", "{line}");
        assert_eq!(line["address"], "127.0.0.1", "{line}");
    }
    assert!(!files.text("audit.log").contains("s3cret"));
    std::fs::rename(files.path("audit.log"), files.path("audit.log.1")).expect("our own file");
    master.process.signal(rustix::process::Signal::HUP);
    eventually("a new one begins", || {
        assert_eq!(status(&master, "ops:s3cret"), 200);
        (!lines("audit.log").is_empty()).then_some(())
    });
}

/// A token of somebody who signs with `key` (Ed25519).
fn token(key: &openssl::pkey::PKey<openssl::pkey::Private>, claims: &str) -> String {
    use base64::Engine as _;
    let encode = |bytes: &[u8]| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes);
    let signed =
        format!("{}.{}", encode(br#"{"alg":"EdDSA","typ":"JWT"}"#), encode(claims.as_bytes()));
    let mut signer = openssl::sign::Signer::new_without_digest(key).expect("a signer");
    let signature = signer.sign_oneshot_to_vec(signed.as_bytes()).expect("a signature");
    format!("{signed}.{}", encode(&signature))
}

fn published(key: &openssl::pkey::PKey<openssl::pkey::Private>) -> String {
    use base64::Engine as _;
    let raw = key.raw_public_key().expect("32 bytes");
    let x = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(raw);
    format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","x":"{x}","use":"sig","alg":"EdDSA"}}]}}"#)
}

#[test]
fn authn_tokens_of_others_let_operators_in_and_their_keys_are_followed() {
    let files = Files::new();
    let [first, second] =
        [(), ()].map(|()| openssl::pkey::PKey::generate_ed25519().expect("a key"));
    std::fs::write(files.path("jwks.json"), published(&first)).expect("our own directory");
    let flags = [
        "--registry=in_memory".to_owned(),
        "--authenticate_http_readonly".to_owned(),
        format!("--jwks={}", files.path("jwks.json")),
        "--jwt_audience=alcazar".to_owned(),
    ];
    let mut master = Daemon::start(Path::new(ALCAZAR), "mesos-master", &flags);
    let address = master.address;
    let status = move |token: &str| -> u16 {
        let output = Command::new("curl")
            .args(["-s", "-o", "/dev/null", "-w", "%{http_code}", "-H"])
            .arg(format!("Authorization: Bearer {token}"))
            .arg(format!("http://{address}/slaves"))
            .output()
            .expect("curl starts");
        String::from_utf8_lossy(&output.stdout).parse().expect("a status")
    };
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("now");
    let claims = |audience: &str, end: i64| {
        let end = i64::try_from(now.as_secs()).expect("small") + end;
        format!(r#"{{"sub":"ops","aud":"{audience}","exp":{end}}}"#)
    };
    let good = claims("alcazar", 600);
    assert_eq!(status(&token(&first, &good)), 200);
    assert_eq!(status(&token(&first, &claims("others", 600))), 401);
    assert_eq!(status(&token(&first, &claims("alcazar", -600))), 401);
    assert_eq!(status(&token(&second, &good)), 401);
    // The issuer has another key.
    std::fs::write(files.path("jwks.json"), published(&second)).expect("our own file");
    eventually("it counts", || (status(&token(&second, &good)) == 200).then_some(()));
    assert_eq!(status(&token(&first, &good)), 401);
    std::fs::write(files.path("jwks.json"), "{").expect("our own file");
    master.process.signal(rustix::process::Signal::HUP);
    master.process.wait_for_line("said before still counts");
    assert_eq!(status(&token(&second, &good)), 200);
}
