//! What a stage has to start, and the form in which it is told.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::io::{self, Read, Write};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;

use prost::Message as _;
use zeroize::{Zeroize as _, Zeroizing};

/// The largest [`Start`] accepted, in bytes. The kernel allows less for arguments and variables
/// alone; the rest is for [`Input::Bytes`].
pub const MAX_START_BYTES: usize = 32 << 20;

/// A program to start, and as what.
#[derive(Clone, PartialEq, Eq)]
pub struct Start {
    /// Which program.
    pub program: Program,
    /// Its arguments, the first of which is the name by which it is called.
    pub arguments: Vec<OsString>,
    /// Its whole environment.
    pub environment: BTreeMap<OsString, OsString>,
    /// Where it runs. Entered as [`Self::user`].
    pub directory: PathBuf,
    /// As whom; `None` for the user that starts it.
    pub user: Option<User>,
    /// Its standard input.
    pub input: Input,
    /// Whether it may become more than its user by running a program that makes others so
    /// (set-user-ID, file capabilities), as far as whoever starts it may.
    pub may_gain_privileges: bool,
}

/// Which program to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// This one.
    Ourselves,
    /// The one with this name; without a slash it is looked for in the `PATH` of
    /// [`Start::environment`].
    Named(OsString),
}

/// A user as the kernel knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The user id.
    pub uid: u32,
    /// The primary group.
    pub gid: u32,
    /// The supplementary groups. Groups of the user that starts it are dropped.
    pub groups: Vec<u32>,
}

/// What a program reads on standard input.
#[derive(Clone, PartialEq, Eq)]
pub enum Input {
    /// Nothing.
    Null,
    /// These bytes, from a sealed memory file. Erased from memory when dropped.
    Bytes(Zeroizing<Vec<u8>>),
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "Null",
            Self::Bytes(_) => "Bytes(…)",
        })
    }
}

impl fmt::Debug for Start {
    /// Names of variables only: values may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Start")
            .field("program", &self.program)
            .field("arguments", &self.arguments)
            .field("environment", &self.environment.keys().collect::<Vec<_>>())
            .field("directory", &self.directory)
            .field("user", &self.user)
            .field("input", &self.input)
            .field("may_gain_privileges", &self.may_gain_privileges)
            .finish()
    }
}

#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
struct Encoded {
    /// Absent: this program.
    #[prost(bytes = "vec", optional, tag = "1")]
    program: Option<Vec<u8>>,
    #[prost(bytes = "vec", repeated, tag = "2")]
    arguments: Vec<Vec<u8>>,
    /// Name, value, name, value …
    #[prost(bytes = "vec", repeated, tag = "3")]
    environment: Vec<Vec<u8>>,
    #[prost(bytes = "vec", tag = "4")]
    directory: Vec<u8>,
    #[prost(message, optional, tag = "5")]
    user: Option<EncodedUser>,
    #[prost(bytes = "vec", optional, tag = "6")]
    input: Option<Vec<u8>>,
    #[prost(bool, tag = "7")]
    may_gain_privileges: bool,
}

impl fmt::Debug for Encoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoded").finish_non_exhaustive()
    }
}

impl Drop for Encoded {
    fn drop(&mut self) {
        self.input.zeroize();
        self.environment.zeroize();
    }
}

#[derive(Clone, PartialEq, prost::Message)]
struct EncodedUser {
    #[prost(uint32, tag = "1")]
    uid: u32,
    #[prost(uint32, tag = "2")]
    gid: u32,
    #[prost(uint32, repeated, tag = "3")]
    groups: Vec<u32>,
}

