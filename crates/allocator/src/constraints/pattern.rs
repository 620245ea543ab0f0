//! Regular expressions as frameworks write them for RE2, compiled by `regex`.
//!
//! Both take time linear in the text. Where the two read the same characters differently, the
//! expression is rewritten to mean what RE2 means by it: `\d`, `\w`, `\s` and `\b` are about ASCII,
//! and within brackets `[`, `&` and `~` stand for themselves.

use regex::{Regex, RegexBuilder};

/// How large a regular expression may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RegexLimits {
    /// What RE2 would be given: two thirds of it are for the program, at 16 bytes an instruction.
    pub max_memory: usize,
    /// How many instructions RE2's program may have.
    pub max_program_size: usize,
}

impl Default for RegexLimits {
    /// The defaults of `--offer_constraints_re2_max_mem` and `…_max_program_size`.
    fn default() -> Self {
        Self { max_memory: 4096, max_program_size: 100 }
    }
}

/// What one instruction of RE2 may cost here, in bytes: a state of our program and what belongs
/// to it take about as much.
const BYTES_PER_INSTRUCTION: usize = 64;

/// What any program costs, in bytes: its frame of two anchors and a group.
const BYTES_OF_FRAME: usize = 1024;

/// A pattern of more bytes than that per allowed instruction is not even read: only comments and
/// wide characters need more than one.
const PATTERN_BYTES_PER_INSTRUCTION: usize = 8;

impl RegexLimits {
    fn instructions(self) -> usize {
        (self.max_memory / 3 * 2 / 16).min(self.max_program_size)
    }
}

/// Compiles `pattern` to match whole texts.
pub(super) fn compile(pattern: &str, limits: RegexLimits) -> Result<Regex, String> {
    let instructions = limits.instructions();
    if pattern.len() > instructions.saturating_mul(PATTERN_BYTES_PER_INSTRUCTION) {
        return Err(format!("too large: more than {instructions} instructions"));
    }
    // On its own first, so that brackets left open are not closed by ours.
    let ours = translated(pattern);
    let size = instructions.saturating_mul(BYTES_PER_INSTRUCTION).saturating_add(BYTES_OF_FRAME);
    let build = |text: &str, size: usize| {
        RegexBuilder::new(text)
            .size_limit(size)
            .dfa_size_limit(limits.max_memory)
            .octal(true)
            .build()
    };
    // Without room for a program it is only read.
    if let Err(error @ regex::Error::Syntax(_)) = build(&ours, 0) {
        return Err(error.to_string());
    }
    build(&format!(r"\A(?:{ours})\z"), size).map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => {
            format!("too large: more than {instructions} instructions")
        }
        other => other.to_string(),
    })
}

fn translated(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut characters = pattern.chars().peekable();
    let mut in_brackets = false;
    while let Some(c) = characters.next() {
        match c {
            '\\' => match characters.next() {
                Some('Q') => quote(&mut characters, &mut out),
                Some(escaped) => out.push_str(&escape(escaped, in_brackets)),
                None => out.push('\\'),
            },
            '[' if !in_brackets => {
                in_brackets = true;
                out.push('[');
                if characters.next_if_eq(&'^').is_some() {
                    out.push('^');
                }
                // As the first of all it stands for itself.
                if characters.next_if_eq(&']').is_some() {
                    out.push_str(r"\]");
                }
            }
            ']' => {
                in_brackets = false;
                out.push(']');
            }
            '[' if characters.peek() == Some(&':') => {
                // A named class runs to its end.
                out.push('[');
                while let Some(c) = characters.next() {
                    out.push(c);
                    if c == ':' && characters.next_if_eq(&']').is_some() {
                        out.push(']');
                        break;
                    }
                }
            }
            '[' | '&' | '~' if in_brackets => out.extend(['\\', c]),
            c => out.push(c),
        }
    }
    out
}

/// `\Q…\E`: what is between stands for itself.
fn quote(characters: &mut std::iter::Peekable<std::str::Chars<'_>>, out: &mut String) {
    let mut quoted = String::new();
    while let Some(c) = characters.next() {
        if c == '\\' && characters.next_if_eq(&'E').is_some() {
            break;
        }
        quoted.push(c);
    }
    out.push_str(&regex::escape(&quoted));
}

fn escape(c: char, in_brackets: bool) -> String {
    match (c, in_brackets) {
        ('d', true) => "[:digit:]".to_owned(),
        ('w', true) => "[:word:]".to_owned(),
        ('s', true) => r"\t\n\f\r ".to_owned(),
        ('D', true) => "[:^digit:]".to_owned(),
        ('W', true) => "[:^word:]".to_owned(),
        ('S', true) => r"[^\t\n\f\r ]".to_owned(),
        ('d', false) => "[0-9]".to_owned(),
        ('w', false) => "[0-9A-Za-z_]".to_owned(),
        ('s', false) => r"[\t\n\f\r ]".to_owned(),
        ('D', false) => "[^0-9]".to_owned(),
        ('W', false) => "[^0-9A-Za-z_]".to_owned(),
        ('S', false) => r"[^\t\n\f\r ]".to_owned(),
        ('b', false) => r"(?-u:\b)".to_owned(),
        _ => format!(r"\{c}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_mean_what_they_mean_to_re2() {
        for (pattern, text, matches) in [
            ("rack-[0-9]+", "rack-12", true),
            ("rack-[0-9]+", "rack-12b", false),
            ("a|b", "ab", false),
            (r"\d+", "12", true),
            (r"\d+", "١٢", false),
            (r"\w+", "é", false),
            (".", "é", true),
            (".", "\n", false),
            (r"[[:alpha:]_]+", "a_b", true),
            (r"[\w.-]+", "web-1.example", true),
            (r"[a[]", "[", true),
            (r"[]a]+", "]a", true),
            (r"[^]a]", "b", true),
            (r"[a&&b]", "&", true),
            (r"\Qa.b\E+", "a.bb", true),
            (r"\Qa.b", "a.b", true),
            (r"(?i)RACK", "rack", true),
            (r"a\b.c", "a-c", true),
            ("", "", true),
            ("", "a", false),
            ("é{2}", "éé", true),
        ] {
            let regex = compile(pattern, RegexLimits::default()).unwrap();
            assert_eq!(regex.is_match(text), matches, "{pattern} {text}");
        }
    }

    #[test]
    fn expressions_that_are_wrong_or_too_large_are_refused() {
        let long = "x".repeat(5000);
        for bad in
            ["(", ")", "a)(b", "[", "*", r"\", "a{1000}", "((a{30}){30}){30}", &long, "(?=a)"]
        {
            assert!(compile(bad, RegexLimits::default()).is_err(), "{bad}");
        }
        let more = RegexLimits { max_memory: 1 << 20, max_program_size: 2000 };
        assert!(compile("a{1000}", more).is_ok());
        let none = RegexLimits { max_memory: 0, max_program_size: 100 };
        assert!(compile("a", none).is_err());
    }

    #[test]
    fn expressions_of_real_frameworks_fit_into_the_default_limits() {
        for pattern in [
            "rack-[0-9]+",
            r"(us-east-1a|us-east-1b|eu-west-1c)",
            r"node-[0-9]{1,4}\.dc[12]\.example\.com",
            ".*gpu.*",
            r"^(?:[a-z0-9-]+\.){2}internal$",
        ] {
            assert!(compile(pattern, RegexLimits::default()).is_ok(), "{pattern}");
        }
    }
}
