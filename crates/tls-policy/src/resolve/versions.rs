//! Which versions of the protocol may be negotiated.

use super::Resolving;
use crate::error::PolicyError;
use crate::notice::Notice;
use crate::policy::{Profile, Version, Versions};
use crate::settings::Said;

impl Resolving<'_> {
    pub(super) fn versions(&mut self) -> Option<Versions> {
        let s = self.settings;
        if let Some(Said { value: true, variable }) = &s.enable_ssl_v3 {
            let reason = "no current TLS library speaks SSL 3.0, and it is broken";
            self.notices.push(Notice::Ignored { variable: variable.clone(), reason });
        }
        let versions = Versions {
            tls10: self.obsolete(
                Version::Tls10,
                &s.enable_tls_v1_0,
                "TLS 1.0 is obsolete: its ciphers and hashes are, and they are allowed again for \
                 this program's connections",
            ),
            tls11: self.obsolete(
                Version::Tls11,
                &s.enable_tls_v1_1,
                "TLS 1.1 is obsolete: its ciphers and hashes are, and they are allowed again for \
                 this program's connections",
            ),
            tls12: self.tls12(),
            // Silence means yes: the original has 1.3 off because its executors could not
            // reconnect.
            tls13: s.enable_tls_v1_3.as_ref().is_none_or(|s| s.value)
                && self.support.speaks(Version::Tls13),
        };
        if versions == (Versions { tls10: false, tls11: false, tls12: false, tls13: false }) {
            self.errors.push(PolicyError::NoVersion);
            return None;
        }
        Some(versions)
    }

    fn obsolete(
        &mut self,
        version: Version,
        said: &Option<Said<bool>>,
        consequence: &'static str,
    ) -> bool {
        let Some(Said { value: true, variable }) = said else { return false };
        if !self.support.speaks(version) {
            let reason = "the TLS library does not speak it any more";
            self.notices.push(Notice::Ignored { variable: variable.clone(), reason });
            return false;
        }
        if self.profile() != Profile::Mesos
            && self.excluded(variable, "the profile speaks no version before TLS 1.2")
        {
            return false;
        }
        self.weak(variable, consequence);
        true
    }

    fn tls12(&mut self) -> bool {
        let said = self.settings.enable_tls_v1_2.as_ref();
        let modern = self.profile() == Profile::Modern;
        if let Some(Said { value: true, variable }) = said
            && modern
            && self.excluded(variable, "the profile `modern` speaks TLS 1.3 only")
        {
            return false;
        }
        said.map_or(!modern, |s| s.value) && self.support.speaks(Version::Tls12)
    }
}
