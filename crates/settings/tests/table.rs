//! What holds of every row.

#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use alcazar_settings::{
    Builds, Default, Effect, JsonShape, Kind, Naming, Place, Program, REDACTED, Restricts, Row,
    SECTIONS, Sensitivity, agent, execute, flags, master, page, usage,
};
use common::{Given, sample, shared};

fn all_rows() -> impl Iterator<Item = &'static Row> {
    SECTIONS.iter().flat_map(|section| section.rows)
}

/// `program` with one flag.
fn with(program: Program, row: &Row, value: &str) -> Vec<String> {
    Given::arguments(&[&format!("--{}={value}", row.name)]).errors(program)
}

#[test]
fn no_two_names_of_a_program_are_the_same() {
    for program in Program::ALL {
        let mut seen = BTreeSet::new();
        for (_, row) in flags(program) {
            for name in [Some(row.name), row.alias].into_iter().flatten() {
                assert!(seen.insert(name), "{program}: {name}");
                assert!(!name.starts_with("no-") && !name.contains('-'), "{name}");
                assert_eq!(name, name.to_ascii_lowercase());
            }
        }
    }
    let mut variables = BTreeSet::new();
    for section in SECTIONS.iter().filter(|s| s.place == Place::Variables) {
        for row in section.rows {
            assert!(variables.insert(row.name), "{}", row.name);
            assert!(row.name.starts_with("LIBPROCESS_"), "{}", row.name);
        }
    }
}

#[test]
fn every_default_is_a_value_of_its_kind_and_restricts_nothing() {
    // Given as they are, the defaults change nothing.
    for program in Program::ALL {
        let mut given = Given::default();
        for (section, row) in flags(program) {
            if let (Default::Value(value), Place::Flags) = (row.default, section.place)
                && !["help", "version", "registry"].contains(&row.name)
            {
                given.arguments.push(format!("--{}={value}", row.name));
            }
        }
        let (flags, notices) = match program {
            Program::Agent => given.agent().map(|(s, n)| (s.effective_flags, n)),
            Program::Execute => given.execute().map(|(s, n)| (s.effective_flags, n)),
            Program::Master => given.master().map(|(s, n)| (s.effective_flags, n)),
        }
        .unwrap_or_else(|failure| panic!("{program}: {failure}"));
        assert_eq!(notices, [], "{program}");
        for (_, row) in alcazar_settings::flags(program) {
            if let (Default::Value(value), Builds::All, Sensitivity::Public) =
                (row.default, row.builds, row.sensitivity)
                && let Some(shown) = flags.get(row.name)
                && row.name != "registry"
            {
                assert_eq!(shown, value, "{program}: the default of {} prints as it is", row.name);
            }
        }
    }
    for row in all_rows().filter(|row| row.name.starts_with("LIBPROCESS_")) {
        if let (Default::Value(value), Kind::Bool) = (row.default, row.kind) {
            assert!(matches!(value, "true" | "false"), "{}", row.name);
        }
    }
}

