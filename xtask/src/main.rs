//! `cargo xtask`: what developers and CI run.
//!
//! `test` changes nothing and is exactly what CI runs; `fix` is the one that edits files.

mod bans;
mod bench;
mod edges;
mod ledger;
mod metadata;
mod purity;
mod simulate;
mod steps;
mod tools;

use std::process::ExitCode;

use anyhow::bail;

use crate::steps::Steps;

const USAGE: &str = "\
usage: cargo xtask <command>

  test [nextest arguments]   format, lints, docs, dependency rules, and all tests
  verify                     the same without the tests
  fix                        format, apply lint suggestions, regenerate checked-in documentation
  bench [name …]             measure speed and memory (docs/dev/benchmarks.md)
  simulate [--seeds n]       run n simulated clusters under faults (docs/decisions/0025-simulation.md)
  tools                      fetch what the tests need into target/tools and print where it is
";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next().unwrap_or_default();
    let rest: Vec<String> = arguments.collect();
    let result = match command.as_str() {
        "test" => test(&rest),
        "verify" => verify(&mut Steps::default()),
        "fix" => fix(),
        "bench" => bench::run(&rest),
        "simulate" => simulate::run(&rest),
        "tools" => tools::Tools::fetch().map(|tools| println!("{tools:#?}")),
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nxtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn verify(steps: &mut Steps) -> anyhow::Result<()> {
    steps.cargo("format", &["fmt", "--all", "--check"], &[])?;
    let graph = metadata::Graph::load()?;
    steps.check("edges between crates", || edges::check(&graph))?;
    steps.check("engines are pure", || purity::check(graph.root()))?;
    steps.check("promised tests exist", || ledger::check(graph.root()))?;
    steps.check("bans, licences, sources", || bans::check(&graph))?;
    if tools::has_cargo_subcommand("deny") {
        steps.cargo("cargo-deny", &["deny", "check", "bans", "licenses", "sources"], &[])?;
    }
    steps.cargo(
        "lints",
        &["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"],
        &[],
    )?;
    steps.cargo(
        "documentation",
        &["doc", "--workspace", "--no-deps", "--document-private-items"],
        &[("RUSTDOCFLAGS", "--deny warnings --allow rustdoc::private_intra_doc_links")],
    )?;
    Ok(())
}

fn test(nextest_arguments: &[String]) -> anyhow::Result<()> {
    let mut steps = Steps::default();
    let outcome = (|| {
        let tools = steps.check("tools", tools::Tools::fetch)?;
        verify(&mut steps)?;
        let environment = tools.environment();
        let environment: Vec<(&str, &str)> =
            environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
        // The daemons that cluster tests start are this build's binary.
        steps.cargo("build", &["build", "--workspace"], &[])?;
        let mut arguments = vec!["nextest", "run", "--workspace"];
        arguments.extend(nextest_arguments.iter().map(String::as_str));
        steps.cargo("tests", &arguments, &environment)?;
        if nextest_arguments.is_empty() {
            steps.cargo(
                "examples in documentation",
                &["test", "--workspace", "--doc", "--quiet"],
                &[],
            )?;
        }
        Ok(())
    })();
    steps.print();
    outcome
}

fn fix() -> anyhow::Result<()> {
    let mut steps = Steps::default();
    steps.cargo(
        "lint suggestions",
        &["clippy", "--workspace", "--all-targets", "--fix", "--allow-dirty", "--allow-staged"],
        &[],
    )?;
    steps.cargo("format", &["fmt", "--all"], &[])?;
    // Tests that compare checked-in pages with what the code says rewrite them when asked to.
    let regenerated: [(&str, &[&str]); 3] = [
        ("page about flags", &["--package", "alcazar-settings"]),
        ("page about commands", &["--package", "alcazar-cli", "--bin", "alcazar"]),
        ("table of TLS switches", &["--package", "alcazar-tls-policy"]),
    ];
    for (what, of) in regenerated {
        steps.cargo(what, &[&["test", "--quiet"], of].concat(), &[("ALCAZAR_REGENERATE", "1")])?;
    }
    if steps.is_empty() {
        bail!("nothing was run");
    }
    steps.print();
    Ok(())
}
