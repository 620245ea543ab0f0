//! Our client against `openssl s_server`: what it speaks, and whom it believes.

use std::process::Command;

use testkit::certificates::{Authority, Keys, Leaf};
use testkit::process::Process;
use testkit::tools::server;
use tls_policy::{CryptoSupport, Naming, TlsSettings, resolve};
use transport::client::{Call, Client, Settings};
use transport::tls::{Expected, Security};

use crate::fixture::{Folder, HERE};

/// What is tried; the arguments of `openssl s_server` besides its address; the host that is
/// dialled; settings besides those of [`check`]; what must be in the outcome.
type Row<'a> = (&'a str, &'a str, &'a str, &'a [(&'a str, &'a str)], &'a str);

const NAME: &str = "localhost";
const ADDRESS: &str = "127.0.0.1";
const BY_ADDRESS: &[(&str, &str)] = &[("VERIFY_IPADD", "true")];

/// Tries every row with these settings, and reports all that do not turn out as they should.
#[track_caller]
fn check(folder: &Folder, settings: &[(&str, &str)], rows: &[Row<'_>]) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let own = [("ENABLED", "true"), ("CERT_FILE", "@ecdsa.pem"), ("KEY_FILE", "@ecdsa-key.pem")];
    let mut wrong = Vec::new();
    for (what, arguments, host, more, expected) in rows {
        let Some(command) = server("openssl") else { return };
        let (_running, port) = s_server(command, folder, arguments);
        let security = security(folder, &[&own, settings, more].concat());
        let outcome = runtime.block_on(ask(security, host, port));
        eprintln!("{what} ({arguments}): {outcome}");
        if !outcome.contains(expected) {
            wrong.push(format!("{what} ({arguments}): {outcome}, expected {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

fn s_server(mut command: Command, folder: &Folder, arguments: &str) -> (Process, u16) {
    command
        .args(["s_server", "-accept", "127.0.0.1:0", "-www"])
        .args(arguments.split_whitespace())
        .current_dir(folder.path());
    let mut process = Process::start(command);
    let line = process.wait_for_line("ACCEPT ");
    let port = line.rsplit(':').next().and_then(|port| port.trim().parse().ok());
    (process, port.unwrap_or_else(|| panic!("a port: {line}")))
}

/// What a program under the original's name would do with these variables.
pub(crate) fn security(folder: &Folder, settings: &[(&str, &str)]) -> Security {
    let files = |path: &std::path::Path| std::fs::read_to_string(path).map_err(|e| e.to_string());
    let said = TlsSettings::read(Naming::Mesos, folder.variables(settings), &files);
    let resolved = resolve(&said.expect("settings"), &CryptoSupport::EVERYTHING);
    Security::load(&resolved.expect("a policy").policy).expect("the folder has all files")
}

/// `<version> <suite> <client's certificate>` as the page of `s_server` says, or why there is
/// none.
async fn ask(security: Security, host: &str, port: u16) -> String {
    let client = Client::new(security, Settings::default());
    let mut connection = match client.connect(host, port, &Expected::Member).await {
        Ok(connection) => connection,
        Err(error) => return format!("refused: {error}"),
    };
    let call = Call {
        method: http::Method::GET,
        target: "/".to_owned(),
        headers: http::HeaderMap::new(),
        body: bytes::Bytes::new(),
    };
    let page = match connection.call(call).await {
        Ok(reply) => reply.body.collect(1 << 20).await,
        Err(error) => return format!("refused later: {error}"),
    };
    let page = match page {
        Ok(page) => String::from_utf8_lossy(&page).into_owned(),
        Err(error) => return format!("refused later: {error}"),
    };
    let after = |what: &str| {
        let line = page.lines().find_map(|line| line.split_once(what));
        line.map_or("?", |(_, rest)| rest.trim())
    };
    let certificate = page.contains("BEGIN CERTIFICATE");
    let certificate = if certificate { "certified" } else { "uncertified" };
    format!("{} {} {certificate}", after("Protocol  : "), after("Cipher    : "))
}

#[test]
fn our_client_speaks_what_the_server_does_best() {
    let folder = Folder::new();
    let rsa = "-cert rsa.pem -key rsa-key.pem";
    let row = |more: &str| format!("{rsa} {more}");
    check(
        &folder,
        &[],
        &[
            ("whatever is best", rsa, ADDRESS, &[], "TLSv1.3 TLS_AES_"),
            ("1.2", &row("-tls1_2"), ADDRESS, &[], "TLSv1.2 ECDHE-RSA-AES"),
            (
                "a stock peer",
                &row("-tls1_2 -cipher AES128-SHA"),
                ADDRESS,
                &[],
                "TLSv1.2 AES128-SHA uncertified",
            ),
            (
                "a stock peer that wants to see a certificate",
                &row("-tls1_2 -cipher AES128-SHA -CAfile ca.pem -Verify 4"),
                ADDRESS,
                &[],
                "TLSv1.2 AES128-SHA certified",
            ),
            (
                "a certificate is shown whoever asks",
                &row("-CAfile ca.pem -Verify 4"),
                ADDRESS,
                &[],
                "certified",
            ),
            ("ECDSA", "-cert ecdsa.pem -key ecdsa-key.pem", ADDRESS, &[], "TLSv1.3"),
            (
                "ECDSA in 1.2",
                "-tls1_2 -cert ecdsa.pem -key ecdsa-key.pem",
                ADDRESS,
                &[],
                "TLSv1.2 ECDHE-ECDSA-AES",
            ),
            ("P-256", &row("-groups P-256"), ADDRESS, &[], "TLSv1.3"),
            (
                "a group nobody named",
                &row("-groups P-521"),
                ADDRESS,
                &[("ECDH_CURVES", "X25519")],
                "alert handshake failure",
            ),
            (
                "1.1",
                &row("-tls1_1 -cipher ALL:@SECLEVEL=0"),
                ADDRESS,
                &[],
                "alert protocol version",
            ),
            ("1.0", &row("-tls1 -cipher ALL:@SECLEVEL=0"), ADDRESS, &[], "alert protocol version"),
            (
                "1.1 when switched on",
                &row("-tls1_1 -cipher ALL:@SECLEVEL=0"),
                ADDRESS,
                &[("ENABLE_TLS_V1_1", "true")],
                "TLSv1",
            ),
            (
                "1.0 when switched on",
                &row("-tls1 -cipher ALL:@SECLEVEL=0"),
                ADDRESS,
                &[("ENABLE_TLS_V1_0", "true")],
                "TLSv1",
            ),
            (
                "1.2 when modern",
                &row("-tls1_2"),
                ADDRESS,
                &[("PROFILE", "modern")],
                "alert protocol version",
            ),
            (
                "a stock peer when intermediate",
                &row("-tls1_2 -cipher AES128-SHA"),
                ADDRESS,
                &[("PROFILE", "intermediate")],
                "alert handshake failure",
            ),
            (
                "no certificate at all",
                "-nocert -tls1_2 -cipher aNULL:@SECLEVEL=0",
                ADDRESS,
                &[],
                "alert handshake failure",
            ),
            (
                "anybody's certificate will do when servers are not verified",
                "-cert rsa.pem -key rsa-key.pem",
                NAME,
                &[],
                "TLSv1.3",
            ),
        ],
    );
}

#[test]
fn servers_are_verified_when_it_is_said() {
    let folder = Folder::new();
    let host = Leaf::host("localhost", Some(HERE));
    folder.issue("expired", &host.clone().expired());
    folder.issue("early", &host.clone().not_yet_valid());
    folder.keep("self", host.self_signed());
    folder.keep("stranger", Authority::root("stranger", Keys::Ecdsa).issue(&host));
    folder.keep("impostor", Authority::root("root", Keys::Ecdsa).issue(&host));
    folder.issue("name-only", &Leaf::host("localhost", None));
    folder.issue("cn-only", &Leaf::new("localhost"));
    folder.issue("address-only", &Leaf::new("something else").ip(HERE));
    folder.issue("elsewhere", &Leaf::host("elsewhere.example", None));
    let one = folder.root.intermediate("one");
    let two = one.intermediate("two");
    folder.keep("one", one.issue(&host));
    folder.keep("two", two.issue(&host));
    let revoked = folder.issue("revoked", &host);
    folder.write("crl.pem", &folder.root.revocation_list(&[&revoked]));
    let with = |name: &str| format!("-cert {name}.pem -key {name}-key.pem");
    let chain = |name: &str| format!("{} -cert_chain {name}.pem", with(name));
    check(
        &folder,
        &[
            ("VERIFY_SERVER_CERT", "true"),
            ("CA_FILE", "@ca.pem"),
            ("HOSTNAME_VALIDATION_SCHEME", "openssl"),
        ],
        &[
            ("valid", &with("rsa"), NAME, &[], "TLSv1.3"),
            ("valid by address", &with("rsa"), ADDRESS, BY_ADDRESS, "TLSv1.3"),
            ("by address, which does not count", &with("rsa"), ADDRESS, &[], "No DNS name given"),
            ("expired", &with("expired"), NAME, &[], "expired"),
            ("not yet valid", &with("early"), NAME, &[], "not yet valid"),
            ("self-signed", &with("self"), NAME, &[], "self-signed"),
            ("wrong authority", &with("stranger"), NAME, &[], "local issuer certificate"),
            (
                "authority of the same name",
                &with("impostor"),
                NAME,
                &[],
                "local issuer certificate",
            ),
            ("another host's", &with("elsewhere"), NAME, &[], "elsewhere.example"),
            ("another host's, dialled", &with("elsewhere"), NAME, &[], "localhost"),
            ("host's, met at an address", &with("name-only"), ADDRESS, BY_ADDRESS, "localhost"),
            ("the address", &with("name-only"), ADDRESS, BY_ADDRESS, "127.0.0.1"),
            ("the common name alone", &with("cn-only"), NAME, &[], "TLSv1.3"),
            (
                "the common name at an address",
                &with("cn-only"),
                ADDRESS,
                BY_ADDRESS,
                "not for 127.0.0.1",
            ),
            ("an address alone", &with("address-only"), ADDRESS, BY_ADDRESS, "TLSv1.3"),
            (
                "an address, met by name",
                &with("address-only"),
                NAME,
                BY_ADDRESS,
                "not for localhost",
            ),
            ("one intermediate", &chain("one"), NAME, &[], "TLSv1.3"),
            ("two", &chain("two"), NAME, &[], "TLSv1.3"),
            ("two, one allowed", &chain("two"), NAME, &[("VERIFY_DEPTH", "1")], "chain too long"),
            ("intermediates kept back", &with("one"), NAME, &[], "local issuer certificate"),
            ("revoked", &with("revoked"), NAME, &[("CRL_FILE", "@crl.pem")], "revoked"),
            ("not revoked", &with("rsa"), NAME, &[("CRL_FILE", "@crl.pem")], "TLSv1.3"),
            ("revoked, and nobody told", &with("revoked"), NAME, &[], "TLSv1.3"),
        ],
    );
}

#[test]
fn names_that_the_resolver_gives_count_in_the_scheme_of_old() {
    let folder = Folder::new();
    folder.issue("elsewhere", &Leaf::host("elsewhere.example", None));
    folder.issue("address-only", &Leaf::new("something else").ip(HERE));
    let with = |name: &str| format!("-cert {name}.pem -key {name}-key.pem");
    check(
        &folder,
        &[
            ("VERIFY_SERVER_CERT", "true"),
            ("CA_FILE", "@ca.pem"),
            ("HOSTNAME_VALIDATION_SCHEME", "legacy"),
        ],
        &[
            ("this host's, by address", &with("rsa"), ADDRESS, &[], "TLSv1.3"),
            ("another host's", &with("elsewhere"), ADDRESS, &[], "elsewhere.example"),
            ("the address", &with("address-only"), ADDRESS, BY_ADDRESS, "TLSv1.3"),
            (
                "the address, which does not count",
                &with("address-only"),
                ADDRESS,
                &[],
                "it names something else",
            ),
        ],
    );
}

#[test]
fn a_folder_of_roots_need_not_be_hashed() {
    let folder = Folder::new();
    let roots = Folder::new();
    roots.write("ours.pem", &folder.root.pem());
    let with = "-cert rsa.pem -key rsa-key.pem";
    let settings = [("VERIFY_SERVER_CERT", "true"), ("HOSTNAME_VALIDATION_SCHEME", "openssl")];
    let directory = roots.path().display().to_string();
    let directory = [("CA_DIR", directory.as_str())];
    check(&folder, &settings, &[("ours among others", with, NAME, &directory, "TLSv1.3")]);
    std::fs::remove_file(roots.path().join("ours.pem")).expect("written before");
    check(
        &folder,
        &settings,
        &[("others only", with, NAME, &directory, "local issuer certificate")],
    );
}