#[test]
fn what_is_secret_is_never_shown() {
    let mut secret = 0;
    for program in Program::ALL {
        for (section, row) in flags(program) {
            if row.sensitivity == Sensitivity::Public || section.place == Place::OwnFlags {
                continue;
            }
            secret += 1;
            let value = match row.sensitivity {
                Sensitivity::Url => "zk://user:v3ry-s3cret@h:1/m",
                _ => sample(row.kind),
            };
            let given = Given::arguments(&[&format!("--{}={value}", row.name)]);
            for error in given.errors(program) {
                assert!(!error.contains("v3ry-s3cret"), "{program}: {error}");
            }
            let malformed = Given::arguments(&[&format!("--{}={{\"v3ry-s3cret", row.name)]);
            for error in malformed.errors(program) {
                assert!(!error.contains("v3ry-s3cret"), "{program}: {error}");
            }
        }
    }
    assert!(secret > 10, "{secret}");
    let given = Given::arguments(&[r#"--executor_environment_variables={"K":"v3ry-s3cret"}"#]);
    let (settings, _) = given.agent().unwrap();
    assert_eq!(settings.effective_flags["executor_environment_variables"], REDACTED);
    assert_eq!(settings.executor_environment_variables.as_ref().unwrap()["K"], "v3ry-s3cret");
    assert!(!format!("{settings:?}").contains("v3ry-s3cret"));
    let given = Given::arguments(&[r#"--env={"K":"v3ry-s3cret"}"#]);
    let (settings, _) = given.execute().unwrap();
    assert_eq!(settings.effective_flags["env"], REDACTED);
    assert!(!format!("{settings:?}").contains("v3ry-s3cret"));
}

#[test]
fn a_value_that_restricts_and_is_not_honoured_is_refused_by_name() {
    let mut refused = BTreeMap::<_, Vec<_>>::new();
    for program in Program::ALL {
        for (section, row) in flags(program) {
            let Effect::Refused(restricts) = row.effect else { continue };
            assert_eq!(section.place, Place::Flags, "our own flags are honoured");
            refused.entry(program).or_default().push(row.name);
            let value = match restricts {
                Restricts::False => "false",
                Restricts::Given if row.kind == Kind::Bool => panic!("{}", row.name),
                Restricts::True => "true",
                Restricts::Given | Restricts::Outside(_) | Restricts::Unless(_) => sample(row.kind),
            };
            let flag = format!("`--{}` restricts", row.name);
            let errors = with(program, row, value);
            assert!(errors.iter().any(|e| e.starts_with(&flag)), "{program} {flag}: {errors:?}");
            if program != Program::Execute {
                let name = format!("MESOS_{}", row.name.to_ascii_uppercase());
                let errors = Given::default().variable(&name, value).errors(program);
                let variable = format!("`{name}` restricts");
                assert!(errors.iter().any(|e| e.starts_with(&variable)), "{program} {errors:?}");
            }
            // Without restricting, it starts.
            let harmless: &[&str] = match restricts {
                Restricts::False => &["true"],
                Restricts::Given => &[],
                Restricts::True => &["false"],
                Restricts::Unless(usual) => usual,
                Restricts::Outside(known) => known,
            };
            for value in harmless {
                assert_eq!(with(program, row, value), [""; 0], "{program} --{}={value}", row.name);
            }
        }
    }
    // What the plan of the first release names, whatever becomes of the others.
    for name in ["acls", "authorizers", "firewall_rules"] {
        assert!(refused[&Program::Master].contains(&name), "{name}");
    }
    for name in ["acls", "authorizer", "bounding_capabilities", "firewall_rules", "isolation"] {
        assert!(refused[&Program::Agent].contains(&name), "{name}");
    }
}

#[test]
fn what_has_no_effect_yet_is_named_in_a_notice() {
    for program in Program::ALL {
        for (_, row) in flags(program).filter(|(_, row)| row.effect == Effect::NoEffectYet) {
            let value = match row.default {
                Default::Value("true") => "false",
                Default::Value("drf") => "random",
                _ => sample(row.kind),
            };
            let given = Given::arguments(&[&format!("--{}={value}", row.name)]);
            let notices = match program {
                Program::Agent => given.agent().map(|(_, n)| n),
                Program::Execute => given.execute().map(|(_, n)| n),
                Program::Master => given.master().map(|(_, n)| n),
            };
            let notices = match notices {
                Ok(notices) => notices,
                // Its value has rules of its own.
                Err(failure) if row.name == "perf_duration" => {
                    panic!("{failure}")
                }
                Err(failure) => panic!("{program} {}: {failure}", row.name),
            };
            let expected = format!("`--{}` has no effect yet", row.name);
            let said = notices.iter().any(|n| n.to_string() == expected);
            assert!(said, "{program} {}: {notices:?}", row.name);
        }
    }
}

#[test]
fn help_names_every_flag_and_only_what_is_taken() {
    for program in Program::ALL {
        let text = usage(program, Naming::Mesos);
        for (section, row) in flags(program) {
            let line = match row.kind {
                Kind::Bool => format!("  --[no-]{}\n", row.name),
                _ => format!("  --{}=VALUE\n", row.name),
            };
            assert_eq!(text.contains(&line), section.place != Place::OwnFlags, "{line}");
            assert!(usage(program, Naming::Alcazar).contains(&line), "{line}");
        }
        assert!(text.lines().all(|line| line.len() <= 80), "{program}");
    }
}

#[test]
fn every_text_for_people_is_one_sentence() {
    for row in all_rows() {
        assert!(row.help.ends_with(['.', ')']), "{}: {}", row.name, row.help);
        assert!(!row.help.contains('\n') && !row.help.contains("  "), "{}", row.name);
    }
}

#[test]
fn the_page_is_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/user/flags.md");
    if std::env::var_os("ALCAZAR_REGENERATE").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, page()).unwrap();
    }
    let present = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        present == page(),
        "docs/user/flags.md is out of date: ALCAZAR_REGENERATE=1 cargo test -p alcazar-settings"
    );
}

