//! The scheme `legacy`: a certificate is compared with what a reverse lookup of the peer's
//! address says.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use openssl::nid::Nid;
use openssl::x509::X509Ref;
use tokio::sync::{Semaphore, watch};

use super::names::ip_address;
use crate::seldom;

/// Answers that are kept.
const MOST_KEPT: usize = 4096;
/// How long a name counts.
const KEPT: Duration = Duration::from_secs(60);
/// How long a failure counts. A storm of peers of one address asks once: while a lookup runs all of
/// them wait for it, and after it for so long none asks again.
const FAILURE_KEPT: Duration = Duration::from_secs(5);
/// Lookups under way at once. Each occupies a thread that cannot be interrupted.
const MOST_LOOKUPS: usize = 16;
/// Addresses that are looked up or wait for that at once.
const MOST_RUNNING: usize = 4096;
/// How long a handshake waits for a lookup; then there is no name.
const DEADLINE: Duration = Duration::from_secs(5);
/// A lookup that takes longer is worth a line in the log.
const SLOW: Duration = Duration::from_millis(100);

type Resolve = dyn Fn(IpAddr) -> io::Result<String> + Send + Sync;

/// Names of addresses, looked up on threads of their own and kept for a while.
pub(super) struct ReverseDns {
    resolve: Arc<Resolve>,
    book: Arc<Mutex<Book>>,
    lookups: Arc<Semaphore>,
    deadline: Duration,
}

#[derive(Default)]
struct Book {
    kept: HashMap<IpAddr, Kept>,
    /// Lookups that wait for a thread or have one. Whoever wants the same name waits with them.
    running: HashMap<IpAddr, watch::Sender<Progress>>,
}

struct Kept {
    until: Instant,
    name: Option<String>,
}

/// How far a lookup is.
#[derive(Clone, Debug)]
enum Progress {
    /// It waits for a thread.
    Queued,
    /// The system is asked.
    Asking,
    /// That is the answer, if there is one.
    Done(Option<String>),
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
            book: Arc::default(),
            lookups: Arc::new(Semaphore::new(MOST_LOOKUPS)),
            deadline: DEADLINE,
        }
    }

    /// The name of an address; `None` if the lookup fails or takes too long.
    pub(super) async fn name(&self, ip: IpAddr) -> Option<String> {
        let ip = ip.to_canonical();
        let start = Instant::now();
        let mut lookup = match self.kept_or_running(ip, start) {
            Ok(kept) => return kept,
            Err(Some(lookup)) => lookup,
            Err(None) => {
                seldom!(warn, %ip, "too many reverse lookups at once: one is not made");
                return None;
            }
        };
        let done = lookup.wait_for(|progress| matches!(progress, Progress::Done(_)));
        let outcome = match tokio::time::timeout(self.deadline, done).await {
            Ok(Ok(done)) => match &*done {
                Progress::Done(name) => Some(name.clone()),
                Progress::Queued | Progress::Asking => None,
            },
            // It ended without an answer, or takes too long.
            Ok(Err(_)) | Err(_) => None,
        };
        let took = start.elapsed();
        if took > SLOW {
            seldom!(warn, %ip, ?took, "a reverse lookup is slow: handshakes wait for it");
        }
        outcome.unwrap_or_else(|| {
            // If the system was not asked yet, that says nothing about the address.
            if matches!(*lookup.borrow(), Progress::Asking) {
                lock(&self.book).keep_failure(ip);
            }
            None
        })
    }

    /// The name if it is known, or else the lookup to wait for: the one that is under way, or a
    /// new one if there are not too many.
    fn kept_or_running(
        &self,
        ip: IpAddr,
        now: Instant,
    ) -> Result<Option<String>, Option<watch::Receiver<Progress>>> {
        let mut book = lock(&self.book);
        if let Some(kept) = book.kept.get(&ip).filter(|kept| kept.until > now) {
            return Ok(kept.name.clone());
        }
        if let Some(running) = book.running.get(&ip) {
            return Err(Some(running.subscribe()));
        }
        if book.running.len() >= MOST_RUNNING {
            return Err(None);
        }
        let (progress, lookup) = watch::channel(Progress::Queued);
        book.running.insert(ip, progress.clone());
        // A runtime that is ending drops the lookup at once, and that takes it out of the book.
        drop(book);
        let running = Running { ip, progress, book: Arc::clone(&self.book) };
        let lookups = Arc::clone(&self.lookups);
        tokio::spawn(running.look_up(Arc::clone(&self.resolve), lookups));
        Err(Some(lookup))
    }
}

/// A lookup that others can wait for; in the book until it is dropped.
struct Running {
    ip: IpAddr,
    progress: watch::Sender<Progress>,
    book: Arc<Mutex<Book>>,
}

impl Running {
    async fn look_up(self, resolve: Arc<Resolve>, lookups: Arc<Semaphore>) {
        let permit = tokio::select! {
            permit = lookups.acquire_owned() => permit,
            () = self.is_given_up() => return,
        };
        // The semaphore is never closed.
        let Ok(permit) = permit else { return };
        self.progress.send_replace(Progress::Asking);
        let ip = self.ip;
        // The permit goes with the thread: a lookup that nobody waits for any more still counts.
        let looking = tokio::task::spawn_blocking(move || {
            let found = resolve(ip);
            drop(permit);
            found
        });
        let found = looking.await.map_err(io::Error::other).and_then(|found| found);
        if let Err(error) = &found {
            seldom!(warn, %ip, %error, "a reverse lookup failed");
        }
        let name = found.ok();
        lock(&self.book).keep(ip, name.clone());
        self.progress.send_replace(Progress::Done(name));
    }

