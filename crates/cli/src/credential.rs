//! Who the user of a command is, where a cluster asks for a secret.

use std::io::Read as _;
use std::path::Path;

use anyhow::Context as _;
use authn::http::BasicAuthenticatee;
use authn::secret::Secret;
use transport::client::Exposure;
use zeroize::Zeroizing;

use crate::args::Elsewhere;
use crate::exit::Failure;
use crate::printer::say;

/// The longest secret that is read.
const LONGEST: u64 = 64 * 1024;

/// What is known of the user.
#[derive(Debug)]
pub(crate) struct Known {
    pub(crate) principal: Option<String>,
    pub(crate) authenticatee: Option<BasicAuthenticatee>,
    pub(crate) exposure: Exposure,
}

/// What options and variables say.
pub(crate) fn of_client(told: &Elsewhere) -> anyhow::Result<Known> {
    of(told, &|name| std::env::var(name).ok().filter(|value| !value.is_empty()))
}

fn of(told: &Elsewhere, variable: &dyn Fn(&str) -> Option<String>) -> anyhow::Result<Known> {
    let usage = |text: &str| anyhow::Error::from(Failure::Usage(text.to_owned()));
    let principal = told.principal.clone().or_else(|| variable("DEFAULT_PRINCIPAL"));
    let said = told.secret.is_some() || told.secret_file.is_some();
    let secret = match (&told.secret, &told.secret_file) {
        (Some(secret), _) => {
            say("notice: whoever lists the processes of this machine can read --secret; \
                 --secret-file keeps it to itself");
            Some(secret.clone())
        }
        (None, Some(file)) => Some(read(file)?),
        // A variable that lies around belongs to the principal that lies around with it, or to
        // the one that was named.
        (None, None) => variable("DEFAULT_SECRET").map(|secret| Secret::from(&*secret)),
    };
    let exposure = match told.danger_expose_secret {
        true => Exposure::DangerAnybody,
        false => Exposure::Verified,
    };
    let plaintext = told.master.as_deref().is_some_and(|url| url.starts_with("http://"));
    let authenticatee = match (&principal, &secret) {
        (None, Some(_)) if said => return Err(usage("a secret is given, and no --principal")),
        (Some(principal), Some(secret)) => {
            if principal.contains(':') {
                return Err(usage("a principal with a colon cannot authenticate over HTTP"));
            }
            if (plaintext || told.danger_unverified) && exposure == Exposure::Verified {
                return Err(usage(
                    "the secret is not sent where anybody could read it, in plaintext or to a \
                     master that is not verified, unless --danger-expose-secret says so",
                ));
            }
            Some(BasicAuthenticatee::new(principal, secret))
        }
        _ => None,
    };
    Ok(Known { principal, authenticatee, exposure })
}

/// The first line of a file, or of standard input if it is `-`.
pub(crate) fn read(file: &Path) -> anyhow::Result<Secret> {
    let mut text = Zeroizing::new(Vec::with_capacity(4096));
    let taken = match file == Path::new("-") {
        true => std::io::stdin().lock().take(LONGEST + 1).read_to_end(&mut text),
        false => std::fs::File::open(file).and_then(|f| f.take(LONGEST + 1).read_to_end(&mut text)),
    };
    taken.with_context(|| format!("cannot read the secret from {}", file.display()))?;
    first_line(&text).with_context(|| format!("the secret in {}", file.display()))
}

fn first_line(text: &[u8]) -> anyhow::Result<Secret> {
    let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.len() as u64 >= LONGEST {
        anyhow::bail!("is longer than {LONGEST} bytes");
    }
    if line.is_empty() {
        anyhow::bail!("is empty");
    }
    let rest = text.get(line.len()..).unwrap_or_default();
    if !rest.iter().all(u8::is_ascii_whitespace) {
        anyhow::bail!("has more than one line");
    }
    if std::str::from_utf8(line).is_err() {
        anyhow::bail!("is not UTF-8");
    }
    Ok(Secret::new(line.to_vec()))
}

#[cfg(test)]
mod authn_of_clients {
    use super::*;

    fn told(master: &str) -> Elsewhere {
        Elsewhere { master: Some(master.to_owned()), ..Elsewhere::default() }
    }

    const NOTHING: &dyn Fn(&str) -> Option<String> = &|_| None;

    #[test]
    fn a_secret_goes_nowhere_unverified_unless_it_is_told_by_name() {
        let named = |master| Elsewhere {
            principal: Some("p".into()),
            secret: Some(Secret::from("s")),
            ..told(master)
        };
        let known = of(&named("https://h:1"), NOTHING).unwrap();
        assert!(known.authenticatee.is_some());
        assert_eq!(known.exposure, Exposure::Verified);
        let unverified = Elsewhere { danger_unverified: true, ..named("https://h:1") };
        for open in [named("http://h:1"), unverified] {
            let error = of(&open, NOTHING).unwrap_err().to_string();
            assert!(error.contains("--danger-expose-secret"), "{error}");
            let by_name = Elsewhere { danger_expose_secret: true, ..open };
            let known = of(&by_name, NOTHING).unwrap();
            assert_eq!(known.exposure, Exposure::DangerAnybody);
            assert!(known.authenticatee.is_some());
        }
        // A name alone is no secret.
        let nameless = Elsewhere { secret: None, ..named("http://h:1") };
        let known = of(&nameless, NOTHING).unwrap();
        assert_eq!(known.principal.as_deref(), Some("p"));
        assert!(known.authenticatee.is_none());
        let secret_alone = Elsewhere { principal: None, ..named("https://h:1") };
        assert!(of(&secret_alone, NOTHING).is_err());
        let colon = Elsewhere { principal: Some("a:b".into()), ..named("https://h:1") };
        assert!(of(&colon, NOTHING).is_err());
    }

    #[test]
    fn variables_stand_in_for_options() {
        let both = |name: &str| match name {
            "DEFAULT_PRINCIPAL" => Some("dp".to_owned()),
            "DEFAULT_SECRET" => Some("ds".to_owned()),
            _ => None,
        };
        let known = of(&told("https://h:1"), &both).unwrap();
        assert_eq!(known.principal.as_deref(), Some("dp"));
        assert!(known.authenticatee.is_some());
        // A secret that nobody asked for and that belongs to nobody is not in the way.
        let secret = |name: &str| (name == "DEFAULT_SECRET").then(|| "ds".to_owned());
        assert!(of(&told("https://h:1"), &secret).unwrap().authenticatee.is_none());
        assert!(of(&told("http://h:1"), &both).is_err());
    }

    #[test]
    fn a_file_holds_one_line() {
        let line = |text: &[u8]| first_line(text).ok().map(|secret| secret.expose().to_vec());
        assert_eq!(line(b"s3cret\n"), Some(b"s3cret".to_vec()));
        assert_eq!(line(b"s3 cret\r\n\n"), Some(b"s3 cret".to_vec()));
        assert_eq!(line(b"s3cret"), Some(b"s3cret".to_vec()));
        for wrong in [&b""[..], b"\n", b"a\nb\n", b"\xff"] {
            assert_eq!(line(wrong), None, "{wrong:?}");
        }
    }
}
