//! Paths, normalized once, before any rule sees them.
//!
//! The original compares raw text in one place, splits in another and decodes in a third, so that
//! `//slave/log` or `/%2fmaster/log` slips past a rule for `/slave/log`. Here a path becomes a
//! list of decoded segments at once; what could mean two things is no path.

use std::fmt;

use percent_encoding::percent_decode_str;

/// The longest path taken, in bytes.
pub const MAX_PATH_BYTES: usize = 8 * 1024;

/// A path of decoded segments: none is empty, `.` or `..`, none holds `/`, `\` or a control
/// character. Doubled and trailing slashes are gone.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path {
    segments: Vec<String>,
}

/// Why a text is no path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Longer than [`MAX_PATH_BYTES`].
    #[error("the path is longer than {MAX_PATH_BYTES} bytes")]
    TooLong,
    /// A segment is `.` or `..`.
    #[error("the path climbs")]
    Climbs,
    /// A decoded segment holds a slash, a backslash or a control character, or is not UTF-8.
    #[error("a part of the path holds a character that no part may hold")]
    Character,
}

impl Path {
    /// Reads the path of a request target: percent-decodes each segment once.
    pub fn from_target(text: &str) -> Result<Self, PathError> {
        Self::read(text, |raw| {
            let decoded =
                percent_decode_str(raw).decode_utf8().map_err(|_| PathError::Character)?;
            Ok(decoded.into_owned())
        })
    }

    /// Reads a virtual path from a query or a message, where nothing is percent-encoded.
    pub fn from_text(text: &str) -> Result<Self, PathError> {
        Self::read(text, |raw| Ok(raw.to_owned()))
    }

    fn read(
        text: &str,
        decode: impl Fn(&str) -> Result<String, PathError>,
    ) -> Result<Self, PathError> {
        if text.len() > MAX_PATH_BYTES {
            return Err(PathError::TooLong);
        }
        let mut segments = Vec::new();
        for raw in text.split('/').filter(|raw| !raw.is_empty()) {
            let segment = decode(raw)?;
            if segment == "." || segment == ".." {
                return Err(PathError::Climbs);
            }
            // A backslash is a fine character in a file's name, but nothing that we serve has one
            // and tools on other systems take it for a slash.
            let bad = |c: char| c == '/' || c == '\\' || c.is_control();
            if segment.is_empty() || segment.chars().any(bad) {
                return Err(PathError::Character);
            }
            segments.push(segment);
        }
        Ok(Self { segments })
    }

    /// The decoded segments.
    #[must_use]
    pub fn segments(&self) -> &[String] {
        &self.segments
    }

    /// This path below `first`.
    #[must_use]
    pub fn below(mut self, first: &str) -> Self {
        self.segments.insert(0, first.to_owned());
        self
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.segments.is_empty() {
            return f.write_str("/");
        }
        self.segments.iter().try_for_each(|s| write!(f, "/{s}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_spellings_of_a_path_are_one() {
        for text in ["/slave/log", "//slave//log/", "/sl%61ve/log", "slave/log"] {
            assert_eq!(Path::from_target(text).unwrap().to_string(), "/slave/log", "{text}");
        }
        assert_eq!(Path::from_target("/slave(1)/state").unwrap().segments()[0], "slave(1)");
        assert_eq!(Path::from_target("/slave%281%29/state").unwrap().segments()[0], "slave(1)");
    }

    #[test]
    fn an_encoded_slash_or_a_climbing_segment_is_no_path() {
        for text in ["/%2fmaster/log", "/slave%2flog", "/a/../b", "/a/%2e%2e/b", "/.", "/a%00"] {
            assert!(Path::from_target(text).is_err(), "{text}");
        }
        assert!(Path::from_text("/frameworks/../x").is_err());
        assert!(Path::from_text("/frameworks/a\\b").is_err());
        // A percent sign is an ordinary character where nothing is encoded.
        assert_eq!(Path::from_text("/a%2fb").unwrap().segments(), ["a%2fb"]);
    }
}
