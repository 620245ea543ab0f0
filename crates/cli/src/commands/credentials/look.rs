//! What only looks at a credential file.

use std::os::unix::fs::PermissionsExt as _;

use anyhow::Context as _;
use authn::accounts::file::{CredentialFile, Entry, Remark, Rules, Stored};
use serde_json::{Value, json};

use super::{Check, List, secret, store, unknown};
use crate::exit;
use crate::printer::{Cell, Format, Printer, Table, Tone, say};

/// What is kept of a secret, in words.
fn kept(stored: &Stored) -> Vec<String> {
    let mut words = Vec::new();
    if stored.is_nothing() || stored.secret.as_ref().is_some_and(authn::secret::Secret::is_empty) {
        words.push("nothing".to_owned());
    } else if stored.secret.is_some() {
        words.push("plain".to_owned());
    }
    if let Some(scram) = &stored.scram {
        words.push(format!("scram-sha-256 ({})", scram.iterations));
    }
    if stored.argon2id.is_some() {
        words.push("argon2id".to_owned());
    }
    words
}

pub(super) fn list(options: &List, printer: Printer) -> anyhow::Result<u8> {
    let path = &options.place.file;
    let file = store::parse(path, &store::content(path)?)?;
    let described = |entry: &Entry| {
        let mut value = json!({
            "principal": entry.principal,
            "kinds": entry.kinds.map(|kinds| {
                kinds.iter().map(|kind| kind.to_string()).collect::<Vec<_>>()
            }),
            "kept": kept(&entry.stored),
            "rotating": entry.previous.is_some(),
        });
        if options.reveal {
            let text = |stored: &Stored| {
                let secret = stored.secret.as_ref()?;
                Some(String::from_utf8_lossy(secret.expose()).into_owned())
            };
            value["secret"] = json!(text(&entry.stored));
            value["previous_secret"] = json!(entry.previous.as_ref().and_then(text));
        }
        value
    };
    let all: Vec<Value> = file.entries.iter().map(described).collect();
    printer.print(&Value::Array(all.clone()), || table(&all, options.reveal))?;
    Ok(exit::SUCCESS)
}

fn table(all: &[Value], reveal: bool) -> Table {
    let words = |value: &Value| {
        let words = value.as_array().map_or(&[][..], Vec::as_slice);
        words.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",")
    };
    let mut columns = vec!["PRINCIPAL", "KINDS", "KEPT", "ROTATING"];
    if reveal {
        columns.extend(["SECRET", "BEFORE"]);
    }
    let mut table = Table::new(columns);
    for entry in all {
        let kinds = words(&entry["kinds"]);
        let kept = words(&entry["kept"]);
        let weak = kept.contains("plain") || kept.contains("nothing");
        let mut row: Vec<Cell> = vec![
            super::super::text(entry, "principal").into(),
            if kinds.is_empty() { Cell::toned("any", Tone::Warn) } else { kinds.into() },
            Cell::toned(kept, if weak { Tone::Warn } else { Tone::Good }),
            if entry["rotating"] == true { "yes" } else { "" }.into(),
        ];
        if reveal {
            row.push(super::super::text(entry, "secret").into());
            row.push(super::super::text(entry, "previous_secret").into());
        }
        table.row(row);
    }
    table
}

pub(super) fn check(options: &Check, printer: Printer) -> anyhow::Result<u8> {
    match &options.principal {
        Some(principal) => verify(options, principal, printer),
        None => lint(options, printer),
    }
}

/// Whether a secret is that of `principal`.
fn verify(options: &Check, principal: &str, printer: Printer) -> anyhow::Result<u8> {
    let path = &options.place.file;
    let file = store::parse(path, &store::content(path)?)?;
    let entry = file.get(principal).ok_or_else(|| unknown(&options.place, principal))?;
    let secret = secret::known(options.from.as_deref(), principal, false)?;
    let is = |stored: &Stored| stored.secrets().iter().any(|one| one.verifies(&secret));
    let (result, text) = if is(&entry.stored) {
        ("current", "that is the secret")
    } else if entry.previous.as_ref().is_some_and(is) {
        ("previous", "that is the secret of before, valid until the rotation is finished")
    } else {
        ("wrong", "that is not the secret")
    };
    match printer.format {
        Format::Json => {
            let value = json!({"principal": principal, "secret": result});
            printer.print(&value, || Table::new(Vec::<&str>::new()))?;
        }
        Format::Table => say(text),
    }
    Ok(if result == "wrong" { exit::FAILURE } else { exit::SUCCESS })
}

/// What is wrong or weak in the file.
fn lint(options: &Check, printer: Printer) -> anyhow::Result<u8> {
    let path = &options.place.file;
    let mode = std::fs::metadata(path)
        .with_context(|| format!("cannot read {}", path.display()))?
        .permissions()
        .mode();
    let text = store::content(path)?;
    let file = store::parse(path, &text)?;
    let mut findings = Vec::new();
    if mode & 0o007 != 0 {
        findings.push(json!({
            "what": format!("is accessible by others (mode {:04o})", mode & 0o7777),
            "closed_by": format!("chmod o= {}", path.display()),
        }));
    }
    findings
        .extend(file.remarks().iter().map(|remark| finding(remark, &path.display().to_string())));
    if let Err(error) = CredentialFile::parse(text.expose(), Rules::Own) {
        findings.push(json!({
            "what": format!("daemons called by a name of our own refuse it: {error}"),
        }));
    }
    let value = json!({"file": path.display().to_string(), "findings": findings});
    printer.print(&value, || {
        let mut table = Table::new(["PRINCIPAL", "WHAT", "CLOSED BY"]);
        for finding in &findings {
            let cell = |key| super::super::text(finding, key).to_owned();
            table.row([
                cell("principal").into(),
                Cell::toned(cell("what"), Tone::Warn),
                cell("closed_by").into(),
            ]);
        }
        table
    })?;
    Ok(if findings.is_empty() { exit::SUCCESS } else { exit::FAILURE })
}

fn finding(remark: &Remark, path: &str) -> Value {
    let closed_by = remark.principal().map(|name| {
        let name = name.escape_debug();
        match remark {
            Remark::Plaintext(_) => format!("alcazar credentials hash {path} {name}"),
            Remark::Rotating(_) => format!("alcazar credentials rotate --finish {path} {name}"),
            Remark::EmptySecret(_) => format!("alcazar credentials rotate {path} {name}"),
            Remark::WithoutKinds(_) => {
                format!("\"kinds\": [\"agent\"] (or framework, operator) in the entry of {name}")
            }
            Remark::Duplicate(_) | Remark::Nobody => {
                format!("leave one entry of {name} in the file")
            }
        }
    });
    json!({"principal": remark.principal(), "what": remark.what(), "closed_by": closed_by})
}
