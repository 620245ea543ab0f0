//! The cluster's own CA and the certificates that `up` issues at each start.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use model::identity::{Identity, Kind, TrustDomain};
use model::time::Timestamp;
use pki::{LeafPaths, LeafRequest, Opened, Store};

/// The trust domain of a cluster that `up` makes. Each has a root of its own, so that one name
/// for all of them confuses nobody.
const TRUST_DOMAIN: &str = "alcazar.local";

/// The operator whom `up` gives a certificate.
const OPERATOR: &str = "local";

/// Where everybody's certificates are.
#[derive(Debug)]
pub(crate) struct Trust {
    store: Store,
    trust_domain: TrustDomain,
    ip: IpAddr,
    now: Timestamp,
    /// When the first of the certificates that were issued ends.
    first_end: Option<Duration>,
    /// Whether the authority is new.
    pub(crate) created: bool,
    /// What the user should know about.
    pub(crate) warnings: Vec<String>,
}

impl Trust {
    /// Opens the authority in `directory`, or makes one.
    pub(crate) fn open(directory: &Path, ip: IpAddr) -> anyhow::Result<Self> {
        let trust_domain = TrustDomain::new(TRUST_DOMAIN)?;
        let now = now()?;
        let (store, opened) = Store::open_or_create(directory, &trust_domain, now)?;
        let mut warnings = Vec::new();
        let left = store.authority().root_expires_in(now)?;
        if left < pki::EXPIRY_WARNING {
            warnings.push(format!(
                "the root certificate in {} ends in {}: certificates end with it",
                directory.display(),
                days(left)
            ));
        }
        let created = matches!(opened, Opened::Created);
        Ok(Self { store, trust_domain, ip, now, first_end: None, created, warnings })
    }

    /// The trust domain.
    pub(crate) fn trust_domain(&self) -> &TrustDomain {
        &self.trust_domain
    }

    /// The file with the root.
    pub(crate) fn ca(&self) -> PathBuf {
        self.store.trust_bundle()
    }

    /// Issues a certificate for a daemon, in the place of the one before.
    pub(crate) fn daemon(&mut self, kind: Kind, name: &str) -> anyhow::Result<LeafPaths> {
        let mut request = self.request(kind, name)?;
        request.ips.push(self.ip);
        if self.ip.is_loopback() {
            request.dns.push("localhost".to_owned());
        }
        self.issue(&request)
    }

    /// Issues a certificate for the operator.
    pub(crate) fn operator(&mut self) -> anyhow::Result<LeafPaths> {
        let request = self.request(Kind::Operator, OPERATOR)?;
        self.issue(&request)
    }

    fn request(&self, kind: Kind, name: &str) -> anyhow::Result<LeafRequest> {
        let identity = Identity::new(self.trust_domain.clone(), kind, name)?;
        Ok(LeafRequest::new(identity, self.now))
    }

    fn issue(&mut self, request: &LeafRequest) -> anyhow::Result<LeafPaths> {
        let paths = self.store.reissue(request)?;
        let pem = std::fs::read(&paths.certificate)
            .with_context(|| format!("cannot read {}", paths.certificate.display()))?;
        let left = pki::expires_in(&pem, self.now)?;
        let end = self.now.since_epoch() + left;
        self.first_end = Some(self.first_end.map_or(end, |first| first.min(end)));
        Ok(paths)
    }

    /// What to say at `now` if certificates end soon.
    pub(crate) fn expiry_warning(&self, now: Timestamp) -> Option<String> {
        let left = self.first_end?.saturating_sub(now.since_epoch());
        (left < pki::EXPIRY_WARNING).then(|| {
            format!("the certificates end in {}: start `alcazar up` again for new ones", days(left))
        })
    }
}

/// The wall clock.
pub(crate) fn now() -> anyhow::Result<Timestamp> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
    Ok(Timestamp::new(since))
}

/// A time in whole days.
pub(crate) fn days(time: Duration) -> String {
    match time.as_secs() / pki::DAY.as_secs() {
        1 => "1 day".to_owned(),
        n => format!("{n} days"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_are_new_at_each_start_and_the_authority_is_not() {
        let temp = tempfile::tempdir().unwrap();
        let pki = temp.path().join("pki");
        let ip: IpAddr = [127, 0, 0, 1].into();
        let start = || {
            let mut trust = Trust::open(&pki, ip).unwrap();
            let paths = trust.daemon(Kind::Agent, "agent-1").unwrap();
            let operator = trust.operator().unwrap();
            assert!(trust.warnings.is_empty(), "{:?}", trust.warnings);
            let after = |n: u32| Timestamp::new(now().unwrap().since_epoch() + pki::DAY * n);
            assert_eq!(trust.expiry_warning(after(75)), None);
            let warning = trust.expiry_warning(after(80)).unwrap();
            assert!(warning.contains("9 days") || warning.contains("10 days"), "{warning}");
            let read = |p: &Path| std::fs::read(p).unwrap();
            let files = crate::security::Files {
                ca: &trust.ca(),
                certificate: &operator.certificate,
                key: &operator.key,
            };
            let transport::tls::Security::Tls(contexts) =
                crate::security::identities(files).unwrap()
            else {
                panic!("not encrypted")
            };
            let own = contexts.own_identity().unwrap();
            assert_eq!(own.to_string(), "spiffe://alcazar.local/operator/local");
            (trust.created, read(&trust.ca()), read(&paths.certificate))
        };
        let (first, second) = (start(), start());
        assert!(first.0 && !second.0);
        assert_eq!(first.1, second.1);
        assert_ne!(first.2, second.2);
    }
}
