//! A small storm: a swarm and a master in one process.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;

use authn::accounts::{Account, Accounts, Directory, StoredSecret};
use authn::sasl::offer::{Authenticators, ServerSettings};
use authn::sasl::retry::RetrySettings;
use authn::secret::Secret;
use endpoints::common::Build;
use endpoints::tls::Tls;
use master::runtime::{Running, Sasl, Settings as MasterSettings, start};
use master::views::Program;
use registry::{Contents, MemoryRegistry};
use transport::tls::Security;

use super::addresses::Addresses;
use super::{Proof, Settings, Swarm};

const AGENTS: usize = 50;
const SECRET: &str = "a secret of the test";

/// How long anything may take before a test fails instead of hanging.
const PATIENCE: Duration = Duration::from_secs(60);

fn proof(mechanism: &str, shared: bool) -> Proof {
    Proof {
        mechanisms: vec![mechanism.to_owned()],
        principal: "agent".to_owned(),
        shared,
        secret: SECRET.to_owned(),
    }
}

async fn master(proof: &Proof) -> Running {
    let account = |principal: String| Account {
        principal,
        kinds: None,
        secrets: vec![StoredSecret::Plain(Secret::from(SECRET))],
    };
    let accounts: Accounts = (0..AGENTS).map(|number| account(proof.principal(number))).collect();
    let directory: Arc<dyn Directory> = Arc::new(Arc::new(accounts));
    let mechanisms = Authenticators::from_settings(
        &ServerSettings {
            mechanisms: proof.mechanisms.clone(),
            danger_plaintext_secrets: true,
            host: "localhost".to_owned(),
            salt_key: Secret::new(vec![7; 32]),
            iterations: 4096,
        },
        &directory,
    );
    let settings = MasterSettings {
        listen: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0),
        advertise_ip: None,
        advertise_port: None,
        hostname: None,
        domain: None,
        tls: Tls::new(Security::DangerPlaintext, Vec::new()),
        sasl: Sasl { mechanisms: mechanisms.unwrap(), ..Sasl::default() },
        authentication: endpoints::authentication::Authentication::default(),
        server: transport::server::Settings::default(),
        messenger: transport::messenger::Settings::default(),
        registry: Box::new(MemoryRegistry::new(Contents::default())),
        program: Program {
            build: Build {
                version: "1.12.0".to_owned(),
                date: String::new(),
                time: 0.0,
                user: String::new(),
                git_sha: None,
                git_branch: None,
                git_tag: None,
            },
            flags: [].into(),
            cluster: None,
            log_dir: None,
            external_log_file: None,
        },
        per_framework_metrics: true,
        whitelist: None,
        files: Vec::new(),
        tune: Box::new(|config| config.authenticate_agents = true),
    };
    start(settings).await.unwrap()
}

async fn storm(mechanism: &str, shared: bool) {
    let proof = proof(mechanism, shared);
    let master = master(&proof).await;
    let settings = Settings { proof: Some(proof), ..Settings::of(AGENTS, Addresses::Loopback) };
    // No answer is late, however slow the machine is: it is about retries that are needless.
    let retry =
        RetrySettings { timeout_min: PATIENCE, timeout_max: PATIENCE, ..RetrySettings::default() };
    let swarm = Swarm::start(&settings, retry).unwrap();
    swarm.detect(master.address());
    let all = swarm.book.wait_until(|report| report.registered.count == AGENTS);
    let Ok(report) = tokio::time::timeout(PATIENCE, all).await else {
        panic!("not all are registered: {:?}", swarm.book.report());
    };
    assert_eq!(report.authenticated.count, AGENTS, "{report:?}");
    let retries = [report.attempts - AGENTS as u64, report.timed_out, report.failed];
    assert_eq!(retries, [0; 3], "{report:?}");
    assert_eq!((report.refused, report.not_accepted, report.stray), (0, 0, 0), "{report:?}");
    drop(swarm);
    master.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn authn_a_small_storm_by_cram_md5_needs_no_retry() {
    storm("CRAM-MD5", true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn authn_a_small_storm_by_scram_needs_no_retry() {
    storm("SCRAM-SHA-256", true).await;
    storm("SCRAM-SHA-256", false).await;
}