#[test]
fn nothing_panics_when_every_flag_is_given_at_once() {
    for program in Program::ALL {
        let arguments =
            flags(program).map(|(_, row)| format!("--{}={}", row.name, sample(row.kind)));
        let mut given = Given { arguments: arguments.collect(), ..Given::default() };
        given.arguments.retain(|a| !a.starts_with("--help") && !a.starts_with("--version"));
        for naming in [Naming::Alcazar, Naming::Mesos] {
            given.with(|sources| match program {
                Program::Agent => assert!(agent(naming, sources).is_err()),
                Program::Execute => assert!(execute(sources).is_err()),
                Program::Master => assert!(master(naming, sources).is_err()),
            });
        }
    }
}

/// A row of a table of the reference: names, alias, type, default.
struct Reference {
    name: String,
    alias: Option<String>,
    kind: String,
    default: String,
}

/// The rows of the tables between two headings.
fn reference_rows(text: &str, from: &str, to: &str) -> Vec<Reference> {
    let start = text.find(from).unwrap();
    let end = start + text[start..].find(to).unwrap();
    let mut rows = Vec::new();
    let mut with_alias = false;
    for line in text[start..end].lines().filter(|line| line.starts_with('|')) {
        let escaped = line.replace("\\|", "\u{1}");
        let mut cells: Vec<_> =
            escaped.trim_matches('|').split('|').map(|c| c.trim().replace('\u{1}', "|")).collect();
        if cells[0] == "Name" {
            with_alias = cells[1].starts_with("Alias");
            continue;
        }
        if cells[0].starts_with('-') {
            continue;
        }
        if !with_alias {
            cells.insert(1, String::new());
        }
        for name in cells[0].split(", ") {
            rows.push(Reference {
                name: name.to_owned(),
                alias: Some(cells[1].clone()).filter(|alias| !alias.is_empty()),
                kind: cells[2].clone(),
                default: cells[3].clone(),
            });
        }
    }
    rows
}

fn fits(row: &Row, reference: &Reference) -> bool {
    let (optional, kind) = match reference.kind.strip_prefix("opt ") {
        Some(kind) => (true, kind),
        None => (false, reference.kind.as_str()),
    };
    let kind_fits = match kind {
        "Path" => row.kind == Kind::Path,
        "SecurePathOrValue" => row.kind == Kind::SecurePathOrValue,
        "bool" => row.kind == Kind::Bool,
        "bytes" => row.kind == Kind::Bytes,
        "double" => row.kind == Kind::Double,
        "duration" => row.kind == Kind::Duration,
        "int" => row.kind == Kind::Int,
        "list" => row.kind == Kind::List,
        "rate" => row.kind == Kind::Rate,
        "set" => row.kind == Kind::Set,
        "size" => row.kind == Kind::Size,
        "string" => row.kind == Kind::String,
        "uint16" => row.kind == Kind::UInt16,
        "JSON array" => row.kind == Kind::Json(JsonShape::Array),
        kind if kind.contains("JSON") => {
            matches!(row.kind, Kind::Json(JsonShape::Object | JsonShape::Strings))
        }
        _ => false,
    };
    let default_fits = match (reference.default.replace('`', "").as_str(), row.default) {
        ("–", default) => default == Default::Unset,
        ("empty", default) => default == Default::Value(""),
        ("required", default) => default == Default::Required,
        // Found by the program, or in a directory that the original's build chose.
        (_, Default::Computed(_)) => true,
        (text, Default::Unset) => optional && text.contains('<'),
        (text, Default::Value(value)) => {
            let without_place = |text: &str| {
                text.rsplit_once('>').map_or(text.to_owned(), |(_, rest)| rest.to_owned())
            };
            text == value
                || value.ends_with(&without_place(text))
                || (row.name == "launcher" && text.contains(value))
        }
        (_, Default::Required) => false,
    };
    kind_fits && default_fits
}

