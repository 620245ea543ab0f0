//! Which cipher suites and groups are offered.

use super::Resolving;
use crate::error::PolicyError;
use crate::notice::Notice;
use crate::policy::{Profile, Suites, Versions};
use crate::settings::Said;

/// The elements of an OpenSSL cipher string.
pub(crate) fn elements(string: &str) -> impl Iterator<Item = &str> {
    string.split([':', ',', ';', ' ']).filter(|element| !element.is_empty())
}

/// Whether an element removes or orders suites, or is no suite at all.
pub(crate) fn is_operator(element: &str) -> bool {
    element.starts_with(['!', '-', '+', '@'])
}

impl Resolving<'_> {
    pub(super) fn suites(&mut self, versions: Option<&Versions>) -> Suites {
        let obsolete = versions.is_some_and(|v| v.tls10 || v.tls11);
        let silence = match self.profile() {
            _ if obsolete => Suites::Obsolete,
            Profile::Mesos => Suites::Compatible,
            Profile::Intermediate | Profile::Modern => Suites::Modern,
        };
        if let (Some((Profile::Mesos, variable)), crate::Naming::Alcazar) =
            (self.profile.clone(), self.settings.naming)
        {
            let consequence = "suites without forward secrecy are offered last, for stock peers: \
                               whoever gets the key later reads what was recorded";
            self.weak(&variable, consequence);
        }
        let Some(said) = &self.settings.ciphers else { return silence };
        let variable = &said.variable;
        self.printable(said);
        if versions.is_some_and(|v| !(v.tls12 || v.tls11 || v.tls10)) {
            let reason = "only TLS 1.3 is spoken, and its suites are the library's";
            self.notices.push(Notice::Ignored { variable: variable.clone(), reason });
            return silence;
        }
        let mut kept = Vec::new();
        let (mut selects, mut lowered) = (false, false);
        for element in elements(&said.value) {
            if let Some(level) = element.strip_prefix("@SECLEVEL=") {
                if self.strict() {
                    let (variable, element) = (variable.clone(), element.to_owned());
                    let reason = "is not left to the list in the profile";
                    self.notices.push(Notice::Dropped { variable, element, reason });
                    continue;
                }
                lowered |= lowers(level);
                kept.push(element);
            } else if is_operator(element) {
                kept.push(element);
            } else if let Some(reason) = self.unusable(element) {
                let (variable, element) = (variable.clone(), element.to_owned());
                self.notices.push(Notice::Dropped { variable, element, reason });
            } else {
                selects = true;
                kept.push(element);
            }
        }
        if !selects {
            self.errors.push(PolicyError::NoSuite { variable: variable.clone() });
        }
        if kept.iter().copied().any(proves_or_hides_nothing) {
            self.weak(variable, "it allows suites without encryption or authentication");
        }
        if lowered {
            let consequence = "it lowers the security level of the library: short keys and \
                               broken hashes are believed";
            self.weak(variable, consequence);
        }
        Suites::Named(kept.join(":"))
    }

    /// Whether a profile was asked for that says which suites there are.
    fn strict(&self) -> bool {
        matches!(self.profile, Some((Profile::Intermediate | Profile::Modern, _)))
    }

    fn unusable(&self, element: &str) -> Option<&'static str> {
        if element.contains("-DSS-") {
            return Some("needs a DSA key, and nobody here has one");
        }
        let strict = self.strict();
        let outside = !elements(Suites::Modern.openssl_string()).any(|suite| suite == element);
        (strict && outside).then_some("is not among those of the profile")
    }

    /// The library takes these texts as C has them.
    fn printable(&mut self, said: &Said<String>) {
        if said.value.contains(char::is_control) {
            self.text_error(&said.variable, "holds a line break or another control character");
        }
    }

    pub(super) fn groups(&mut self) -> Option<String> {
        let said = self.settings.ecdh_curves.as_ref()?;
        self.printable(said);
        if said.value.trim().is_empty() {
            self.errors.push(PolicyError::Value {
                variable: said.variable.clone(),
                value: said.value.clone(),
                expected: "`auto`, or groups separated by colons",
            });
        }
        (said.value != "auto").then(|| said.value.clone())
    }
}

/// Whether a security level is below what OpenSSL has by default today.
pub(crate) fn lowers(level: &str) -> bool {
    level.parse::<u32>().map_or(true, |level| level < 2)
}

/// Whether an element of a cipher string adds suites with no encryption or no authentication.
pub(crate) fn proves_or_hides_nothing(element: &str) -> bool {
    !element.starts_with(['!', '-'])
        && ["NULL", "ADH", "AECDH", "COMPLEMENTOFALL"].iter().any(|bad| element.contains(bad))
}
