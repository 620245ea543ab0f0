//! How names are checked.

use super::{Resolving, is_on};
use crate::error::PolicyError;
use crate::notice::Notice;
use crate::policy::{NameCheck, Profile};
use crate::settings::{Naming, Said};

const SCHEME: &str = "LIBPROCESS_SSL_HOSTNAME_VALIDATION_SCHEME";

impl NameCheck {
    /// What becomes of the check where a client's certificate is verified.
    pub(super) fn of_clients(self) -> Self {
        match self {
            Self::ReverseDns { ip } => Self::ReverseDns { ip },
            // Nobody dialled a client: the scheme `openssl` checks no name of it.
            Self::ChainOnly | Self::Dialled { .. } => Self::ChainOnly,
        }
    }
}

impl Resolving<'_> {
    /// The check of a server's name, after the scheme.
    pub(super) fn names(&mut self, servers: bool, anybody: bool) -> Option<NameCheck> {
        let s = self.settings;
        let scheme = s.hostname_validation_scheme.as_ref();
        if !anybody {
            let ip = s.verify_ipadd.as_ref().filter(|s| s.value).map(|s| &s.variable);
            for variable in scheme.map(|s| &s.variable).into_iter().chain(ip).cloned() {
                self.notices.push(Notice::Ignored { variable, reason: "nobody is verified" });
            }
        }
        let silence = match s.naming {
            // What reverse lookups say is the word of whoever answers them.
            Naming::Alcazar => "openssl",
            Naming::Mesos => "legacy",
        };
        let legacy = match scheme.map_or(silence, |s| s.value.as_str()) {
            "legacy" if self.profile() == Profile::Modern => {
                let variable = scheme.map_or(SCHEME, |s| &s.variable).to_owned();
                let reason = "the profile `modern` asks no DNS who somebody is: names are \
                              checked by the scheme `openssl`";
                self.notices.push(Notice::Ignored { variable, reason });
                false
            }
            "legacy" => true,
            "openssl" => false,
            _ => {
                self.errors.extend(scheme.map(|s| PolicyError::Value {
                    variable: s.variable.clone(),
                    value: s.value.clone(),
                    expected: "`legacy` or `openssl`",
                }));
                return None;
            }
        };
        // Components are dialled by their addresses: under our own names an address that was
        // dialled is compared like a name, unless somebody says no.
        let ip = match (s.naming, legacy) {
            (Naming::Alcazar, false) => !matches!(s.verify_ipadd, Some(Said { value: false, .. })),
            (Naming::Alcazar, true) | (Naming::Mesos, _) => is_on(&s.verify_ipadd),
        };
        let (check, honoured, what) = if legacy {
            let what = "names must be checked by the scheme `legacy` (by looking up addresses)";
            (NameCheck::ReverseDns { ip }, self.support.reverse_dns_names, what)
        } else {
            let what = "names must be checked by the scheme `openssl`";
            (NameCheck::Dialled { ip }, self.support.dialled_names, what)
        };
        if servers && !honoured {
            let variable = scheme.map_or(SCHEME, |s| &s.variable).to_owned();
            self.errors.push(PolicyError::NotHonoured { variable, what });
        }
        if servers && check == (NameCheck::Dialled { ip: false }) {
            let setting = "LIBPROCESS_SSL_VERIFY_IPADD";
            let consequence = "components are dialled by their addresses, and with the scheme \
                               `openssl` each such connection fails";
            self.notices.push(Notice::Impractical { setting, consequence });
        }
        Some(check)
    }
}
