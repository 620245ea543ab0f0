//! The terminal, shared by what the task prints and what we say about it.

use std::io::{IsTerminal as _, Write as _};

use crate::printer::{Color, Tone, printable};

/// Where a piece of the task's output belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Stderr,
    Stdout,
}

impl Stream {
    /// The file in the sandbox.
    pub(crate) fn file(self) -> &'static str {
        match self {
            Self::Stderr => "stderr",
            Self::Stdout => "stdout",
        }
    }
}

/// Keeps the progress line below the task's output. The line is there only if stderr is a
/// terminal; the task's bytes go through untouched.
#[derive(Debug)]
pub(crate) struct Screen {
    progress: Option<String>,
    shown: bool,
    quiet: bool,
    terminal: bool,
    color: bool,
    /// Whether the cursor stands at the beginning of a line.
    fresh: bool,
}

impl Screen {
    /// `quiet`: nothing but the task's output.
    pub(crate) fn new(quiet: bool, color: Color) -> Self {
        Self {
            progress: None,
            shown: false,
            quiet,
            terminal: std::io::stderr().is_terminal(),
            color: color.on_stderr(),
            fresh: true,
        }
    }

    /// Replaces the progress line.
    pub(crate) fn progress(&mut self, text: &str) {
        self.progress = Some(printable(text));
        self.hide();
        self.show();
    }

    /// Says something that stays.
    pub(crate) fn say(&mut self, text: &str, tone: Tone) {
        if self.quiet {
            return;
        }
        self.hide();
        let start = if self.fresh { "" } else { "\n" };
        // That nobody can read stderr is no reason to end the task.
        let _ = writeln!(std::io::stderr(), "{start}{}", tone.paint(&printable(text), self.color));
        self.fresh = true;
        self.show();
    }

    /// Passes on what the task printed.
    pub(crate) fn output(&mut self, stream: Stream, bytes: &[u8]) -> std::io::Result<()> {
        let Some(last) = bytes.last() else { return Ok(()) };
        self.hide();
        match stream {
            Stream::Stderr => {
                let mut out = std::io::stderr().lock();
                out.write_all(bytes)?;
                out.flush()?;
            }
            Stream::Stdout => {
                let mut out = std::io::stdout().lock();
                out.write_all(bytes)?;
                out.flush()?;
            }
        }
        // What goes to a file does not move the cursor.
        if match stream {
            Stream::Stderr => self.terminal,
            Stream::Stdout => std::io::stdout().is_terminal(),
        } {
            self.fresh = *last == b'\n';
        }
        self.show();
        Ok(())
    }

    /// Takes the progress line away for good.
    pub(crate) fn close(&mut self) {
        self.progress = None;
        self.hide();
    }

    fn hide(&mut self) {
        if std::mem::take(&mut self.shown) {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }

    fn show(&mut self) {
        if self.quiet || !self.terminal || !self.fresh {
            return;
        }
        if let Some(text) = &self.progress {
            // Longer than the terminal is wide, it could not be taken back.
            let width = terminal_width().saturating_sub(1);
            let text: String = text.chars().take(width).collect();
            let dim = if self.color { format!("\x1b[2m{text}\x1b[0m") } else { text };
            let _ = write!(std::io::stderr(), "{dim}");
            self.shown = true;
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.close();
    }
}

fn terminal_width() -> usize {
    match rustix::termios::tcgetwinsize(std::io::stderr()) {
        Ok(size) if size.ws_col > 0 => usize::from(size.ws_col),
        // Not every terminal knows.
        _ => 80,
    }
}
