//! What changes a credential file.

use std::path::Path;

use anyhow::{Context as _, bail};
use authn::accounts::ScramVerifier;
use authn::accounts::derive::argon2id;
use authn::accounts::file::{Entry, Stored};
use authn::secret::Secret;
use rand::RngExt as _;

use super::store::Store;
use super::{Add, Form, Hash, Remove, Rotate, Source, Target, secret, unknown};
use crate::exit::{self, Failure};
use crate::printer::{printable, say, write_stdout};
use crate::replace::replace;

/// Makes what is kept of `secret`.
fn keep(secret: &Secret, form: Form, iterations: u32) -> anyhow::Result<Stored> {
    let salt = rand::rng().random::<[u8; 16]>();
    Ok(match form {
        Form::Plain => Stored::plain(secret.clone()),
        Form::Scram => Stored {
            scram: Some(ScramVerifier::derive(secret, &salt, iterations)),
            ..Stored::default()
        },
        Form::Argon2id => Stored { argon2id: Some(argon2id(secret, &salt)?), ..Stored::default() },
    })
}

/// A generated secret that nobody would ever see is of no use.
fn is_reachable(source: &Source, target: &Target) -> anyhow::Result<()> {
    if source.generate && !target.show && target.credential.is_none() {
        let why = "nobody would know the generated secret: --show prints it, --credential FILE \
                   writes it into a file";
        return Err(Failure::Usage(why.to_owned()).into());
    }
    Ok(())
}

/// Hands the secret out as asked for.
fn hand_out(target: &Target, principal: &str, secret: &Secret) -> anyhow::Result<()> {
    if let Some(path) = &target.credential {
        let entry = Entry::new(principal, None, Stored::plain(secret.clone()));
        replace(path, entry.to_text().as_bytes(), 0o600)?;
        say(&format!("wrote {}", path.display()));
    }
    if target.show {
        let mut line = zeroize::Zeroizing::new(secret.expose().to_vec());
        line.push(b'\n');
        write_stdout(&line)?;
    }
    Ok(())
}

pub(super) fn add(options: &Add) -> anyhow::Result<u8> {
    let Add { place, principal, kinds, keep: form, iterations, source, target } = options;
    if principal.is_empty() || principal.contains(char::is_control) {
        let why = "a principal is not empty and holds no control characters";
        return Err(Failure::Usage(why.to_owned()).into());
    }
    if principal.contains(':') {
        say("notice: a principal with a colon cannot authenticate over HTTP");
    }
    is_reachable(source, target)?;
    is_free(&Store::open(&place.file, true)?, principal, &place.file)?;
    // Nobody is locked out while somebody types.
    let secret = secret::new(source, principal)?;
    let stored = keep(&secret, *form, *iterations)?;
    let mut store = Store::open(&place.file, true)?;
    is_free(&store, principal, &place.file)?;
    store.file.entries.push(Entry::new(principal, Some(*kinds), stored));
    // First out, then in: a secret that is valid must not be lost.
    hand_out(target, principal, &secret)?;
    store.write()?;
    say(&format!("added \"{}\" to {}", printable(principal), place.file.display()));
    Ok(exit::SUCCESS)
}

fn is_free(store: &Store, principal: &str, path: &Path) -> anyhow::Result<()> {
    if store.file.get(principal).is_some() {
        let (principal, path) = (principal.escape_debug(), path.display());
        bail!("\"{principal}\" is in {path} already: `alcazar credentials rotate` changes a secret")
    }
    Ok(())
}

pub(super) fn hash(options: &Hash) -> anyhow::Result<u8> {
    let Hash { place, principals, keep: form, iterations } = options;
    if *form == Form::Plain {
        let why = "`plain` is the secret itself, which nothing brings back from a hash";
        return Err(Failure::Usage(why.to_owned()).into());
    }
    let mut store = Store::open(&place.file, false)?;
    for principal in principals {
        if store.file.get(principal).is_none() {
            return Err(unknown(place, principal));
        }
    }
    let mut count = 0;
    for entry in &mut store.file.entries {
        if !principals.is_empty() && !principals.contains(&entry.principal) {
            continue;
        }
        let empty =
            entry.stored.is_nothing() || entry.stored.secret.as_ref().is_some_and(Secret::is_empty);
        if empty {
            bail!(
                "\"{}\" has an empty secret, with which anybody can authenticate: remove it, or \
                 give it one",
                entry.principal.escape_debug()
            );
        }
        count += usize::from(hashed(entry, *form, *iterations)?);
    }
    if count > 0 {
        store.write()?;
    }
    let file = place.file.display();
    say(&format!("{count} of {} entries of {file} hashed", store.file.entries.len()));
    Ok(exit::SUCCESS)
}

