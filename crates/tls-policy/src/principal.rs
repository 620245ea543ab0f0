//! From the names in a verified certificate to a principal.

/// The names in a certificate whose chain has been verified.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateNames {
    /// URI SANs, in the order of the certificate.
    pub uris: Vec<String>,
    /// DNS SANs, likewise.
    pub dns: Vec<String>,
    /// Common names of the subject, likewise.
    pub common_names: Vec<String>,
}

/// By which rules a verified certificate becomes a principal: the first that fits decides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrincipalRules(pub Vec<PrincipalRule>);

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrincipalRule {
    /// Which names are looked at.
    pub source: NameSource,
    /// What a name must look like: text with at most one `*`. `None`: anything. The principal is
    /// what the star stands for, the whole name if there is none.
    pub pattern: Option<String>,
}

/// Names of one sort.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NameSource {
    /// URI SANs.
    Uri,
    /// DNS SANs.
    Dns,
    /// Common names of the subject.
    CommonName,
}

impl Default for PrincipalRules {
    /// URI SAN, then DNS SAN, then common name, each whole.
    fn default() -> Self {
        let rule = |source| PrincipalRule { source, pattern: None };
        Self([NameSource::Uri, NameSource::Dns, NameSource::CommonName].map(rule).into())
    }
}

impl PrincipalRules {
    /// Reads `uri:spiffe://d/framework/*,dns:*.example.com,cn`. The error is a sentence for
    /// people.
    pub fn parse(text: &str) -> Result<Self, String> {
        text.split(',')
            .map(|rule| PrincipalRule::parse(rule.trim()))
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// The principal of a certificate with these names. `None`: no rule fits. A rule fits only if
    /// exactly one name matches it: a certificate with two could be two principals, so it is none
    /// of them.
    #[must_use]
    pub fn principal(&self, names: &CertificateNames) -> Option<String> {
        for rule in &self.0 {
            let names = match rule.source {
                NameSource::Uri => &names.uris,
                NameSource::Dns => &names.dns,
                NameSource::CommonName => &names.common_names,
            };
            let mut fitting = names.iter().filter_map(|name| rule.apply(name));
            match (fitting.next(), fitting.next()) {
                (None, _) => {}
                (Some(principal), None) => return Some(principal.to_owned()),
                (Some(_), Some(_)) => return None,
            }
        }
        None
    }
}

impl PrincipalRule {
    fn parse(text: &str) -> Result<Self, String> {
        let (word, pattern) = match text.split_once(':') {
            Some((word, pattern)) => (word, Some(pattern)),
            None => (text, None),
        };
        let source = match word {
            "uri" => NameSource::Uri,
            "dns" => NameSource::Dns,
            "cn" => NameSource::CommonName,
            _ => {
                return Err(format!(
                    "`{text}` is not `uri`, `dns` or `cn`, alone or with `:` and a pattern"
                ));
            }
        };
        match pattern {
            Some("") => Err(format!("`{text}` has an empty pattern")),
            Some(pattern) if pattern.matches('*').count() > 1 => {
                Err(format!("`{pattern}` has more than one `*`"))
            }
            pattern => Ok(Self { source, pattern: pattern.map(ToOwned::to_owned) }),
        }
    }

    fn apply<'a>(&self, name: &'a str) -> Option<&'a str> {
        let Some(pattern) = &self.pattern else { return Some(name).filter(|n| !n.is_empty()) };
        match pattern.split_once('*') {
            None => (name == pattern).then_some(name),
            Some((before, after)) => {
                let rest = name.strip_prefix(before)?.strip_suffix(after)?;
                Some(rest).filter(|rest| !rest.is_empty())
            }
        }
    }
}
