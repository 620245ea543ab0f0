//! What the doctor says, as text and as JSON.

use std::fmt::Write as _;

use serde_json::{Value, json};
use tls_policy::{Diagnosis, Finding};

use super::library::Library;
use crate::commands::{list, text};
use crate::exit;
use crate::printer::{Format, Printer, Tone, printable, write_stdout};

/// Everything that was found.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    /// What was looked at.
    pub(crate) components: Vec<Component>,
    /// Where it is about TLS: the library of this program (and so of its daemons), and the day of
    /// the report: `2026-01-31`.
    pub(crate) library: Option<(Library, String)>,
}

/// A configuration or a running daemon.
#[derive(Clone, Debug)]
pub(crate) struct Component {
    /// Its name: `environment`, or the URL of a daemon.
    pub(crate) name: String,
    /// What is to be said about it, or why it would not start or answer.
    pub(crate) found: Result<Found, Trouble>,
}

/// Why there is nothing to say about a component.
#[derive(Clone, Debug)]
pub(crate) struct Trouble {
    /// `does not start`, for example.
    pub(crate) what: &'static str,
    /// Why.
    pub(crate) lines: Vec<String>,
}

/// What is to be said about one component, in the words of its JSON form: daemons say it
/// themselves.
#[derive(Clone, Debug)]
pub(crate) struct Found(pub(crate) Value);

/// One finding, in the words of its JSON form.
pub(super) fn finding(id: &str, what: &str, closed_by: &str) -> Value {
    json!({"id": id, "what": what, "closed_by": closed_by})
}

impl From<&Diagnosis> for Found {
    fn from(diagnosis: &Diagnosis) -> Self {
        let findings = |all: &[Finding]| -> Vec<Value> {
            let finding = |f: &Finding| finding(f.id, &f.what, &f.closed_by.to_string());
            all.iter().map(finding).collect()
        };
        Self(json!({
            "posture": diagnosis.posture.level.to_string(),
            "downgrade": diagnosis.posture.downgrade,
            "holes": findings(&diagnosis.holes),
            "remarks": findings(&diagnosis.remarks),
            "notices": diagnosis.notices,
        }))
    }
}

impl Report {
    /// The exit status: the worst of all components.
    pub(crate) fn status(&self) -> u8 {
        let of_component = |component: &Component| match &component.found {
            Err(_) => exit::USAGE,
            Ok(Found(value)) if list(value, "holes").is_empty() => exit::SUCCESS,
            Ok(_) => exit::FAILURE,
        };
        self.components.iter().map(of_component).max().unwrap_or(exit::SUCCESS)
    }

    pub(crate) fn print(&self, printer: Printer) -> anyhow::Result<()> {
        match printer.format {
            Format::Json => {
                let mut text = serde_json::to_string_pretty(&self.json())?;
                text.push('\n');
                write_stdout(text.as_bytes())
            }
            Format::Table => write_stdout(self.text(printer.color.on_stdout()).as_bytes()),
        }
    }

    fn json(&self) -> Value {
        let components: Vec<Value> = self
            .components
            .iter()
            .map(|component| match &component.found {
                Ok(Found(value)) => {
                    let mut value = value.clone();
                    value["component"] = json!(component.name);
                    value
                }
                Err(trouble) => json!({
                    "component": component.name,
                    "trouble": trouble.what,
                    "errors": trouble.lines,
                }),
            })
            .collect();
        let mut report = json!({"status": self.status(), "components": components});
        if let Some((library, today)) = &self.library {
            report["tls_library"] = library.json(today);
        }
        report
    }

    fn text(&self, color: bool) -> String {
        let mut out = String::new();
        for component in &self.components {
            match &component.found {
                Ok(found) => found.text(&mut out, &component.name, color),
                Err(Trouble { what, lines }) => {
                    let word = Tone::Bad.paint(what, color);
                    let _ = writeln!(out, "{}: {word}", printable(&component.name));
                    for error in lines {
                        paragraph(&mut out, error, 2);
                    }
                }
            }
            out.push('\n');
        }
        if let Some((library, today)) = &self.library {
            let _ = writeln!(out, "TLS library: {}", library.text(today));
        }
        out
    }
}

