//! What an attacker on the network could still do, and the one line that ends it.

use std::borrow::Cow;
use std::fmt;

use crate::clients::{DOORS, Demand};
use crate::notice::Notice;
use crate::policy::{
    Inbound, NameCheck, Outbound, PlaintextPeers, Suites, TlsPolicy, TlsRules, TrustAnchors,
    WhyPlaintext,
};
use crate::posture::Posture;
use crate::resolve::suites::{elements, lowers, proves_or_hides_nothing};

/// What is to be said about a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnosis {
    /// Its name.
    pub posture: Posture,
    /// What somebody could do who can reach the port, listen, or change what is sent, and who has
    /// no key of ours. The worst first.
    pub holes: Vec<Finding>,
    /// What remains to somebody who has more than the network: a key, another component.
    pub remarks: Vec<Finding>,
    /// What the settings themselves were told.
    pub notices: Vec<String>,
}

/// One thing that could happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// A word that stays the same, for scripts.
    pub id: &'static str,
    /// What the attacker could do: a sentence.
    pub what: Cow<'static, str>,
    /// What ends it.
    pub closed_by: Line,
}

/// One line in an environment (or one flag).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// A flag to leave out.
    Remove(String),
    /// A variable to set.
    Set {
        /// The variable.
        variable: &'static str,
        /// Its value; in angle brackets what only the operator can fill in.
        value: Cow<'static, str>,
    },
    /// A flag of our own commands, which has no variable.
    Use(&'static str),
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Remove(flag) => write!(f, "leave out {flag}"),
            Self::Set { variable, value } => write!(f, "{variable}={value}"),
            Self::Use(flag) => f.write_str(flag),
        }
    }
}

const fn set(variable: &'static str, value: &'static str) -> Line {
    Line::Set { variable, value: Cow::Borrowed(value) }
}

/// The line after which all suites keep the past secret. Where suites are named, others are: a
/// profile might leave none of those.
fn better_suites(suites: &Suites) -> Line {
    match suites {
        Suites::Named(_) => Line::Set {
            variable: "LIBPROCESS_SSL_CIPHERS",
            value: Suites::Modern.openssl_string().to_owned().into(),
        },
        Suites::Compatible | Suites::Modern | Suites::Obsolete => {
            set("LIBPROCESS_SSL_PROFILE", "intermediate")
        }
    }
}

/// Says what `policy` is and what it leaves open. `notices` are those that came with it.
#[must_use]
pub fn diagnose(policy: &TlsPolicy, notices: &[Notice]) -> Diagnosis {
    let mut diagnosis = Diagnosis {
        posture: policy.posture(),
        holes: Vec::new(),
        remarks: Vec::new(),
        notices: notices.iter().map(ToString::to_string).collect(),
    };
    match policy {
        TlsPolicy::Plaintext(why) => diagnosis.plaintext(why),
        TlsPolicy::Tls(rules) => diagnosis.tls(rules),
    }
    diagnosis
}

impl Diagnosis {
    fn hole(&mut self, id: &'static str, what: impl Into<Cow<'static, str>>, closed_by: Line) {
        self.holes.push(Finding { id, what: what.into(), closed_by });
    }

    fn remark(&mut self, id: &'static str, what: impl Into<Cow<'static, str>>, closed_by: Line) {
        self.remarks.push(Finding { id, what: what.into(), closed_by });
    }

    fn plaintext(&mut self, why: &WhyPlaintext) {
        let closed_by = match why {
            WhyPlaintext::Asked(danger) => Line::Remove(danger.setting().to_owned()),
            WhyPlaintext::NotEnabled(_) => set("LIBPROCESS_SSL_ENABLED", "true"),
        };
        let what = "Read everything that is sent, change it, and speak to every component in the \
                    name of every other: start and kill tasks, read their files and secrets.";
        self.hole("plaintext", what, closed_by);
    }

    fn tls(&mut self, rules: &TlsRules) {
        if let PlaintextPeers::Accepted(_) = rules.plaintext_peers {
            let what = "Speak without TLS and be served, and make two components speak plaintext \
                        by spoiling their handshakes: then read, change and forge all they say.";
            self.hole("downgrade", what, set("LIBPROCESS_SSL_SUPPORT_DOWNGRADE", "false"));
        }
        self.clients(rules);
        self.servers(rules);
        self.names(rules);
        self.protocol(rules);
        if rules.revocation.is_none() && !matches!(rules.outbound, Outbound::Unverified(_)) {
            let what = "Whoever steals a key is believed until its certificate ends: no \
                        revocation list is looked at.";
            self.remark("no-revocation", what, set("LIBPROCESS_SSL_CRL_FILE", "<file>"));
        }
        if let (Inbound::ClientCertificate(..), true) =
            (&rules.inbound, rules.client_certificates.guards_changes())
        {
            let what = "Whoever has any certificate that the roots vouch for can speak as any \
                        component: certificates say nothing about which one it is.";
            let closed_by = Line::Use(
                "alcazar master|agent --tls-certificate=<file> --tls-key=<file> \
                 --tls-trust-bundle=<file>",
            );
            self.remark("any-certificate", what, closed_by);
        }
    }

