use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser as _};

use crate::args::Alcazar;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/user/commands.md");

/// The help of a command (`""`: of the program) as a terminal of 100 columns shows it.
fn help(command: &str) -> String {
    let mut program = Alcazar::command().term_width(100);
    program.build();
    let found = match command {
        "" => &mut program,
        name => program.find_subcommand_mut(name).unwrap_or_else(|| panic!("no command {name}")),
    };
    let text = found.render_help().to_string();
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n").trim_end().to_owned()
}

/// The page with the help texts of today between its markers.
fn page_of_today(page: &str) -> (String, Vec<String>) {
    let mut commands = Vec::new();
    let mut out = String::new();
    let mut inside = false;
    for line in page.lines() {
        let marker = line.strip_prefix("<!-- help").and_then(|l| l.strip_suffix("-->"));
        if let Some(command) = marker {
            let command = command.trim().to_owned();
            out.push_str(&format!("{line}\n```text\n{}\n```\n", help(&command)));
            commands.push(command);
            inside = true;
        } else if line == "<!-- end -->" {
            inside = false;
        }
        if !inside {
            out.push_str(line);
            out.push('\n');
        }
    }
    (out, commands)
}

#[test]
fn the_page_about_commands_shows_the_help_of_every_command_as_it_is() {
    let page = std::fs::read_to_string(PAGE).unwrap();
    let (today, mut shown) = page_of_today(&page);
    if std::env::var_os("ALCAZAR_REGENERATE").is_some() {
        std::fs::write(PAGE, &today).unwrap();
        return;
    }
    for (number, (is, should)) in page.lines().zip(today.lines()).enumerate() {
        assert_eq!(is, should, "line {}: run this test with ALCAZAR_REGENERATE=1", number + 1);
    }
    assert_eq!(page, today, "run this test with ALCAZAR_REGENERATE=1");
    let program = Alcazar::command();
    let mut commands: Vec<String> = program
        .get_subcommands()
        // The flags of the daemons have a page of their own.
        .filter(|c| !matches!(c.get_name(), "master" | "agent" | "help"))
        .map(|c| c.get_name().to_owned())
        .chain([String::new()])
        .collect();
    commands.sort();
    shown.sort();
    assert_eq!(shown, commands);
}

#[test]
fn definitions_of_arguments_do_not_contradict_one_another() {
    Alcazar::command().debug_assert();
}

#[test]
fn wrong_arguments_are_refused_for_what_they_are() {
    let table: &[(&[&str], ErrorKind)] = &[
        (&[], ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand),
        (&["upp"], ErrorKind::InvalidSubcommand),
        (&["up", "--agnets", "2"], ErrorKind::UnknownArgument),
        (&["up", "--agents", "0"], ErrorKind::ValueValidation),
        (&["up", "--agents", "x"], ErrorKind::ValueValidation),
        (&["up", "--port", "65536"], ErrorKind::ValueValidation),
        (&["up", "extra"], ErrorKind::UnknownArgument),
        (&["execute"], ErrorKind::MissingRequiredArgument),
        (&["execute", "--command", "a", "--", "b"], ErrorKind::ArgumentConflict),
        (&["tasks", "--output", "yaml"], ErrorKind::InvalidValue),
        (&["logs"], ErrorKind::MissingRequiredArgument),
        (&["kill", "a", "b"], ErrorKind::UnknownArgument),
        (&["completions", "tcsh"], ErrorKind::InvalidValue),
        (&["--help"], ErrorKind::DisplayHelp),
        (&["--version"], ErrorKind::DisplayVersion),
    ];
    for (args, expected) in table {
        let line = std::iter::once("alcazar").chain(args.iter().copied());
        let error = Alcazar::try_parse_from(line).expect_err(&args.join(" "));
        assert_eq!(error.kind(), *expected, "{args:?}: {error}");
    }
}

#[test]
fn what_is_misspelt_is_answered_with_what_may_have_been_meant() {
    let error = |args: &[&str]| {
        let line = std::iter::once("alcazar").chain(args.iter().copied());
        Alcazar::try_parse_from(line).unwrap_err().to_string()
    };
    assert!(error(&["up", "--agnets", "2"]).contains("'--agents'"));
    assert!(error(&["task"]).contains("'tasks'"));
}

#[test]
fn global_options_stand_before_or_after_the_command() {
    for line in
        [["alcazar", "--state-dir", "/x", "tasks"], ["alcazar", "tasks", "--state-dir", "/x"]]
    {
        let parsed = Alcazar::try_parse_from(line).unwrap();
        assert_eq!(parsed.global.state_dir.as_deref(), Some(std::path::Path::new("/x")));
    }
}