#[test]
fn every_flag_of_the_original_stands_in_the_table() {
    let Some(path) = shared("reference/allocator-and-flags.md") else { return };
    let text = std::fs::read_to_string(path).unwrap();
    let chapters: [(&[Program], &str, &str); 4] = [
        (&Program::ALL, "## 14. Common flags", "## 15. mesos-master"),
        (&[Program::Master], "## 15. mesos-master", "## 16. mesos-agent"),
        (&[Program::Agent], "## 16. mesos-agent", "## 17. mesos-execute"),
        (&[Program::Execute], "## 17. mesos-execute", "## 18. Other programs"),
    ];
    let mut expected: BTreeMap<Program, BTreeSet<String>> = BTreeMap::new();
    for (programs, from, to) in chapters {
        let references = reference_rows(&text, from, to);
        assert!(references.len() > 5, "{from}: the table was not found");
        for program in programs {
            for reference in &references {
                expected.entry(*program).or_default().insert(reference.name.clone());
                let found = flags(*program).find(|(_, row)| row.name == reference.name);
                let Some((_, row)) = found else { panic!("{program}: {}", reference.name) };
                assert_eq!(row.alias, reference.alias.as_deref(), "{program} {}", row.name);
                assert!(
                    fits(row, reference),
                    "{program} {}: {} {}, here {:?} {:?}",
                    row.name,
                    reference.kind,
                    reference.default,
                    row.kind,
                    row.default
                );
            }
        }
    }
    for program in Program::ALL {
        let ours: BTreeSet<_> = flags(program)
            .filter(|(section, _)| section.place == Place::Flags)
            .map(|(_, row)| row.name.to_owned())
            .collect();
        assert_eq!(ours, expected[&program], "{program}: nothing that the original has not");
    }
}

#[test]
fn every_variable_of_the_original_stands_in_the_table() {
    let Some(path) = shared("reference/libprocess-and-tls.md") else { return };
    let text = std::fs::read_to_string(path).unwrap();
    let chapter = |from: &str, to: &str| {
        let start = text.find(from).unwrap();
        let end = start + text[start..].find(to).unwrap();
        let first_cells = text[start..end].lines().filter_map(|line| line.split('|').nth(1));
        first_cells
            .filter_map(|cell| cell.trim().strip_prefix('`')?.strip_suffix('`'))
            .map(ToOwned::to_owned)
            .collect::<Vec<_>>()
    };
    let mut expected: BTreeSet<String> = chapter("### 5.2 All variables", "### 5.3 ")
        .into_iter()
        .filter(|name| !name.contains('*'))
        .collect();
    let table = text.find("### 8.3 The variables").unwrap();
    let end = table + text[table..].find("Names that appear in the official").unwrap();
    for line in text[table..end].lines() {
        let cell = line.split('|').nth(1).unwrap_or_default().trim();
        if let Some(name) = cell.strip_prefix('`').and_then(|cell| cell.strip_suffix('`')) {
            expected.insert(format!("LIBPROCESS_SSL_{name}"));
        }
    }
    assert!(expected.len() > 25, "{expected:?}");
    let ours: BTreeSet<_> = SECTIONS
        .iter()
        .filter(|s| s.place == Place::Variables && !s.title.ends_with("unknown to the original"))
        .flat_map(|s| s.rows)
        .map(|row| row.name.to_owned())
        .collect();
    assert_eq!(ours, expected);
}
