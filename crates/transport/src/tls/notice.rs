//! What the files and the library made of a policy, for the operator to know.

use std::fmt;
use std::path::PathBuf;

/// Something an operator should read when certificates have been loaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadNotice {
    /// These files of a CA directory have no name by which OpenSSL would find them. They are
    /// believed all the same; a stock peer does not believe them.
    Unhashed {
        /// The directory.
        directory: PathBuf,
        /// The files with certificates in them.
        files: Vec<PathBuf>,
    },
    /// The library knows no such suites of TLS 1.2 and older; the rest of the list is offered.
    UnknownSuites(Vec<String>),
    /// The library knows no such groups; the rest of the list is offered.
    UnknownGroups(Vec<String>),
    /// TLS 1.0 or 1.1 is offered, so that the security level of the library is 0.
    LoweredSecurity,
    /// The strictest profile presents no RSA certificates: this one is left out.
    RsaLeaf(PathBuf),
}

impl fmt::Display for LoadNotice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unhashed { directory, files } => {
                let names: Vec<_> = files.iter().map(|f| f.display().to_string()).collect();
                write!(
                    f,
                    "{} in {} are read, but a stock peer would not find them: run \
                     `openssl rehash` there",
                    names.join(", "),
                    directory.display()
                )
            }
            Self::UnknownSuites(names) => {
                write!(
                    f,
                    "the TLS library has no suites {}, the others are offered",
                    names.join(", ")
                )
            }
            Self::UnknownGroups(names) => {
                write!(
                    f,
                    "the TLS library has no groups {}, the others are offered",
                    names.join(", ")
                )
            }
            Self::LoweredSecurity => f.write_str(
                "TLS 1.0 or 1.1 is offered: for these connections the security level of the TLS \
                 library is lowered to 0, so that weak keys and SHA-1 signatures pass",
            ),
            Self::RsaLeaf(path) => {
                write!(
                    f,
                    "{} is an RSA certificate, which the profile `modern` does not present",
                    path.display()
                )
            }
        }
    }
}
