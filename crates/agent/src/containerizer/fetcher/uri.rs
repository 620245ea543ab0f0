//! What a URI of a command means.

use std::path::{Path, PathBuf};

use ::http::Uri as HttpUri;

/// Where a file comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A file of the machine, absolute.
    File(PathBuf),
    /// A server.
    Http(Remote),
}

/// A file on a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Remote {
    pub(super) encrypted: bool,
    pub(super) host: String,
    pub(super) port: u16,
    /// Path and query.
    pub(super) target: String,
}

/// Why a URI cannot be fetched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum UriError {
    #[error("the scheme of '{0}' is not supported: only file, http and https are")]
    Scheme(String),
    #[error("'{0}' is a relative path")]
    Relative(String),
    #[error("'{0}' is not a URI")]
    Form(String),
    #[error("a URI with a user name or password is not supported")]
    Credentials,
    #[error("'{0}' leads from https to http")]
    Downgrade(String),
}

impl Source {
    pub(super) fn parse(text: &str) -> Result<Self, UriError> {
        let text = text.trim();
        if let Some(path) = text.strip_prefix("file://") {
            let path = path.strip_prefix("localhost").unwrap_or(path);
            if !path.starts_with('/') {
                return Err(UriError::Relative(text.to_owned()));
            }
            return Ok(Self::File(PathBuf::from(path)));
        }
        match text.split_once("://") {
            Some(("http" | "https", _)) => Remote::parse(text).map(Self::Http),
            Some(_) => Err(UriError::Scheme(text.to_owned())),
            None if Path::new(text).is_absolute() => Ok(Self::File(PathBuf::from(text))),
            None => Err(UriError::Relative(text.to_owned())),
        }
    }
}

impl Remote {
    fn parse(text: &str) -> Result<Self, UriError> {
        let form = || UriError::Form(text.to_owned());
        let uri: HttpUri = text.parse().map_err(|_| form())?;
        let authority = uri.authority().ok_or_else(form)?;
        if authority.as_str().contains('@') {
            return Err(UriError::Credentials);
        }
        let encrypted = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(UriError::Scheme(text.to_owned())),
        };
        let after_host = authority.as_str().strip_prefix(authority.host()).ok_or_else(form)?;
        let port = match (after_host, encrypted) {
            ("", true) => 443,
            ("", false) => 80,
            _ => authority.port_u16().ok_or_else(form)?,
        };
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        if host.is_empty() || port == 0 {
            return Err(form());
        }
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        let target = if target.is_empty() { "/" } else { target };
        Ok(Self { encrypted, host: host.to_owned(), port, target: target.to_owned() })
    }

    /// Where a `Location` in the answer of this server leads. Never from an encrypted
    /// connection to one that is not, and never to the machine's own files.
    pub(super) fn redirected(&self, location: &str) -> Result<Self, UriError> {
        let scheme = if self.encrypted { "https" } else { "http" };
        let next = if location.contains("://") {
            Self::parse(location)?
        } else if let Some(rest) = location.strip_prefix("//") {
            Self::parse(&format!("{scheme}://{rest}"))?
        } else {
            let target = if location.starts_with('/') {
                location.to_owned()
            } else {
                let path = self.target.split('?').next().unwrap_or("/");
                let directory = &path[..=path.rfind('/').unwrap_or(0)];
                format!("{directory}{location}")
            };
            let target = target.split('#').next().unwrap_or("/").to_owned();
            Self { target, ..self.clone() }
        };
        if self.encrypted && !next.encrypted {
            return Err(UriError::Downgrade(location.to_owned()));
        }
        Ok(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remote(text: &str) -> Remote {
        match Source::parse(text) {
            Ok(Source::Http(remote)) => remote,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn files_of_the_machine_are_absolute() {
        let file = |path: &str| Ok(Source::File(path.into()));
        assert_eq!(Source::parse("file:///a/b c"), file("/a/b c"));
        assert_eq!(Source::parse("file://localhost/a"), file("/a"));
        assert_eq!(Source::parse("/a/b"), file("/a/b"));
        assert_eq!(Source::parse("  /a/b\n"), file("/a/b"));
        for text in ["a/b", "file://a/b", ""] {
            assert!(matches!(Source::parse(text), Err(UriError::Relative(_))), "{text}");
        }
    }

    #[test]
    fn servers_have_a_host_and_a_port() {
        let expected = Remote {
            encrypted: true,
            host: "example.test".into(),
            port: 443,
            target: "/a/b?c=d".into(),
        };
        assert_eq!(remote("https://example.test/a/b?c=d"), expected);
        assert_eq!(remote("http://example.test").target, "/");
        assert_eq!(remote("http://[::1]:8080/").host, "::1");
        assert_eq!(remote("http://[::1]:8080/").port, 8080);
        for text in ["http://", "http://h:0/", "http://h:99999/", "https://h:/x", "http://h h/"] {
            assert!(Source::parse(text).is_err(), "{text}");
        }
        assert_eq!(Source::parse("http://user:pw@h/"), Err(UriError::Credentials));
        assert!(matches!(Source::parse("hdfs://h/x"), Err(UriError::Scheme(_))));
        assert!(matches!(Source::parse("ftp://h/x"), Err(UriError::Scheme(_))));
    }

    #[test]
    fn a_redirection_stays_encrypted_and_on_the_net() {
        let from = remote("https://a.test/x/y?z");
        assert_eq!(from.redirected("/w").unwrap(), remote("https://a.test/w"));
        assert_eq!(from.redirected("w#f").unwrap(), remote("https://a.test/x/w"));
        assert_eq!(from.redirected("//b.test/w").unwrap(), remote("https://b.test/w"));
        assert_eq!(from.redirected("https://b.test/").unwrap(), remote("https://b.test/"));
        assert!(matches!(from.redirected("http://a.test/w"), Err(UriError::Downgrade(_))));
        for location in ["file:///etc/passwd", "ftp://a.test/"] {
            assert!(from.redirected(location).is_err(), "{location}");
        }
        let plain = remote("http://a.test/x");
        assert_eq!(plain.redirected("https://a.test/x").unwrap(), remote("https://a.test/x"));
    }
}
