//! JSON text to a flat list of nodes, accepting and refusing what the original does.

use std::borrow::Cow;

use crate::check::DecodeError;
use crate::limits::Limits;

/// Why JSON was refused. Prints the original's words.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// Not JSON, or nested too deeply.
    #[error("syntax error at line {line} near: {near}")]
    Syntax {
        /// The line, from 1.
        line: usize,
        /// The rest of that line, at most [`JsonError::NEAR`] bytes of it.
        near: String,
    },
    /// Something follows the value.
    #[error("Parsed JSON included non-whitespace trailing characters: {rest}")]
    Trailing {
        /// What follows, at most [`JsonError::NEAR`] bytes of it.
        rest: String,
    },
    /// JSON, but not of this message.
    #[error("{0}")]
    Shape(String),
    /// Larger than allowed.
    #[error("JSON of {size} bytes is larger than the limit of {limit}")]
    TooLarge {
        /// The size.
        size: usize,
        /// The limit.
        limit: usize,
    },
    /// More values than may be kept in memory at once.
    #[error("JSON has more than {limit} values and keys")]
    TooMany {
        /// How many are allowed.
        limit: usize,
    },
    /// The message it stands for is not valid; required fields are missing, above all.
    #[error(transparent)]
    Message(DecodeError),
}

impl JsonError {
    /// How much of a refused text an error repeats.
    pub const NEAR: usize = 1024;

    /// What the HTTP APIs answer, with status 400, to a body refused for this reason.
    #[must_use]
    pub fn body_text(&self) -> String {
        match self {
            Self::Syntax { .. }
            | Self::Trailing { .. }
            | Self::TooLarge { .. }
            | Self::TooMany { .. } => {
                format!("Failed to parse body into JSON: {self}")
            }
            Self::Shape(_) | Self::Message(_) => {
                format!("Failed to convert JSON into Call protobuf: {self}")
            }
        }
    }
}

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    Null,
    True,
    False,
    Number,
    /// Without escapes.
    String,
    Escaped,
    Array,
    /// Its children are keys and values in turn.
    Object,
}

/// One value or key: where its text stands, without quotes, and which node follows it and all its
/// children.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node {
    pub(crate) token: Token,
    start: u32,
    end: u32,
    next: u32,
}

/// A parsed document.
#[derive(Debug)]
pub(crate) struct Document<'a> {
    text: &'a [u8],
    nodes: Vec<Node>,
}

impl<'a> Document<'a> {
    pub(crate) fn parse(text: &'a [u8], limits: &Limits) -> Result<Self, JsonError> {
        let limit = limits.max_bytes.min(u32::MAX as usize);
        if text.len() > limit {
            return Err(JsonError::TooLarge { size: text.len(), limit });
        }
        let mut parser = Parser {
            text,
            at: 0,
            nodes: Vec::new(),
            most: limits.max_decoded / size_of::<Node>(),
            depth_left: limits.max_json_depth,
        };
        if parser.value().is_none() {
            return Err(if parser.nodes.len() >= parser.most {
                JsonError::TooMany { limit: parser.most }
            } else {
                parser.syntax_error()
            });
        }
        let visible = |b: &u8| !matches!(b, b' ' | b'\t' | b'\n' | b'\r');
        let end = text.iter().rposition(visible).map_or(0, |at| at + 1);
        if let Some(rest) = text.get(parser.at..end).filter(|rest| !rest.is_empty()) {
            let rest = &rest[..rest.len().min(JsonError::NEAR)];
            return Err(JsonError::Trailing { rest: String::from_utf8_lossy(rest).into_owned() });
        }
        Ok(Self { text, nodes: parser.nodes })
    }

    pub(crate) fn node(&self, at: usize) -> Node {
        self.nodes[at]
    }

    /// The node after this one and its children.
    pub(crate) fn after(&self, at: usize) -> usize {
        self.nodes[at].next as usize
    }

    /// The text of a number, or of a string between its quotes.
    pub(crate) fn source(&self, at: usize) -> &'a [u8] {
        let node = self.nodes[at];
        &self.text[node.start as usize..node.end as usize]
    }

    /// The bytes that a string stands for. They need not be UTF-8: the original does not ask.
    pub(crate) fn string(&self, at: usize) -> Cow<'a, [u8]> {
        let source = self.source(at);
        if self.nodes[at].token == Token::Escaped {
            Cow::Owned(unescape(source))
        } else {
            Cow::Borrowed(source)
        }
    }
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
    nodes: Vec<Node>,
    /// How many nodes there may be.
    most: usize,
    depth_left: u32,
}

