//! What a handshake costs the server.

use std::net::SocketAddrV4;
use std::path::Path;

use anyhow::ensure;
use openssl::ssl::SslVersion;

use super::Plan;
use crate::authority::Key;
use crate::child::Server;
use crate::figures::{Goal, Samples};
use crate::hammer::{Client, Series};
use crate::serve::How;

/// Handshakes in one slice.
const COUNT: usize = 64;
/// Slices of each server in one run, by turns: other work on the machine comes and goes more
/// slowly.
const SLICES: usize = 8;
/// Connections at a time.
const THREADS: usize = 4;
const GOAL: Goal = Goal::AtMost(1.15);

/// One kind of handshake.
#[derive(Clone, Copy)]
struct Case {
    key: Key,
    version: SslVersion,
    resume: bool,
}

pub(super) fn measure(plan: &Plan, directory: &Path) -> anyhow::Result<()> {
    println!("Server CPU per connection with its handshake, µs; X25519, AES-256-GCM, no client");
    println!(
        "certificate, {THREADS} clients at a time. For orientation: the original needs 582 for"
    );
    println!("RSA 2048, 287 for P-256 and 86 resumed, on OpenSSL 3.0.");
    for key in [Key::Rsa2048, Key::P256] {
        let mut ours = Server::start(How::Ours, directory, key)?;
        let mut bare = Server::start(How::Bare, directory, key)?;
        for resume in [false, true] {
            for version in [SslVersion::TLS1_2, SslVersion::TLS1_3] {
                case(plan, Case { key, version, resume }, &mut ours, &mut bare)?;
            }
        }
    }
    Ok(())
}

fn case(plan: &Plan, case: Case, ours: &mut Server, bare: &mut Server) -> anyhow::Result<()> {
    let name = format!(
        "{:8} {} {}",
        case.key.to_string(),
        if case.version == SslVersion::TLS1_3 { "TLS 1.3" } else { "TLS 1.2" },
        if case.resume { "resumed" } else { "full   " },
    );
    let clients = (0..THREADS).map(|_| Client::new(case.version));
    let clients = clients.collect::<anyhow::Result<Vec<_>>>()?;
    let mut costs = [Samples::default(), Samples::default()];
    // The first turn warms up and does not count.
    for run in 0..=plan.runs {
        let mut sums = [0.0, 0.0];
        for _ in 0..SLICES {
            for (server, sum) in [&mut *ours, &mut *bare].into_iter().zip(&mut sums) {
                let Some(cost) = cost(case, &clients, server)? else {
                    println!("  {name}   a server resumes no sessions: nothing to compare");
                    return Ok(());
                };
                *sum += cost;
            }
        }
        for (costs, sum) in costs.iter_mut().zip(sums).filter(|_| run > 0) {
            costs.push(sum / SLICES as f64);
        }
    }
    let [ours, bare] = costs;
    println!("  {name}   ours {ours:22}  bare {bare:22}");
    println!("  {:28}{}", "", GOAL.judge(&ours, &bare));
    Ok(())
}

/// Microseconds per handshake; `None` if it does not resume sessions although it should.
fn cost(case: Case, clients: &[Client], server: &mut Server) -> anyhow::Result<Option<f64>> {
    if case.resume {
        // Each client gets its first session from this server, and shows that it is worth
        // something: what it offers first is the other server's.
        let tried = series(clients, server.address, true, 2 * THREADS)?;
        if tried.resumed == 0 {
            return Ok(None);
        }
    }
    let before = server.usage()?;
    let done = series(clients, server.address, case.resume, COUNT)?;
    let after = server.usage()?;
    let expected = if case.resume { done.handshakes } else { 0 };
    ensure!(
        done.resumed == expected,
        "{} of {} handshakes were resumed, not {expected}",
        done.resumed,
        done.handshakes
    );
    Ok(Some((after.cpu - before.cpu).as_secs_f64() * 1e6 / done.handshakes as f64))
}

/// `count` handshakes, shared by the clients, all at the same time.
fn series(
    clients: &[Client],
    address: SocketAddrV4,
    resume: bool,
    count: usize,
) -> anyhow::Result<Series> {
    std::thread::scope(|scope| {
        let each = count / clients.len();
        let running: Vec<_> = clients
            .iter()
            .map(|client| scope.spawn(move || client.handshakes(address, resume, each)))
            .collect();
        let mut sum = Series::default();
        for one in running {
            let one = one.join().map_err(|_| anyhow::anyhow!("a client ended by a panic"))??;
            sum.handshakes += one.handshakes;
            sum.resumed += one.resumed;
        }
        Ok(sum)
    })
}
