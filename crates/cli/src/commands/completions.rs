//! `alcazar completions`.

use clap::{Args, CommandFactory as _};

use crate::args::Alcazar;
use crate::printer::write_stdout;

/// A shell that we can write completions for.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Shell {
    Bash,
    Fish,
    Zsh,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  bash  alcazar completions bash > /etc/bash_completion.d/alcazar
  zsh   alcazar completions zsh > \"${fpath[1]}/_alcazar\"
  fish  alcazar completions fish > ~/.config/fish/completions/alcazar.fish")]
pub(crate) struct Options {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints the script.
pub(crate) fn run(options: &Options) -> anyhow::Result<()> {
    write_stdout(&script(options.shell))
}

fn script(shell: Shell) -> Vec<u8> {
    let shell = match shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Fish => clap_complete::Shell::Fish,
        Shell::Zsh => clap_complete::Shell::Zsh,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Alcazar::command(), "alcazar", &mut script);
    script
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_completes_every_command_that_is_shown() {
        for shell in [Shell::Bash, Shell::Fish, Shell::Zsh] {
            let script = String::from_utf8(script(shell)).unwrap();
            for command in Alcazar::command().get_subcommands().filter(|c| !c.is_hide_set()) {
                assert!(script.contains(command.get_name()), "{shell:?}: {}", command.get_name());
            }
        }
    }
}
