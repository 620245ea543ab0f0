//! The scheme `legacy`: a certificate is compared with what a reverse lookup of the peer's
//! address says.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use openssl::nid::Nid;
use openssl::x509::X509Ref;
use tokio::sync::Semaphore;

use super::names::ip_address;
use crate::seldom;

/// Answers that are kept.
const MOST_KEPT: usize = 4096;
/// How long a name counts.
const KEPT: Duration = Duration::from_secs(60);
/// How long a failure counts: long enough that a storm of peers asks once.
const FAILURE_KEPT: Duration = Duration::from_secs(5);
/// Lookups under way at once. Each occupies a thread that cannot be interrupted.
const MOST_LOOKUPS: usize = 16;
/// How long a handshake waits for a lookup; then there is no name.
const DEADLINE: Duration = Duration::from_secs(5);
/// A lookup that takes longer is worth a line in the log.
const SLOW: Duration = Duration::from_millis(100);

type Resolve = dyn Fn(IpAddr) -> io::Result<String> + Send + Sync;

/// Names of addresses, looked up on threads of their own and kept for a while.
pub(super) struct ReverseDns {
    resolve: Arc<Resolve>,
    kept: Mutex<HashMap<IpAddr, Kept>>,
    lookups: Arc<Semaphore>,
    deadline: Duration,
}

struct Kept {
    until: Instant,
    name: Option<String>,
}

impl fmt::Debug for ReverseDns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReverseDns").finish_non_exhaustive()
    }
}

impl Default for ReverseDns {
    /// Asks the system's resolver. For an address without a name that is the address as text.
    fn default() -> Self {
        Self::new(|ip| match dns_lookup::getnameinfo(&SocketAddr::new(ip, 0), 0) {
            Ok((host, _service)) => Ok(host),
            Err(error) => Err(error.into()),
        })
    }
}

impl ReverseDns {
    fn new(resolve: impl Fn(IpAddr) -> io::Result<String> + Send + Sync + 'static) -> Self {
        Self {
            resolve: Arc::new(resolve),
            kept: Mutex::default(),
            lookups: Arc::new(Semaphore::new(MOST_LOOKUPS)),
            deadline: DEADLINE,
        }
    }

    /// The name of an address; `None` if the lookup fails or takes too long.
    pub(super) async fn name(&self, ip: IpAddr) -> Option<String> {
        let ip = ip.to_canonical();
        let start = Instant::now();
        if let Some(kept) = self.lock().get(&ip).filter(|kept| kept.until > start) {
            return kept.name.clone();
        }
        let outcome = tokio::time::timeout(self.deadline, self.look_up(ip)).await;
        let took = start.elapsed();
        if took > SLOW {
            seldom!(warn, %ip, ?took, "a reverse lookup is slow: handshakes wait for it");
        }
        let name = match outcome {
            Ok(Ok(name)) => Some(name),
            Ok(Err(error)) => {
                seldom!(warn, %ip, %error, "a reverse lookup failed");
                None
            }
            Err(_) => None,
        };
        self.keep(ip, name.clone());
        name
    }

    async fn look_up(&self, ip: IpAddr) -> io::Result<String> {
        let permit = Arc::clone(&self.lookups).acquire_owned().await.map_err(io::Error::other)?;
        let resolve = Arc::clone(&self.resolve);
        // The permit goes with the thread: a lookup that nobody waits for any more still counts.
        let looking = tokio::task::spawn_blocking(move || {
            let found = resolve(ip);
            drop(permit);
            found
        });
        looking.await.map_err(io::Error::other)?
    }