/// Hashes what stands there with its secret. Says whether there was any.
fn hashed(entry: &mut Entry, form: Form, iterations: u32) -> anyhow::Result<bool> {
    let mut any = false;
    if let Some(secret) = entry.stored.secret.take() {
        add_to(&mut entry.stored, &secret, form, iterations, entry.previous.as_ref())?;
        any = true;
    }
    let stored = entry.stored.clone();
    if let Some(previous) = &mut entry.previous
        && let Some(secret) = previous.secret.take()
    {
        add_to(previous, &secret, form, iterations, Some(&stored))?;
        any = true;
    }
    Ok(any)
}

/// Adds a hashed form of `secret`. In one exchange of SCRAM there is one salt: two secrets of
/// one principal are only both valid if they share it.
fn add_to(
    stored: &mut Stored,
    secret: &Secret,
    form: Form,
    iterations: u32,
    other: Option<&Stored>,
) -> anyhow::Result<()> {
    match form {
        Form::Scram if stored.scram.is_none() => {
            stored.scram = Some(match other.and_then(|other| other.scram.as_ref()) {
                Some(like) => ScramVerifier::derive(secret, &like.salt, like.iterations),
                None => {
                    let salt = rand::rng().random::<[u8; 16]>();
                    ScramVerifier::derive(secret, &salt, iterations)
                }
            });
        }
        Form::Argon2id if stored.argon2id.is_none() => {
            stored.argon2id = Some(argon2id(secret, &rand::rng().random())?);
        }
        Form::Scram | Form::Argon2id | Form::Plain => {}
    }
    Ok(())
}

pub(super) fn rotate(options: &Rotate) -> anyhow::Result<u8> {
    let Rotate { place, principal, finish, source, target } = options;
    let name = principal.escape_debug();
    let file = place.file.display();
    if *finish {
        let mut store = Store::open(&place.file, false)?;
        let entry = store.file.get_mut(principal).ok_or_else(|| unknown(place, principal))?;
        if entry.previous.take().is_none() {
            bail!("\"{name}\" has one secret in {file}: there is no rotation to finish");
        }
        store.write()?;
        say(&format!("the old secret of \"{}\" is no longer valid", printable(principal)));
        return Ok(exit::SUCCESS);
    }
    is_reachable(source, target)?;
    is_settled(&Store::open(&place.file, false)?, options)?;
    let secret = secret::new(source, principal)?;
    let mut store = Store::open(&place.file, false)?;
    is_settled(&store, options)?;
    let entry = store.file.get_mut(principal).with_context(|| format!("\"{name}\" is gone"))?;
    let old = entry.stored.clone();
    if old.secrets().iter().any(|stored| stored.verifies(&secret)) {
        bail!("that is the secret that \"{name}\" has");
    }
    // In the forms of the old one.
    let mut new = Stored::default();
    if old.secret.is_some() || old.is_nothing() {
        new.secret = Some(secret.clone());
    }
    if let Some(like) = &old.scram {
        new.scram = Some(ScramVerifier::derive(&secret, &like.salt, like.iterations));
    }
    if old.argon2id.is_some() {
        new.argon2id = Some(argon2id(&secret, &rand::rng().random())?);
    }
    entry.stored = new;
    // An empty secret is no loss.
    let empty = old.is_nothing() || old.secret.as_ref().is_some_and(Secret::is_empty);
    entry.previous = (!empty).then_some(old);
    hand_out(target, principal, &secret)?;
    store.write()?;
    say(&format!(
        "\"{}\" has two valid secrets; when all who have the old one have the new one: alcazar \
         credentials rotate --finish {file} {}",
        printable(principal),
        printable(principal)
    ));
    Ok(exit::SUCCESS)
}

fn is_settled(store: &Store, options: &Rotate) -> anyhow::Result<()> {
    let entry = store.file.get(&options.principal);
    let entry = entry.ok_or_else(|| unknown(&options.place, &options.principal))?;
    if entry.previous.is_some() {
        bail!(
            "\"{}\" has two valid secrets already: end that rotation first, with --finish",
            options.principal.escape_debug()
        );
    }
    Ok(())
}

pub(super) fn remove(options: &Remove) -> anyhow::Result<u8> {
    let Remove { place, principal } = options;
    let mut store = Store::open(&place.file, false)?;
    if store.file.get(principal).is_none() {
        return Err(unknown(place, principal));
    }
    store.file.entries.retain(|entry| entry.principal != *principal);
    store.write()?;
    say(&format!("removed \"{}\" from {}", printable(principal), place.file.display()));
    Ok(exit::SUCCESS)
}