    /// Waits until nobody waits for this lookup. Then nobody can begin to, either.
    async fn is_given_up(&self) {
        loop {
            self.progress.closed().await;
            let mut book = lock(&self.book);
            if self.progress.receiver_count() == 0 {
                book.forget(self);
                return;
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        lock(&self.book).forget(self);
    }
}

impl Book {
    fn forget(&mut self, lookup: &Running) {
        if self.running.get(&lookup.ip).is_some_and(|own| own.same_channel(&lookup.progress)) {
            self.running.remove(&lookup.ip);
        }
    }

    /// Notes that there is no name, unless one has come meanwhile.
    fn keep_failure(&mut self, ip: IpAddr) {
        let now = Instant::now();
        if self.kept.get(&ip).is_none_or(|kept| kept.until <= now) {
            self.keep(ip, None);
        }
    }

    fn keep(&mut self, ip: IpAddr, name: Option<String>) {
        let now = Instant::now();
        let until = now + if name.is_some() { KEPT } else { FAILURE_KEPT };
        if self.kept.len() >= MOST_KEPT {
            self.kept.retain(|_, kept| kept.until > now);
        }
        if self.kept.len() < MOST_KEPT || self.kept.contains_key(&ip) {
            self.kept.insert(ip, Kept { until, name });
        }
    }
}

fn lock(book: &Mutex<Book>) -> MutexGuard<'_, Book> {
    // Nothing panics while the book is held.
    book.lock().unwrap_or_else(PoisonError::into_inner)
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
        let ip = [10, 0, 0, 2].into();
        assert_eq!(dns.name(ip).await, None);
        // That is kept, and the name when it comes after all.
        dns.deadline = Duration::from_secs(3600);
        assert_eq!(dns.name(ip).await, None);
        drop(release);
        until(|| lock(&dns.book).running.is_empty()).await;
        assert_eq!(dns.name(ip).await.unwrap(), "late");
    }

    async fn until(is_so: impl Fn() -> bool) {
        let waiting = async {
            while !is_so() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), waiting).await.expect("it takes too long");
    }

    #[tokio::test]
    async fn tls_reverse_lookups_of_one_address_at_once_are_one() {
        let asked = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&asked);
        let (release, hold) = std::sync::mpsc::channel::<()>();
        let hold = Mutex::new(hold);
        let dns = ReverseDns::new(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            let _ = hold.lock().unwrap().recv();
            Err(io::Error::other("no name"))
        });
        let ip: IpAddr = [10, 0, 0, 3].into();
        let storm = futures_util::future::join_all((0..20).map(|_| dns.name(ip)));
        let releasing = async {
            let waiting =
                || lock(&dns.book).running.get(&ip).map_or(0, watch::Sender::receiver_count);
            until(|| waiting() == 20).await;
            drop(release);
        };
        let (names, ()) = tokio::join!(storm, releasing);
        assert_eq!(names, vec![None; 20]);
        assert_eq!(dns.name(ip).await, None);
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn tls_a_reverse_lookup_that_found_no_thread_in_time_is_no_failure() {
        let dns = ReverseDns::new(|_| Ok("name".to_owned()));
        let all = u32::try_from(MOST_LOOKUPS).unwrap();
        let busy = Arc::clone(&dns.lookups).acquire_many_owned(all).await.unwrap();
        let ip: IpAddr = [10, 0, 0, 4].into();
        assert_eq!(dns.name(ip).await, None);
        // Nobody waits any more: it is not made later either.
        while !lock(&dns.book).running.is_empty() {
            tokio::task::yield_now().await;
        }
        assert!(lock(&dns.book).kept.is_empty());
        drop(busy);
        assert_eq!(dns.name(ip).await.unwrap(), "name");
    }

    #[tokio::test]
    async fn tls_reverse_lookups_of_many_addresses_take_bounded_memory() {
        let dns = ReverseDns::new(|_| Ok("name".to_owned()));
        let _busy = dns.lookups.acquire_many(u32::try_from(MOST_LOOKUPS).unwrap()).await.unwrap();
        let address = |n: usize| IpAddr::from(u32::try_from(n).unwrap().to_be_bytes());
        let now = Instant::now();
        let running: Vec<_> =
            (0..MOST_RUNNING).map(|n| dns.kept_or_running(address(n), now)).collect();
        assert!(running.iter().all(|lookup| matches!(lookup, Err(Some(_)))));
        assert_eq!(dns.name(address(MOST_RUNNING)).await, None);
        assert_eq!(lock(&dns.book).running.len(), MOST_RUNNING);
        for n in 0..MOST_KEPT + 10 {
            lock(&dns.book).keep(address(n), Some("name".to_owned()));
        }
        assert_eq!(lock(&dns.book).kept.len(), MOST_KEPT);
    }
}