    fn keep(&self, ip: IpAddr, name: Option<String>) {
        let now = Instant::now();
        let until = now + if name.is_some() { KEPT } else { FAILURE_KEPT };
        let mut kept = self.lock();
        if kept.len() >= MOST_KEPT {
            kept.retain(|_, kept| kept.until > now);
        }
        if kept.len() < MOST_KEPT {
            kept.insert(ip, Kept { until, name });
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<IpAddr, Kept>> {
        // Nothing panics while the names are held.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why the scheme `legacy` does not take a certificate for the peer's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LegacyNameError {
    #[error("the address {0} has no name, and IP address verification is disabled")]
    NoName(IpAddr),
    #[error("a DNS name in it holds a NUL")]
    Nul,
    #[error("it names {common_name}, and {} was expected", or_address(.name, .ip))]
    Other { common_name: String, name: String, ip: IpAddr },
    #[error("it names neither {} nor anybody", or_address(.name, .ip))]
    Nobody { name: String, ip: IpAddr },
}

fn or_address(name: &str, ip: &IpAddr) -> String {
    let ip = ip.to_string();
    match name {
        "" => ip,
        name if name == ip => ip,
        name => format!("{name} ({ip})"),
    }
}

/// What the original's buffer holds of a common name.
const COMMON_NAME: usize = 63;

/// The rules of the original, step by step. `name` is what the reverse lookup said, or else what
/// was dialled. One thing is stricter: without any name and without `ip_addresses` the original
/// lets a server pass.
pub(super) fn check(
    certificate: &X509Ref,
    name: Option<&str>,
    ip: IpAddr,
    ip_addresses: bool,
) -> Result<(), LegacyNameError> {
    let ip = ip.to_canonical();
    if name.is_none() && !ip_addresses {
        return Err(LegacyNameError::NoName(ip));
    }
    for alternative in certificate.subject_alt_names().iter().flatten() {
        if let Some(dns) = alternative.dnsname() {
            let Some(name) = name else { continue };
            if dns.contains('\0') {
                return Err(LegacyNameError::Nul);
            }
            // Exact: neither case nor wildcards.
            if dns == name {
                return Ok(());
            }
        } else if let Some(octets) = alternative.ipaddress()
            && ip_addresses
            && octets.len() == 4
            && ip_address(octets) == Some(ip)
        {
            return Ok(());
        }
    }
    let nobody = || LegacyNameError::Nobody { name: name.unwrap_or_default().to_owned(), ip };
    let expected = name.ok_or_else(nobody)?;
    let first = certificate.subject_name().entries_by_nid(Nid::COMMONNAME).next();
    let text = first.and_then(|entry| entry.data().to_string().ok()).ok_or_else(nobody)?;
    let cut = text.as_bytes().get(..COMMON_NAME).unwrap_or(text.as_bytes());
    if cut == expected.as_bytes() {
        return Ok(());
    }
    let common_name = text;
    Err(LegacyNameError::Other { common_name, name: expected.to_owned(), ip })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use openssl::asn1::Asn1Time;
    use openssl::ec::{EcGroup, EcKey};
    use openssl::hash::MessageDigest;
    use openssl::pkey::PKey;
    use openssl::x509::extension::SubjectAlternativeName;
    use openssl::x509::{X509, X509Name};

    use super::*;

    fn certificate(common_name: Option<&str>, dns: &[&str], ips: &[&str]) -> X509 {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
        let mut name = X509Name::builder().unwrap();
        if let Some(common_name) = common_name {
            name.append_entry_by_nid(Nid::COMMONNAME, common_name).unwrap();
        }
        let name = name.build();
        let mut builder = X509::builder().unwrap();
        builder.set_version(2).unwrap();
        builder.set_subject_name(&name).unwrap();
        builder.set_issuer_name(&name).unwrap();
        builder.set_not_before(&Asn1Time::days_from_now(0).unwrap()).unwrap();
        builder.set_not_after(&Asn1Time::days_from_now(1).unwrap()).unwrap();
        builder.set_pubkey(&key).unwrap();
        let mut alternative = SubjectAlternativeName::new();
        dns.iter().for_each(|dns| {
            alternative.dns(dns);
        });
        ips.iter().for_each(|ip| {
            alternative.ip(ip);
        });
        if !(dns.is_empty() && ips.is_empty()) {
            let extension = alternative.build(&builder.x509v3_context(None, None)).unwrap();
            builder.append_extension(extension).unwrap();
        }
        builder.sign(&key, MessageDigest::sha256()).unwrap();
        builder.build()
    }

    #[test]
    fn tls_legacy_names_are_compared_as_the_original_compares_them() {
        let four: IpAddr = "10.0.0.5".parse().unwrap();
        let six: IpAddr = "fd00::5".parse().unwrap();
        let long = format!("{}.example", "x".repeat(56));
        let cut = &long[..63];
        type Case<'a> =
            (Option<&'a str>, &'a [&'a str], &'a [&'a str], Option<&'a str>, bool, bool);
        let cases: &[Case<'_>] = &[
            // common name, DNS, IP, looked up, IP counts, accepted
            (None, &["a.example"], &[], Some("a.example"), false, true),
            (None, &["A.example"], &[], Some("a.example"), false, false),
            (None, &["*.example"], &[], Some("a.example"), false, false),
            (None, &["b.example", "a.example"], &[], Some("a.example"), false, true),
            (Some("a.example"), &["b.example"], &[], Some("a.example"), false, true),
            (Some("b.example"), &[], &[], Some("a.example"), false, false),
            (Some(&long), &[], &[], Some(cut), false, true),
            (Some(&long), &[], &[], Some(&long), false, false),
            // A lookup without result is the address as text: then DNS names and CN count.
            (None, &["10.0.0.5"], &[], Some("10.0.0.5"), false, true),
            (Some("10.0.0.5"), &[], &[], Some("10.0.0.5"), false, true),
            (None, &[], &["10.0.0.5"], Some("10.0.0.5"), false, false),
            (None, &[], &["10.0.0.5"], Some("a.example"), true, true),
            (None, &[], &["10.0.0.6"], Some("a.example"), true, false),
            (Some("x"), &[], &["10.0.0.5"], None, true, true),
            (Some("x"), &["a.example"], &[], None, true, false),
            (Some("x"), &["a.example"], &[], None, false, false),
        ];
        for (common_name, dns, ips, name, ip_addresses, accepted) in cases {
            let certificate = certificate(*common_name, dns, ips);
            let verdict = check(&certificate, *name, four, *ip_addresses);
            assert_eq!(verdict.is_ok(), *accepted, "{common_name:?} {dns:?} {ips:?}: {verdict:?}");
        }
        // IP SANs of IPv6 never count.
        let certificate = certificate(None, &[], &["fd00::5"]);
        assert!(check(&certificate, Some("a"), six, true).is_err());
    }

    #[tokio::test]
    async fn tls_reverse_lookups_are_kept_and_a_hanging_one_ends_at_its_deadline() {
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        let dns = ReverseDns::new(move |ip| {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok(format!("host-{ip}"))
        });
        for _ in 0..3 {
            assert_eq!(dns.name([10, 0, 0, 1].into()).await.unwrap(), "host-10.0.0.1");
        }
        assert_eq!(asked.load(Ordering::Relaxed), 1);

        let (release, hold) = std::sync::mpsc::channel::<()>();
        let hold = Mutex::new(hold);
        let mut dns = ReverseDns::new(move |_| {
            let _ = hold.lock().unwrap().recv();
            Ok("late".to_owned())
        });
        dns.deadline = Duration::from_millis(20);
        assert_eq!(dns.name([10, 0, 0, 2].into()).await, None);
        drop(release);
    }

    #[tokio::test]
    async fn tls_reverse_lookups_of_many_addresses_take_bounded_memory() {
        let dns = ReverseDns::new(|_| Ok("name".to_owned()));
        for n in 0..MOST_KEPT + 10 {
            dns.keep(IpAddr::from((n as u32).to_be_bytes()), Some("name".to_owned()));
        }
        assert_eq!(dns.lock().len(), MOST_KEPT);
    }
}
