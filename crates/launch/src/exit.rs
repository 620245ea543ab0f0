//! How a process ended, and the text that tells it.

use std::fmt;

/// How a process ended.
///
/// The wire has no field for it: clients learn a command's exit code from the text of its last
/// status, `Command exited with status 3`. [`Exit::message`] writes that text and
/// [`Exit::from_message`] reads it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It exited with this code, 0 to 255.
    Code(u8),
    /// A signal ended it.
    Signal {
        /// The signal's number.
        number: i32,
        /// Whether the kernel wrote a memory image.
        core_dumped: bool,
    },
}

const EXITED: &str = "Command exited with status ";
const TERMINATED: &str = "Command terminated with signal ";
const CORE_DUMPED: &str = " (core dumped)";

impl Exit {
    /// Reads the status that `wait` gives. `None` if the process has not ended by it.
    #[must_use]
    pub fn from_wait_status(raw: i32) -> Option<Self> {
        let signal = raw & 0x7f;
        if signal == 0 {
            u8::try_from((raw >> 8) & 0xff).ok().map(Self::Code)
        } else if signal == 0x7f {
            None
        } else {
            Some(Self::Signal { number: signal, core_dumped: raw & 0x80 != 0 })
        }
    }

    /// The status that `wait` gives for it.
    #[must_use]
    pub fn to_wait_status(self) -> i32 {
        match self {
            Self::Code(code) => i32::from(code) << 8,
            Self::Signal { number, core_dumped } => number | if core_dumped { 0x80 } else { 0 },
        }
    }

    /// Whether it means success.
    #[must_use]
    pub fn success(self) -> bool {
        self == Self::Code(0)
    }

    /// The code under which a shell reports it: the exit code, or 128 and the signal's number.
    #[must_use]
    pub fn shell_code(self) -> u8 {
        match self {
            Self::Code(code) => code,
            Self::Signal { number, .. } => u8::try_from(128 + number).unwrap_or(u8::MAX),
        }
    }

    /// The message of the status update that reports it.
    #[must_use]
    pub fn message(self) -> String {
        format!("Command {self}")
    }

    /// Reads a message that [`Exit::message`], or the original's command executor, wrote.
    #[must_use]
    pub fn from_message(message: &str) -> Option<Self> {
        if let Some(code) = message.strip_prefix(EXITED) {
            return code.parse().ok().map(Self::Code);
        }
        let name = message.strip_prefix(TERMINATED)?;
        let (name, core_dumped) = match name.strip_suffix(CORE_DUMPED) {
            Some(name) => (name, true),
            None => (name, false),
        };
        let number = (1..=MAX_SIGNAL).find(|number| signal_text(*number) == name)?;
        Some(Self::Signal { number, core_dumped })
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => write!(f, "exited with status {code}"),
            Self::Signal { number, core_dumped } => {
                write!(f, "terminated with signal {}", signal_text(*number))?;
                f.write_str(if *core_dumped { CORE_DUMPED } else { "" })
            }
        }
    }
}

/// The last real-time signal of Linux.
const MAX_SIGNAL: i32 = 64;

/// The first real-time signal that the C library leaves to programs.
const FIRST_REAL_TIME_SIGNAL: i32 = 34;

/// What the C library calls each signal of Linux, from 1.
const SIGNALS: [&str; 31] = [
    "Hangup",
    "Interrupt",
    "Quit",
    "Illegal instruction",
    "Trace/breakpoint trap",
    "Aborted",
    "Bus error",
    "Floating point exception",
    "Killed",
    "User defined signal 1",
    "Segmentation fault",
    "User defined signal 2",
    "Broken pipe",
    "Alarm clock",
    "Terminated",
    "Stack fault",
    "Child exited",
    "Continued",
    "Stopped (signal)",
    "Stopped",
    "Stopped (tty input)",
    "Stopped (tty output)",
    "Urgent I/O condition",
    "CPU time limit exceeded",
    "File size limit exceeded",
    "Virtual timer expired",
    "Profiling timer expired",
    "Window changed",
    "I/O possible",
    "Power failure",
    "Bad system call",
];

fn signal_text(number: i32) -> String {
    let named = usize::try_from(number - 1).ok().and_then(|index| SIGNALS.get(index));
    match named {
        Some(name) => (*name).to_owned(),
        None if (FIRST_REAL_TIME_SIGNAL..=MAX_SIGNAL).contains(&number) => {
            format!("Real-time signal {}", number - FIRST_REAL_TIME_SIGNAL)
        }
        None => format!("Unknown signal {number}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_texts_are_the_ones_that_clients_know() {
        assert_eq!(Exit::Code(3).message(), "Command exited with status 3");
        let killed = Exit::Signal { number: 9, core_dumped: false };
        assert_eq!(killed.message(), "Command terminated with signal Killed");
        let crashed = Exit::Signal { number: 11, core_dumped: true };
        assert_eq!(
            crashed.message(),
            "Command terminated with signal Segmentation fault (core dumped)"
        );
        assert_eq!(killed.shell_code(), 137);
    }

    #[test]
    fn every_exit_is_read_back_from_its_text_and_from_its_wait_status() {
        let codes = (0..=255).map(Exit::Code);
        let signals = (1..=MAX_SIGNAL).flat_map(|number| {
            [true, false].map(|core_dumped| Exit::Signal { number, core_dumped })
        });
        for exit in codes.chain(signals) {
            assert_eq!(Exit::from_message(&exit.message()), Some(exit));
            assert_eq!(Exit::from_wait_status(exit.to_wait_status()), Some(exit));
        }
    }

    #[test]
    fn other_texts_are_no_exits() {
        for text in [
            "",
            "Executor terminated",
            "Command exited with status",
            "Command exited with status 256",
            "Command exited with status 1; and more",
            "Command terminated with signal Nonsense",
        ] {
            assert_eq!(Exit::from_message(text), None, "{text}");
        }
        let stopped = 0x137f;
        assert_eq!(Exit::from_wait_status(stopped), None);
    }
}