/// `None` is a syntax error at the current position.
impl Parser<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn skip_white(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        self.skip_white();
        (self.peek() == Some(byte)).then(|| self.at += 1)
    }

    fn word(&mut self, word: &[u8], token: Token) -> Option<()> {
        let start = self.at;
        for byte in word {
            if self.peek() != Some(*byte) {
                return None;
            }
            self.at += 1;
        }
        self.push(token, start)
    }

    /// A node that ends here, if there may be one more.
    fn push(&mut self, token: Token, start: usize) -> Option<()> {
        if self.nodes.len() >= self.most {
            return None;
        }
        // No offset exceeds the checked size, and no document has more nodes than bytes.
        let next = self.nodes.len() as u32 + 1;
        self.nodes.push(Node { token, start: start as u32, end: self.at as u32, next });
        Some(())
    }

    fn value(&mut self) -> Option<()> {
        self.skip_white();
        match self.peek()? {
            b'n' => self.word(b"null", Token::Null),
            b't' => self.word(b"true", Token::True),
            b'f' => self.word(b"false", Token::False),
            b'"' => {
                self.at += 1;
                self.string()
            }
            b'[' => self.nested(Token::Array),
            b'{' => self.nested(Token::Object),
            b'-' | b'0'..=b'9' => self.number(),
            _ => None,
        }
    }

    fn nested(&mut self, token: Token) -> Option<()> {
        let start = self.at;
        self.at += 1;
        self.depth_left = self.depth_left.checked_sub(1)?;
        let node = self.nodes.len();
        self.push(token, start)?;
        let close = if token == Token::Array { b']' } else { b'}' };
        if self.expect(close).is_none() {
            loop {
                if token == Token::Object {
                    self.expect(b'"')?;
                    self.string()?;
                    self.expect(b':')?;
                }
                self.value()?;
                if self.expect(b',').is_none() {
                    break;
                }
            }
            self.expect(close)?;
        }
        self.nodes[node].end = self.at as u32;
        self.nodes[node].next = self.nodes.len() as u32;
        self.depth_left += 1;
        Some(())
    }

    /// The rest of a string whose opening quote has been read.
    fn string(&mut self) -> Option<()> {
        let start = self.at;
        let mut token = Token::String;
        loop {
            match self.peek()? {
                b'"' => {
                    self.push(token, start)?;
                    self.at += 1;
                    return Some(());
                }
                b'\\' => {
                    token = Token::Escaped;
                    self.at += 1;
                    let escape = self.peek()?;
                    self.at += 1;
                    match escape {
                        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => {}
                        b'u' => self.code_point()?,
                        _ => return None,
                    }
                }
                0..b' ' => return None,
                _ => self.at += 1,
            }
        }
    }

    /// Four digits after `\u`, and the second half of a surrogate pair.
    fn code_point(&mut self) -> Option<()> {
        match self.four_digits()? {
            0xdc00..=0xdfff => None,
            0xd800..=0xdbff => {
                for byte in *b"\\u" {
                    if self.peek() != Some(byte) {
                        return None;
                    }
                    self.at += 1;
                }
                matches!(self.four_digits()?, 0xdc00..=0xdfff).then_some(())
            }
            _ => Some(()),
        }
    }

    fn four_digits(&mut self) -> Option<u32> {
        let mut value = 0;
        for _ in 0..4 {
            value = value * 16 + char::from(self.peek()?).to_digit(16)?;
            self.at += 1;
        }
        Some(value)
    }

    /// The original takes every run of these characters that its C library takes for a number.
    fn number(&mut self) -> Option<()> {
        let start = self.at;
        while let Some(b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E') = self.peek() {
            self.at += 1;
        }
        let text = std::str::from_utf8(&self.text[start..self.at]).ok()?;
        text.parse::<f64>().ok()?;
        self.push(Token::Number, start)
    }

    fn syntax_error(&self) -> JsonError {
        let (before, rest) = self.text.split_at(self.at.min(self.text.len()));
        // A line is counted when its first character is read, so not at the end of the text.
        let begun = before.len() - usize::from(rest.is_empty() && before.ends_with(b"\n"));
        let line = 1 + before[..begun].iter().filter(|b| **b == b'\n').count();
        let near: Vec<u8> = rest
            .iter()
            .copied()
            .take_while(|b| *b != b'\n')
            .filter(|b| *b >= b' ')
            .take(JsonError::NEAR)
            .collect();
        JsonError::Syntax { line, near: String::from_utf8_lossy(&near).into_owned() }
    }
}

/// The bytes of an escaped string that the parser has accepted.
fn unescape(source: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(source.len());
    let mut rest = source;
    while let Some(at) = rest.iter().position(|b| *b == b'\\') {
        out.extend_from_slice(&rest[..at]);
        let Some((escape, after)) = rest[at + 1..].split_first() else { return out };
        rest = after;
        out.push(match escape {
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let (mut code, mut used) = (hex(rest), 4);
                if (0xd800..0xdc00).contains(&code) {
                    let second = hex(rest.get(6..).unwrap_or_default());
                    code =
                        0x10000 + ((code - 0xd800) << 10) + (second.wrapping_sub(0xdc00) & 0x3ff);
                    used = 10;
                }
                let character = char::from_u32(code).unwrap_or('?');
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                rest = rest.get(used..).unwrap_or_default();
                continue;
            }
            other => *other,
        });
    }
    out.extend_from_slice(rest);
    out
}

fn hex(digits: &[u8]) -> u32 {
    let digits = digits.iter().take(4).map(|b| char::from(*b).to_digit(16).unwrap_or(0));
    digits.fold(0, |value, digit| value * 16 + digit)
}