    fn clients(&mut self, rules: &TlsRules) {
        let open: Vec<_> = DOORS
            .iter()
            .copied()
            .filter(|door| rules.client_certificates.at(door) != Demand::Required)
            .collect();
        if let Inbound::AnyClient(danger) = &rules.inbound {
            // A demand of nothing at all stands in the way of the switch.
            let line = match danger.setting() {
                "LIBPROCESS_SSL_CLIENT_CERTS" => set("LIBPROCESS_SSL_CLIENT_CERTS", "required"),
                _ => set("LIBPROCESS_SSL_REQUIRE_CLIENT_CERT", "true"),
            };
            let what = "Connect as whatever component or client they like: nobody who connects \
                        has to prove anything, but for the address that messages come from.";
            self.hole("clients-unverified", what, line);
        } else if !open.is_empty() {
            let what = format!("Come in without a certificate at: {}.", open.join(", "));
            self.hole("open-doors", what, set("LIBPROCESS_SSL_CLIENT_CERTS", "required"));
        }
        if let Inbound::ClientCertificate(chain, _) = &rules.inbound
            && chain.anchors == TrustAnchors::System
        {
            let what = "Come in with a certificate that any public authority sells them: the \
                        system's roots are believed.";
            self.hole("public-roots", what, set("LIBPROCESS_SSL_CA_FILE", "<file>"));
        }
    }

    fn servers(&mut self, rules: &TlsRules) {
        if let Outbound::Unverified(_) = rules.outbound {
            let what = "Stand in between and pose as the master, an agent or anybody else that \
                        we connect to: any certificate will do.";
            let line = set("LIBPROCESS_SSL_VERIFY_SERVER_CERT", "true");
            self.hole("servers-unverified", what, line);
        }
    }

    fn names(&mut self, rules: &TlsRules) {
        let of_clients = match &rules.inbound {
            Inbound::ClientCertificate(_, check) => Some(*check),
            Inbound::AnyClient(_) | Inbound::ComponentIdentity(_) => None,
        };
        let of_servers = match &rules.outbound {
            Outbound::Verified(_, check) => Some(*check),
            Outbound::ComponentIdentity(_) | Outbound::Unverified(_) => None,
        };
        let scheme = set("LIBPROCESS_SSL_HOSTNAME_VALIDATION_SCHEME", "openssl");
        match (of_servers, of_clients) {
            (Some(NameCheck::ReverseDns { .. }), _) | (_, Some(NameCheck::ReverseDns { .. })) => {
                let what = "Answer our reverse lookups, which nobody protects, and so decide \
                            under which name a certificate is accepted. (Components dial addresses: after \
                            this line they need LIBPROCESS_SSL_VERIFY_IPADD=true and certificates \
                            with their addresses.)";
                self.hole("reverse-dns", what, scheme);
            }
            (Some(NameCheck::ChainOnly), _) => {
                let what = "Pose as a server with any certificate that the roots vouch for: its \
                            name is not compared.";
                self.hole("no-names", what, scheme);
            }
            _ => {}
        }
    }

    fn protocol(&mut self, rules: &TlsRules) {
        for (on, name, variable) in [
            (rules.versions.tls10, "TLS 1.0", "LIBPROCESS_SSL_ENABLE_TLS_V1_0"),
            (rules.versions.tls11, "TLS 1.1", "LIBPROCESS_SSL_ENABLE_TLS_V1_1"),
        ] {
            if on {
                let what = format!(
                    "Work on connections of {name}, whose hashes and ciphers are broken bit by \
                     bit: peers that know nothing better may use it."
                );
                self.hole("obsolete-version", what, set(variable, "false"));
            }
        }
        let before_13 = rules.versions.tls10 || rules.versions.tls11 || rules.versions.tls12;
        if !before_13 {
            return;
        }
        if let Suites::Named(string) = &rules.suites
            && elements(string).any(proves_or_hides_nothing)
        {
            let what = "Read what is sent, or stand in between: suites without encryption or \
                        without authentication are allowed.";
            self.hole("null-suites", what, better_suites(&rules.suites));
        }
        if let Suites::Named(string) = &rules.suites
            && elements(string).filter_map(|e| e.strip_prefix("@SECLEVEL=")).any(lowers)
        {
            let what = "Forge certificates or break into connections: short keys and broken \
                        hashes are believed.";
            self.hole("lowered-security", what, better_suites(&rules.suites));
        }
        let recorded = match &rules.suites {
            Suites::Compatible | Suites::Obsolete => true,
            Suites::Modern => false,
            // What a word for several suites selects only the library knows: no promise.
            Suites::Named(string) => elements(string)
                .filter(|element| !crate::resolve::suites::is_operator(element))
                .any(|element| !element.starts_with("ECDHE-") && !element.starts_with("DHE-")),
        };
        if recorded {
            let what = "Whoever records connections of peers that know nothing better (suites \
                        without forward secrecy) and gets our RSA key later reads them.";
            self.remark("no-forward-secrecy", what, better_suites(&rules.suites));
        }
    }
}
