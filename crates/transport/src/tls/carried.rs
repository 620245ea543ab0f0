//! Contexts of a client that has no files: an executor, which gets its trust by value.

use std::path::PathBuf;

use openssl::x509::X509;
use tls_policy::{
    ChainRules, ClientCertificates, DangerAccepted, Demand, IdentityRules, Inbound, MaterialPaths,
    Outbound, PlaintextPeers, PrincipalRules, Profile, Recognize, ServerTrust, TlsRules,
    TrustAnchors,
};

use super::contexts::Built;
use super::inputs::{Believed, Inputs, Judge};
use super::{Contexts, MaterialError, Offer, anchors};

impl Contexts {
    /// Contexts for connecting alone, without a certificate. With `follow` a peer that shows that
    /// it speaks no TLS is spoken to in plaintext; only for trust that verifies nobody anyway.
    pub fn carried(trust: &ServerTrust, follow: bool) -> Result<Self, MaterialError> {
        let by_value = || PathBuf::from("by value");
        let asked = |by: &str| DangerAccepted::asked_by(by);
        let (outbound, believed) = match &trust.recognize {
            Recognize::Plaintext | Recognize::Unverified => {
                (Outbound::Unverified(asked("the agent's rules")), None)
            }
            Recognize::Identity { roots, identity } => {
                let trust_domain = identity.trust_domain().clone();
                let believed = Believed::members(bundle(roots)?, trust_domain.clone());
                let rules = IdentityRules { trust_bundle: by_value(), trust_domain };
                (Outbound::ComponentIdentity(rules), Some(believed))
            }
            Recognize::Chain { roots, depth, names } => {
                let (roots, anchors) = match roots {
                    Some(pem) => {
                        let anchors = TrustAnchors::Files { file: Some(by_value()), dir: None };
                        (bundle(pem)?, anchors)
                    }
                    None => {
                        let roots = anchors::load(&TrustAnchors::System, &mut Vec::new());
                        (roots.map_err(MaterialError::System)?, TrustAnchors::System)
                    }
                };
                let believed = Believed { roots, depth: *depth, judge: Judge::Name(*names) };
                (Outbound::Verified(ChainRules { anchors, depth: *depth }, *names), Some(believed))
            }
        };
        let unverified = matches!(trust.recognize, Recognize::Plaintext | Recognize::Unverified);
        let follow = follow && unverified;
        let rules = TlsRules {
            inbound: Inbound::AnyClient(asked("no server")),
            outbound,
            client_certificates: ClientCertificates::everywhere(Demand::None),
            plaintext_peers: match follow {
                true => PlaintextPeers::Accepted(asked("the agent's rules")),
                false => PlaintextPeers::Refused,
            },
            versions: trust.versions,
            suites: trust.suites.clone(),
            groups: trust.groups.clone(),
            principals: PrincipalRules::default(),
            revocation: None,
            reload: None,
            profile: Profile::Mesos,
            materials: MaterialPaths { pairs: Vec::new() },
        };
        let inputs = Inputs {
            leaves: Vec::new(),
            inbound: None,
            outbound: believed,
            offer: Offer {
                tls10: trust.versions.tls10,
                tls11: trust.versions.tls11,
                tls12: trust.versions.tls12,
                tls13: trust.versions.tls13,
                suites: trust.suites.openssl_string().to_owned(),
                groups: trust.groups.clone(),
            },
            revocation: None,
            principals: rules.principals.clone(),
            notices: Vec::new(),
        };
        Ok(Self::with(rules, false, Built::new(inputs)?))
    }

    /// What a client needs to recognize us by the rules that we ourselves follow as a client.
    /// `None` where servers prove an identity and we have none.
    #[must_use]
    pub fn server_trust(&self) -> Option<ServerTrust> {
        let rules = self.rules();
        let recognize = match &rules.outbound {
            Outbound::Unverified(_) => Recognize::Unverified,
            Outbound::Verified(chain, names) => {
                let roots = match chain.anchors {
                    TrustAnchors::System => None,
                    TrustAnchors::Files { .. } => Some(self.roots_pem()),
                };
                Recognize::Chain { roots, depth: chain.depth, names: *names }
            }
            Outbound::ComponentIdentity(_) => {
                Recognize::Identity { roots: self.roots_pem(), identity: self.own_identity()? }
            }
        };
        Some(ServerTrust {
            recognize,
            versions: rules.versions,
            suites: rules.suites.clone(),
            groups: rules.groups.clone(),
        })
    }
}

fn bundle(pem: &[u8]) -> Result<Vec<X509>, MaterialError> {
    let roots = X509::stack_from_pem(pem).map_err(MaterialError::Roots)?;
    if roots.is_empty() { Err(MaterialError::NoRoots) } else { Ok(roots) }
}
