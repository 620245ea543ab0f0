//! Where clients need a certificate, and how one becomes a principal.

use super::{CLIENT_CERTS, Resolving, Verification};
use crate::clients::{ClientCertificates, DOORS, Demand, MESSAGES};
use crate::error::PolicyError;
use crate::notice::Notice;
use crate::principal::PrincipalRules;
use crate::settings::{Naming, Said};

impl Resolving<'_> {
    pub(super) fn client_certificates(
        &mut self,
        verification: &Verification,
    ) -> Option<ClientCertificates> {
        let required = verification.clients.as_deref();
        let said = self.settings.client_certs.as_ref();
        let certificates = match said {
            None => ClientCertificates::everywhere(match required {
                Some(_) => Demand::Required,
                None => Demand::None,
            }),
            Some(said) => self.doors(said, required)?,
        };
        if certificates.asked() && !self.support.required_client_certificates {
            let variable = required.map(ToOwned::to_owned).or(said.map(|s| s.variable.clone()));
            let what = "clients without a verified certificate must be turned away";
            self.errors.extend(variable.map(|v| PolicyError::NotHonoured { variable: v, what }));
        }
        Some(certificates)
    }

    /// Reads the demands. With `required` all doors demand, and each exception is said by name.
    pub(super) fn doors(
        &mut self,
        said: &Said<String>,
        required: Option<&str>,
    ) -> Option<ClientCertificates> {
        let variable = &said.variable;
        let (otherwise, doors) = match ClientCertificates::parse(&said.value) {
            Ok(read) => read,
            Err(problem) => {
                self.text_error(variable, problem);
                return None;
            }
        };
        if let (Some(by), Some(Demand::None | Demand::Optional)) = (required, otherwise) {
            self.errors.push(PolicyError::Contradiction {
                variable: variable.clone(),
                other: by.to_owned(),
                reason: "what is demanded everywhere is waived at single doors, by their names",
            });
            return None;
        }
        let silence = if required.is_some() { Demand::Required } else { Demand::None };
        let certificates = ClientCertificates { otherwise: otherwise.unwrap_or(silence), doors };
        // If nobody is asked anywhere, that is what is told.
        if !certificates.asked() && required.is_none() {
            return Some(certificates);
        }
        let open: Vec<_> = DOORS
            .iter()
            .copied()
            .filter(|door| certificates.at(door) != Demand::Required)
            .collect();
        if self.settings.naming == Naming::Alcazar && open.contains(&MESSAGES) {
            let reason = "what is said in the name of a component would be believed of anybody";
            self.errors.push(match required {
                Some(by) => PolicyError::Contradiction {
                    variable: variable.clone(),
                    other: by.to_owned(),
                    reason,
                },
                None => PolicyError::Unprotected {
                    variable: CLIENT_CERTS,
                    consequence: "`messages` demands no certificate: what is said in the name of \
                                  a component would be believed of anybody",
                },
            });
        }
        if !open.is_empty() {
            let consequence =
                format!("whoever connects comes in without a certificate at: {}", open.join(", "));
            self.weak(variable, consequence);
        }
        Some(certificates)
    }

    pub(super) fn principals(&mut self, clients_asked: bool) -> Option<PrincipalRules> {
        let Some(said) = &self.settings.principal_rules else {
            return Some(match self.settings.naming {
                Naming::Alcazar => PrincipalRules::default(),
                // The original makes no principal of a certificate, and refuses frameworks whose
                // principal is another one than the authenticated.
                Naming::Mesos => PrincipalRules(Vec::new()),
            });
        };
        if !clients_asked {
            let variable = said.variable.clone();
            let reason = "clients are not asked for certificates";
            self.notices.push(Notice::Ignored { variable, reason });
        }
        match PrincipalRules::parse(&said.value) {
            Ok(rules) => Some(rules),
            Err(problem) => {
                self.text_error(&said.variable, problem);
                None
            }
        }
    }
}
