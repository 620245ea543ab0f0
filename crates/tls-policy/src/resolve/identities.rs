//! The posture of our own commands, with the settings that fit it.

use super::{Resolved, Resolving, is_off, is_on};
use crate::clients::{ClientCertificates, Demand};
use crate::error::{PolicyError, PolicyErrors};
use crate::policy::{
    IdentityRules, Inbound, MaterialPair, Outbound, PlaintextPeers, TlsPolicy, TlsRules,
};
use crate::settings::TlsSettings;
use crate::support::CryptoSupport;

/// A component's own identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnIdentity {
    /// Our certificate and its key.
    pub materials: MaterialPair,
    /// Whom to believe.
    pub rules: IdentityRules,
    /// The setting that gave it, for messages: `--tls_certificate`.
    pub said_by: &'static str,
}

/// [`TlsPolicy::identities`] with what else was said: profile, versions, suites, revocation,
/// passphrase, a second leaf, exceptions at single doors. What belongs to the original's kind of
/// TLS contradicts it.
pub fn resolve_identities(
    settings: &TlsSettings,
    own: &OwnIdentity,
    support: &CryptoSupport,
) -> Result<Resolved, PolicyErrors> {
    let mut resolving = Resolving::new(settings, support);
    let policy = resolving.identities(own).map(TlsPolicy::Tls);
    resolving.resolved(policy)
}

impl Resolving<'_> {
    fn identities(&mut self, own: &OwnIdentity) -> Option<TlsRules> {
        self.contradictions(own);
        let client_certificates = match &self.settings.client_certs {
            None => Some(ClientCertificates::everywhere(Demand::Required)),
            Some(said) => self.doors(said, Some(own.said_by)),
        };
        let more = self.more_materials();
        let materials = self.locked(own.materials.clone(), more);
        let revocation = self.revocation(true);
        let versions = self.versions();
        let suites = self.suites(versions.as_ref());
        let groups = self.groups();
        let principals = self.principals(true);
        let reload = self.reload();
        Some(TlsRules {
            inbound: Inbound::ComponentIdentity(own.rules.clone()),
            outbound: Outbound::ComponentIdentity(own.rules.clone()),
            client_certificates: client_certificates?,
            principals: principals?,
            revocation,
            reload: reload?,
            plaintext_peers: PlaintextPeers::Refused,
            profile: self.profile(),
            versions: versions?,
            suites,
            groups,
            materials,
        })
    }

    fn contradictions(&mut self, own: &OwnIdentity) {
        let s = self.settings;
        let paths = [&s.ca_dir, &s.ca_file, &s.cert_file, &s.key_file];
        let names = [s.hostname_validation_scheme.as_ref().map(|s| &s.variable)];
        let others = [
            s.verify_ipadd.as_ref().map(|s| &s.variable),
            s.verification_depth.as_ref().map(|s| &s.variable),
        ];
        let other_kind = (paths.into_iter().flatten().map(|s| &s.variable))
            .chain(names.into_iter().flatten())
            .chain(others.into_iter().flatten())
            .map(|v| (v, "identities of the cluster take the place of roots and names"));
        let weaker = [&s.enabled, &s.verify_cert, &s.verify_server_cert]
            .into_iter()
            .chain([&s.require_cert, &s.require_client_cert])
            .filter(|said| is_off(said))
            .chain([&s.support_downgrade].into_iter().filter(|said| is_on(said)))
            .flatten()
            .map(|said| (&said.variable, "identities are always checked, both ways"));
        for (variable, reason) in other_kind.chain(weaker) {
            self.errors.push(PolicyError::Contradiction {
                variable: variable.clone(),
                other: own.said_by.to_owned(),
                reason,
            });
        }
    }
}
