//! What commands print: tables for people, JSON for programs, colours on terminals only.

use std::io::{IsTerminal as _, Write as _};

use serde_json::Value;

/// How a command that shows things shows them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    Json,
    #[default]
    Table,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Color {
    Always,
    // On a terminal, unless NO_COLOR is set or TERM is `dumb`. (No words for `--help`: three
    // values would take ten lines of every help text.)
    #[default]
    Auto,
    Never,
}

impl Color {
    /// Whether to use colours on stdout.
    pub(crate) fn on_stdout(self) -> bool {
        self.decide(std::io::stdout().is_terminal(), &|name| {
            std::env::var_os(name).map(|v| v.to_string_lossy().into_owned())
        })
    }

    /// Whether to use colours on stderr.
    pub(crate) fn on_stderr(self) -> bool {
        self.decide(std::io::stderr().is_terminal(), &|name| {
            std::env::var_os(name).map(|v| v.to_string_lossy().into_owned())
        })
    }

    fn decide(self, terminal: bool, variable: &dyn Fn(&str) -> Option<String>) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => {
                terminal
                    && variable("NO_COLOR").is_none_or(|v| v.is_empty())
                    && variable("TERM").is_none_or(|v| v != "dumb")
            }
        }
    }
}

/// What a cell or a word means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Bad,
    Good,
    Plain,
    Warn,
}

impl Tone {
    /// How people read the state of a task.
    pub(crate) fn of_task_state(state: &str) -> Self {
        match state {
            "TASK_FINISHED" | "TASK_RUNNING" => Self::Good,
            "TASK_STAGING" | "TASK_STARTING" => Self::Plain,
            "TASK_KILLED" | "TASK_KILLING" | "TASK_UNREACHABLE" | "TASK_UNKNOWN" => Self::Warn,
            _ => Self::Bad,
        }
    }

    /// `text` in the colour of this tone.
    pub(crate) fn paint(self, text: &str, color: bool) -> String {
        let code = match self {
            Self::Bad => "31",
            Self::Good => "32",
            Self::Warn => "33",
            Self::Plain => return text.to_owned(),
        };
        if color { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// One cell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// A cell with a meaning.
    pub(crate) fn toned(text: impl AsRef<str>, tone: Tone) -> Self {
        Self { text: printable(text.as_ref()), tone }
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::toned(text, Tone::Plain)
    }
}

/// A table whose columns are as wide as their widest cell.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    headers: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// An empty table.
    pub(crate) fn new(headers: impl IntoIterator<Item = &'static str>) -> Self {
        Self { headers: headers.into_iter().collect(), rows: Vec::new() }
    }

    /// Adds a row; a cell for each header.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The lines of the table, each with a newline.
    pub(crate) fn render(&self, color: bool) -> String {
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|r| r.get(column)).map(|c| &*c.text);
            let header = self.headers.get(column).copied();
            cells.chain(header).map(|t| t.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..self.headers.len()).map(width).collect();
        let headers: Vec<Cell> = self.headers.iter().map(|h| Cell::from(*h)).collect();
        let mut out = String::new();
        for row in std::iter::once(&headers).chain(&self.rows) {
            for (column, cell) in row.iter().enumerate() {
                out.push_str(&cell.tone.paint(&cell.text, color));
                if column + 1 < row.len() {
                    let width = widths.get(column).copied().unwrap_or(0);
                    let padding = width.saturating_sub(cell.text.chars().count()) + 2;
                    out.extend(std::iter::repeat_n(' ', padding));
                }
            }
            out.truncate(out.trim_end_matches(' ').len());
            out.push('\n');
        }
        out
    }
}

/// Where a command's result goes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Printer {
    pub(crate) format: Format,
    pub(crate) color: Color,
}

impl Printer {
    /// Prints the value as JSON, or else the table made from it.
    pub(crate) fn print(self, value: &Value, table: impl FnOnce() -> Table) -> anyhow::Result<()> {
        let text = match self.format {
            Format::Json => {
                let mut text = serde_json::to_string_pretty(value)?;
                text.push('\n');
                text
            }
            Format::Table => table().render(self.color.on_stdout()),
        };
        write_stdout(text.as_bytes())
    }
}

/// Writes and flushes; a reader that went away (`| head`) is no error.
pub(crate) fn write_stdout(bytes: &[u8]) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// Writes a line to stderr. Where nobody can read it, nobody is told: the terminal may be gone.
pub(crate) fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Names come from outside: nothing in them may move the cursor or start an escape sequence.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Table {
        let mut table = Table::new(["ID", "STATE", "NAME"]);
        table.row(["a".into(), Cell::toned("TASK_RUNNING", Tone::Good), "first".into()]);
        table.row(["longer".into(), Cell::toned("TASK_LOST", Tone::Bad), "".into()]);
        table
    }

    #[test]
    fn columns_line_up_and_lines_end_without_blanks() {
        assert_eq!(
            example().render(false),
            "ID      STATE         NAME\n\
             a       TASK_RUNNING  first\n\
             longer  TASK_LOST\n"
        );
    }

    #[test]
    fn colours_do_not_count_for_the_width() {
        assert_eq!(
            example().render(true),
            "ID      STATE         NAME\n\
             a       \x1b[32mTASK_RUNNING\x1b[0m  first\n\
             longer  \x1b[31mTASK_LOST\x1b[0m\n"
        );
    }

    #[test]
    fn a_name_cannot_drive_the_terminal() {
        let mut table = Table::new(["NAME"]);
        table.row(["\x1b]0;owned\x07\r\nroot".into()]);
        assert!(!table.render(true).contains('\x1b'));
        assert_eq!(table.render(false).lines().count(), 2);
    }

    #[test]
    fn colours_need_a_terminal_that_has_them() {
        let none = |_: &str| None;
        assert!(Color::Auto.decide(true, &none));
        assert!(!Color::Auto.decide(false, &none));
        assert!(!Color::Auto.decide(true, &|n| (n == "NO_COLOR").then(|| "1".into())));
        assert!(Color::Auto.decide(true, &|n| (n == "NO_COLOR").then(String::new)));
        assert!(!Color::Auto.decide(true, &|n| (n == "TERM").then(|| "dumb".into())));
        assert!(Color::Always.decide(false, &none));
        assert!(!Color::Never.decide(true, &none));
    }
}