impl Start {
    /// Writes it for the stage that reads with [`Start::read_from`].
    pub fn write_to(&self, writer: &mut impl Write) -> io::Result<()> {
        let encoded = Encoded {
            program: match &self.program {
                Program::Ourselves => None,
                Program::Named(name) => Some(name.as_bytes().to_vec()),
            },
            arguments: self.arguments.iter().map(|a| a.as_bytes().to_vec()).collect(),
            environment: self
                .environment
                .iter()
                .flat_map(|(name, value)| [name, value].map(|text| text.as_bytes().to_vec()))
                .collect(),
            directory: self.directory.as_os_str().as_bytes().to_vec(),
            user: self.user.as_ref().map(|user| EncodedUser {
                uid: user.uid,
                gid: user.gid,
                groups: user.groups.clone(),
            }),
            input: match &self.input {
                Input::Null => None,
                Input::Bytes(bytes) => Some(bytes.to_vec()),
            },
            may_gain_privileges: self.may_gain_privileges,
        };
        #[expect(
            clippy::disallowed_methods,
            reason = "a message of our own, without maps or required fields"
        )]
        let bytes = Zeroizing::new(encoded.encode_to_vec());
        if bytes.len() > MAX_START_BYTES {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("command and environment take more than {MAX_START_BYTES} bytes"),
            ));
        }
        let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        writer.write_all(&length.to_be_bytes())?;
        writer.write_all(&bytes)?;
        writer.flush()
    }

    /// Reads one. Waits until it is complete; that the writer goes away before is an error.
    pub fn read_from(reader: &mut impl Read) -> io::Result<Self> {
        let mut length = [0; 4];
        reader.read_exact(&mut length)?;
        let length = usize::try_from(u32::from_be_bytes(length)).map_err(io::Error::other)?;
        if length > MAX_START_BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "too long"));
        }
        let mut bytes = Zeroizing::new(vec![0; length]);
        reader.read_exact(&mut bytes)?;
        #[expect(
            clippy::disallowed_methods,
            reason = "a message of our own, without maps or required fields"
        )]
        let mut encoded = Encoded::decode(bytes.as_slice())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        let text = |bytes: &mut Vec<u8>| OsString::from_vec(std::mem::take(bytes));
        let (variables, odd) = encoded.environment.as_chunks_mut::<2>();
        if !odd.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "a variable without value"));
        }
        let environment =
            variables.iter_mut().map(|[name, value]| (text(name), text(value))).collect();
        Ok(Self {
            program: match encoded.program.take() {
                None => Program::Ourselves,
                Some(name) => Program::Named(OsString::from_vec(name)),
            },
            arguments: encoded.arguments.iter_mut().map(text).collect(),
            environment,
            directory: PathBuf::from(text(&mut encoded.directory)),
            user: encoded.user.take().map(|user| User {
                uid: user.uid,
                gid: user.gid,
                groups: user.groups,
            }),
            input: match encoded.input.take() {
                None => Input::Null,
                Some(bytes) => Input::Bytes(Zeroizing::new(bytes)),
            },
            may_gain_privileges: encoded.may_gain_privileges,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Start {
        Start {
            program: Program::Named("sh".into()),
            arguments: ["sh", "-c", "echo $A"].map(OsString::from).to_vec(),
            environment: [("A".into(), OsString::from_vec(vec![0xff, b'x']))].into(),
            directory: "/sandbox".into(),
            user: Some(User { uid: 65_534, gid: 65_534, groups: vec![7, 8] }),
            input: Input::Bytes(Zeroizing::new(b"hidden".to_vec())),
            may_gain_privileges: true,
        }
    }

    #[test]
    fn a_start_is_read_as_it_was_written() {
        for start in [
            start(),
            Start {
                program: Program::Ourselves,
                user: None,
                input: Input::Null,
                may_gain_privileges: false,
                ..start()
            },
        ] {
            let mut bytes = Vec::new();
            start.write_to(&mut bytes).unwrap();
            assert_eq!(Start::read_from(&mut bytes.as_slice()).unwrap(), start);
        }
    }

    #[test]
    fn a_start_cut_short_is_an_error() {
        let mut bytes = Vec::new();
        start().write_to(&mut bytes).unwrap();
        for cut in 0..bytes.len() {
            assert!(Start::read_from(&mut &bytes[..cut]).is_err(), "{cut}");
        }
    }

    #[test]
    fn values_that_may_be_secret_are_not_printed() {
        let mut start = start();
        start.environment.insert("B".into(), "s3cret".into());
        let text = format!("{start:?}");
        assert!(!text.contains("s3cret") && !text.contains("hidden"), "{text}");
        assert!(text.contains("\"B\""), "{text}");
    }
}
