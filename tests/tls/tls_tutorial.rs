//! The original's tutorial on TLS, word for word: a folder with `ca.pem`, `localhost.pem` and
//! `localhost-key.pem`, made with cfssl, and what its reader sees in a browser.

use std::path::Path;
use std::process::Stdio;

use tempfile::TempDir;
use testkit::daemon::Daemon;
use testkit::process::eventually;
use testkit::tools::{browser, run, tool};

use crate::fixture::ALCAZAR;

/// What the tutorial has in the folder.
struct Tutorial {
    directory: TempDir,
}

impl Tutorial {
    /// `None` where there is no cfssl.
    fn new() -> Option<Self> {
        let directory = tempfile::tempdir().expect("a directory");
        let write = |name: &str, text: &str| {
            std::fs::write(directory.path().join(name), text).expect("our own directory");
        };
        write(
            "ca-csr.json",
            r#"{"CN":"A test's CA","key":{"algo":"rsa","size":2048},"names":[{"O":"Tests"}]}"#,
        );
        let tutorial = Self { directory };
        tutorial.cfssl("ca", &["gencert", "-initca", "ca-csr.json"])?;
        tutorial.issue("localhost", "localhost")?;
        Some(tutorial)
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A certificate for one host, a name or an address, in `<name>.pem`.
    fn issue(&self, name: &str, host: &str) -> Option<()> {
        let request =
            format!(r#"{{"CN":"{host}","hosts":["{host}"],"key":{{"algo":"rsa","size":2048}}}}"#);
        std::fs::write(self.path().join("request.json"), request).expect("our own directory");
        self.cfssl(name, &["gencert", "-ca=ca.pem", "-ca-key=ca-key.pem", "request.json"])
    }

    /// `cfssl <arguments> | cfssljson -bare <name>`
    fn cfssl(&self, name: &str, arguments: &[&str]) -> Option<()> {
        let mut json = tool("cfssljson")?;
        let mut cfssl = tool("cfssl")?
            .args(arguments)
            .current_dir(self.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("cfssl starts");
        let output = cfssl.stdout.take().expect("piped");
        let written = json.args(["-bare", name]).current_dir(self.path()).stdin(output).status();
        assert!(written.expect("cfssljson starts").success());
        assert!(cfssl.wait().expect("cfssl ends").success());
        Some(())
    }

    /// The tutorial's variables, as they stand there, with the certificate of this name.
    fn variables(&self, name: &str, more: &[(&str, &str)]) -> Vec<(String, String)> {
        let file = |name: String| self.path().join(name).display().to_string();
        let mut variables = vec![
            ("LIBPROCESS_SSL_CA_DIR".to_owned(), file(String::new())),
            ("LIBPROCESS_SSL_ENABLED".to_owned(), "true".to_owned()),
            ("LIBPROCESS_SSL_SUPPORT_DOWNGRADE".to_owned(), "false".to_owned()),
            ("LIBPROCESS_SSL_KEY_FILE".to_owned(), file(format!("{name}-key.pem"))),
            ("LIBPROCESS_SSL_CERT_FILE".to_owned(), file(format!("{name}.pem"))),
        ];
        let more = more.iter();
        variables.extend(more.map(|(n, v)| (format!("LIBPROCESS_SSL_{n}"), (*v).to_owned())));
        variables
    }

    fn master(&self, variables: &[(String, String)]) -> Daemon {
        let flags = ["--registry=in_memory".to_owned()];
        Daemon::start_with(Path::new(ALCAZAR), "mesos-master", &flags, variables)
    }

    fn agent(master: &Daemon, variables: &[(String, String)]) -> Daemon {
        let flags = [
            format!("--master={}", master.address),
            "--resources=cpus:1;mem:128;disk:128".to_owned(),
        ];
        Daemon::start_with(Path::new(ALCAZAR), "mesos-agent", &flags, variables)
    }

    /// What curl, which trusts the folder's authority, gets from a daemon by its name.
    fn curl(&self, daemon: &Daemon, path: &str) -> String {
        let url = format!("https://localhost:{}{path}", daemon.address.port());
        let mut curl = tool("curl").expect("checked before");
        let (output, text) = run(curl
            .args(["--silent", "--show-error", "--cacert", "ca.pem", &url])
            .current_dir(self.path()));
        assert!(output.status.success(), "{text}");
        text
    }

    fn registered(&self, master: &Daemon) -> bool {
        self.curl(master, "/metrics/snapshot").contains("\"master/slaves_active\":1")
    }
}

#[test]
fn master_and_agent_of_the_tutorial_find_each_other() {
    let Some(tutorial) = Tutorial::new() else { return };
    if tool("curl").is_none() {
        return;
    }
    let variables = tutorial.variables("localhost", &[]);
    let master = tutorial.master(&variables);
    let _agent = Tutorial::agent(&master, &variables);
    eventually("the agent registers", || tutorial.registered(&master).then_some(()));
    // Who asks for plain HTTP is told what is spoken here.
    let url = format!("http://localhost:{}/version", master.address.port());
    let (_, text) = run(tool("curl").expect("checked before").args(["--silent", &url]));
    assert!(text.contains("TLS"), "{text}");
}

/// What verification adds to the tutorial, where components meet by address.
const VERIFIED: &[(&str, &str)] = &[
    ("VERIFY_SERVER_CERT", "true"),
    ("VERIFY_IPADD", "true"),
    ("HOSTNAME_VALIDATION_SCHEME", "openssl"),
];

#[test]
fn the_certificate_of_localhost_met_at_an_address_is_refused_naming_both() {
    let Some(tutorial) = Tutorial::new() else { return };
    if tool("curl").is_none() {
        return;
    }
    let variables = tutorial.variables("localhost", VERIFIED);
    let master = tutorial.master(&variables);
    let mut agent = Tutorial::agent(&master, &variables);
    let notice = agent.process.wait_for_line("openssl rehash");
    assert!(notice.contains("ca.pem"), "{notice}");
    let line = agent.process.wait_for_line("the certificate is for localhost");
    assert!(line.contains("not for 127.0.0.1"), "{line}");
    assert!(!tutorial.registered(&master));
}

#[test]
fn the_certificate_issued_for_the_address_passes() {
    let Some(tutorial) = Tutorial::new() else { return };
    if tool("curl").is_none() {
        return;
    }
    tutorial.issue("address", "127.0.0.1").expect("there was a cfssl");
    let master = tutorial.master(&tutorial.variables("address", VERIFIED));
    let _agent = Tutorial::agent(&master, &tutorial.variables("address", VERIFIED));
    let url = format!("https://{}/metrics/snapshot", master.address);
    eventually("the agent registers", || {
        let mut curl = tool("curl").expect("checked before");
        let curl = curl.args(["--silent", "--cacert", "ca.pem", &url]);
        let (_, text) = run(curl.current_dir(tutorial.path()));
        text.contains("\"master/slaves_active\":1").then_some(())
    });
}

#[test]
fn a_browser_reports_the_tutorials_certificate_until_its_authority_is_imported() {
    let Some(tutorial) = Tutorial::new() else { return };
    let master = tutorial.master(&tutorial.variables("localhost", &[]));
    let page = format!("https://localhost:{}/version", master.address.port());
    let Some(stranger) = browse(&tutorial, &page) else { return };
    assert!(stranger.contains("net::ERR_CERT_AUTHORITY_INVALID"), "{stranger}");
    assert!(!stranger.contains("1.12.0"), "{stranger}");

    let database = tutorial.path().join("home/.pki/nssdb");
    std::fs::create_dir_all(&database).expect("our own directory");
    let database = format!("sql:{}", database.display());
    let certutil = |arguments: &[&str]| {
        let (output, text) = run(tool("certutil")?
            .args(arguments)
            .args(["-d", &database])
            .current_dir(tutorial.path()));
        assert!(output.status.success(), "{text}");
        Some(())
    };
    if certutil(&["-N", "--empty-password"]).is_none() {
        return;
    }
    certutil(&["-A", "-n", "tutorial", "-t", "C,,", "-i", "ca.pem"]).expect("there was one");

    let reader = browse(&tutorial, &page).expect("there was a browser");
    assert!(!reader.contains("ERR_CERT"), "{reader}");
    assert!(reader.contains("1.12.0"), "{reader}");
    // A browser of today hides its keys from the computers of tomorrow, and we can.
    if tool("curl").is_some() {
        // Whether curl does, too, is not asked here.
        let metrics = tutorial.curl(&master, "/metrics/snapshot");
        assert!(metrics.contains("\"alcazar/tls/groups/hybrid\":"), "{metrics}");
        assert!(!metrics.contains("\"alcazar/tls/groups/hybrid\":0"), "{metrics}");
    }
    // The same certificate at an address is still another host's.
    let address = format!("https://{}/version", master.address);
    let misled = browse(&tutorial, &address).expect("there was a browser");
    assert!(misled.contains("net::ERR_CERT_COMMON_NAME_INVALID"), "{misled}");
}

/// What a browser makes of a page, and what it complains about.
fn browse(tutorial: &Tutorial, url: &str) -> Option<String> {
    let home = tutorial.path().join("home");
    std::fs::create_dir_all(&home).expect("our own directory");
    let (_, text) = run(browser()?
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic"])
        .args(["--disable-dev-shm-usage"])
        .args(["--no-first-run", "--disable-background-networking", "--disable-sync"])
        .args(["--disable-component-update", "--dump-dom", url])
        .arg(format!("--user-data-dir={}", home.join("profile").display()))
        .env("HOME", &home)
        .env_remove("XDG_CONFIG_HOME")
        .env_remove("XDG_DATA_HOME"));
    Some(text)
}