impl Found {
    fn text(&self, out: &mut String, name: &str, color: bool) {
        let value = &self.0;
        let holes = list(value, "holes");
        let tone = if holes.is_empty() { Tone::Good } else { Tone::Bad };
        let downgrade =
            if value["downgrade"].as_bool() == Some(true) { ", with downgrade" } else { "" };
        let posture = format!("{}{downgrade}", text(value, "posture"));
        let _ = writeln!(out, "{}: {}", printable(name), tone.paint(&printable(&posture), color));
        let facts = [("version", "negotiated"), ("suite", "suite"), ("group", "key exchange")];
        for (key, label) in facts {
            let fact = text(&value["connection"], key);
            if !fact.is_empty() {
                let _ = writeln!(out, "  {label}: {}", printable(fact));
            }
        }
        if let Some(days) = value["certificate_expires_in_days"].as_f64() {
            let _ = writeln!(out, "  its certificate ends in {} days", days.floor());
        }
        if holes.is_empty() {
            let _ = writeln!(out, "\n  An attacker on the network can do nothing that is known.");
        } else {
            let _ = writeln!(out, "\n  An attacker on the network can:");
            findings(out, &holes, Tone::Bad, color);
        }
        let remarks = list(value, "remarks");
        if !remarks.is_empty() {
            let _ = writeln!(out, "\n  Who has more than the network:");
            findings(out, &remarks, Tone::Warn, color);
        }
        let notices = list(value, "notices");
        if !notices.is_empty() {
            let _ = writeln!(out, "\n  About the settings:");
            for notice in notices.iter().filter_map(Value::as_str) {
                paragraph(out, &format!("- {notice}"), 4);
            }
        }
    }
}

fn findings(out: &mut String, all: &[Value], tone: Tone, color: bool) {
    for finding in all {
        let _ = writeln!(out, "    {}", tone.paint(&printable(text(finding, "id")), color));
        paragraph(out, text(finding, "what"), 6);
        let _ = writeln!(out, "      closed by: {}", printable(text(finding, "closed_by")));
    }
}

/// Lines of up to 96 characters, as far as words allow.
fn paragraph(out: &mut String, text: &str, indent: usize) {
    let margin = " ".repeat(indent);
    let text = printable(text);
    let mut line = String::new();
    for word in text.split(' ') {
        if !line.is_empty() && indent + line.chars().count() + 1 + word.chars().count() > 96 {
            let _ = writeln!(out, "{margin}{line}");
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    let _ = writeln!(out, "{margin}{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(found: Result<Found, Trouble>) -> Report {
        Report {
            components: vec![Component { name: "environment".to_owned(), found }],
            library: Some((Library::of("OpenSSL 3.5.1 1 Jul 2025"), "2026-01-31".to_owned())),
        }
    }

    #[test]
    fn the_status_of_a_tls_report_is_that_of_its_worst_component() {
        let hole = json!({"id": "x", "what": "Do it.", "closed_by": "A=b"});
        let none = report(Ok(Found(json!({"posture": "identities", "holes": []}))));
        let some = report(Ok(Found(json!({"posture": "plaintext", "holes": [hole]}))));
        let broken =
            report(Err(Trouble { what: "does not start", lines: vec!["no key".to_owned()] }));
        assert_eq!([none.status(), some.status(), broken.status()], [0, 1, 2]);
        let mut all = none.clone();
        all.components.extend(broken.components.clone());
        all.components.extend(some.components.clone());
        assert_eq!(all.status(), 2);
        assert_eq!(all.json()["status"], 2);
    }

    #[test]
    fn a_tls_report_says_what_can_be_done_and_what_ends_it() {
        let hole = json!({"id": "downgrade", "what": "Speak without TLS.", "closed_by": "A=b"});
        let some = report(Ok(Found(json!({
            "posture": "verified outgoing", "downgrade": true, "holes": [hole],
        }))));
        let text = some.text(false);
        assert_eq!(
            text,
            "environment: verified outgoing, with downgrade\n\
             \n  An attacker on the network can:\n    downgrade\n      Speak without TLS.\n      \
             closed by: A=b\n\n\
             TLS library: OpenSSL 3.5.1 1 Jul 2025, supported until 2030-04-08\n"
        );
    }

    #[test]
    fn what_daemons_say_cannot_drive_the_terminal() {
        let found = Found(json!({"posture": "\u{1b}[2J", "holes": [], "notices": ["\u{7}"]}));
        let text = report(Ok(found)).text(false);
        assert!(!text.contains('\u{1b}') && !text.contains('\u{7}'), "{text:?}");
    }
}
