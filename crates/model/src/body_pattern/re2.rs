//! Translates RE2 syntax, as Go's `regexp.Compile` reads it, to the syntax of the crate `regex`.
//!
//! Every character is written so that it has one meaning in `regex`. Greediness is dropped, since it does not change
//! whether a text matches.

mod class;

use std::{fmt::Write as _, str::Chars};

use self::class::{PERL_CLASSES, write_class};

/// A translated expression.
pub struct Translated {
    /// The expression in the syntax of `regex`.
    pub text: String,
    /// True if it contains `$`, `\z`, `\b` or `\B`.
    pub looks_ahead: bool,
    /// True if all characters outside of ASCII are alike to the expression: it names none, and no item ignores case
    /// (`(?i)k` also matches U+212A).
    pub is_ascii: bool,
}

/// The flags of `(?ims)` that are in effect.
#[derive(Clone, Copy, Default)]
struct Flags {
    fold_case: bool,
    multi_line: bool,
    dot_newline: bool,
}

struct Translator<'a> {
    rest: Chars<'a>,
    out: String,
    flags: Flags,
    /// The flags outside of each open group.
    outer: Vec<Flags>,
    looks_ahead: bool,
    is_ascii: bool,
}

/// Translates `pattern`. Errors are human-readable.
pub fn translate(pattern: &str) -> Result<Translated, String> {
    let mut translator = Translator {
        rest: pattern.chars(),
        out: String::with_capacity(pattern.len() * 2),
        flags: Flags::default(),
        outer: Vec::new(),
        looks_ahead: false,
        is_ascii: true,
    };
    while let Some(next) = translator.rest.next() {
        translator.element(next)?;
    }
    if !translator.outer.is_empty() {
        return Err("missing closing )".to_owned());
    }
    let Translator { out: text, looks_ahead, is_ascii, .. } = translator;
    Ok(Translated { text, looks_ahead, is_ascii })
}

impl Translator<'_> {
    fn element(&mut self, next: char) -> Result<(), String> {
        match next {
            '\\' => self.escape()?,
            '[' => {
                let class = write_class(&mut self.rest)?;
                self.is_ascii &= class.is_ascii;
                self.item(&class.text);
            }
            '(' => self.group()?,
            ')' => {
                self.flags = self.outer.pop().ok_or("unexpected )")?;
                self.out.push(')');
            }
            '|' => self.out.push('|'),
            '*' | '+' | '?' => {
                self.out.push(next);
                self.skip_lazy();
            }
            '{' => self.brace(),
            '.' => self.out.push_str(if self.flags.dot_newline { "(?s:.)" } else { r"[^\n]" }),
            '^' => self.out.push_str(if self.flags.multi_line { "(?m:^)" } else { r"\A" }),
            '$' => self.assert_ahead(if self.flags.multi_line { "(?m:$)" } else { r"\z" }),
            other => self.literal(other.into()),
        }
        Ok(())
    }

    /// Writes a character or class in the current case sensitivity.
    fn item(&mut self, text: &str) {
        if self.flags.fold_case {
            self.is_ascii = false;
            let _ = write!(self.out, "(?i:{text})");
        } else {
            self.out.push_str(text);
        }
    }

    fn literal(&mut self, code: u32) {
        self.is_ascii &= code <= 0x7F;
        match char::from_u32(code) {
            Some(plain) if plain.is_ascii_digit() || !plain.is_ascii() => self.item(plain.encode_utf8(&mut [0; 4])),
            Some(letter) if letter.is_ascii_alphabetic() => self.item(letter.encode_utf8(&mut [0; 4])),
            Some(_) => {
                let _ = write!(self.out, "\\x{{{code:X}}}");
            }
            // A surrogate: no text contains one.
            None => self.out.push_str(class::EMPTY),
        }
    }

    fn assert_ahead(&mut self, assertion: &str) {
        self.looks_ahead = true;
        self.out.push_str(assertion);
    }

    fn skip_lazy(&mut self) {
        if self.rest.as_str().starts_with('?') {
            self.rest.next();
        }
    }

    /// A repetition count, or the literal brace that RE2 reads where there is none.
    fn brace(&mut self) {
        let rest = self.rest.as_str();
        match rest.split_once('}').filter(|(count, _)| is_count(count)) {
            Some((count, after)) => {
                let _ = write!(self.out, "{{{count}}}");
                self.rest = after.chars();
                self.skip_lazy();
            }
            None => self.literal('{'.into()),
        }
    }

    fn escape(&mut self) -> Result<(), String> {
        let rest = self.rest.as_str();
        let Some(next) = rest.chars().next() else { return Err("trailing backslash".to_owned()) };
        let after = &rest[next.len_utf8()..];
        match next {
            'A' => self.out.push_str(r"\A"),
            'z' => self.assert_ahead(r"\z"),
            'b' => self.assert_ahead(r"(?-u:\b)"),
            'B' => self.assert_ahead(r"(?-u:\B)"),
            'Q' => {
                let (quoted, after) = after.split_once(r"\E").unwrap_or((after, ""));
                quoted.chars().for_each(|plain| self.literal(plain.into()));
                self.rest = after.chars();
                return Ok(());
            }
            _ => {
                if let Some((_, ranges)) = PERL_CLASSES.iter().find(|(name, _)| *name == next.to_ascii_lowercase()) {
                    let class = class::bracketed(ranges, next.is_ascii_uppercase());
                    self.item(&class);
                } else {
                    let code = read_escape(&mut self.rest)?;
                    self.literal(code);
                    return Ok(());
                }
            }
        }
        self.rest = after.chars();
        Ok(())
    }

    /// The part of a group up to its content, or a change of flags: `(?i)`.
    fn group(&mut self) -> Result<(), String> {
        const UNKNOWN: &str = "unknown syntax after (?";
        let rest = self.rest.as_str();
        let outer = self.flags;
        if let Some(special) = rest.strip_prefix('?') {
            if let Some(named) = special.strip_prefix("P<").or_else(|| special.strip_prefix('<')) {
                self.rest = named.split_once('>').ok_or("missing > of a group's name")?.1.chars();
            } else {
                let end = special.find([':', ')']).ok_or(UNKNOWN)?;
                self.flags = outer.changed(&special[..end]).ok_or(UNKNOWN)?;
                self.rest = special[end + 1..].chars();
                if special[end..].starts_with(')') {
                    return Ok(());
                }
            }
        }
        self.outer.push(outer);
        self.out.push_str("(?:");
        Ok(())
    }
}

impl Flags {
    /// The flags after a change such as `is-m`.
    fn changed(mut self, change: &str) -> Option<Self> {
        let mut set = true;
        for flag in change.chars() {
            match flag {
                'i' => self.fold_case = set,
                'm' => self.multi_line = set,
                's' => self.dot_newline = set,
                'U' => {}
                '-' if set => set = false,
                _ => return None,
            }
        }
        Some(self)
    }
}

/// True for `n`, `n,` and `n,m`.
fn is_count(text: &str) -> bool {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let (low, high) = text.split_once(',').unwrap_or((text, ""));
    is_number(low) && (high.is_empty() || is_number(high))
}

/// Reads the rest of an escaped character, as in Go's `parseEscape`. Returns its code, which may be a surrogate.
fn read_escape(rest: &mut Chars<'_>) -> Result<u32, String> {
    let unsupported = |next: char| format!("the escape \\{next} is not supported");
    let Some(next) = rest.next() else { return Err("trailing backslash".to_owned()) };
    Ok(match next {
        'a' => 0x07,
        'f' => 0x0C,
        'n' => 0x0A,
        'r' => 0x0D,
        't' => 0x09,
        'v' => 0x0B,
        'x' => return read_hexadecimal(rest).ok_or_else(|| unsupported(next)),
        '0' => read_octal(next, rest),
        '1'..='7' if rest.as_str().starts_with(|digit| matches!(digit, '0'..='7')) => read_octal(next, rest),
        _ if next.is_ascii() && !next.is_ascii_alphanumeric() => next.into(),
        _ => return Err(unsupported(next)),
    })
}

fn read_octal(first: char, rest: &mut Chars<'_>) -> u32 {
    let mut code = first.to_digit(8).unwrap_or(0);
    for _ in 0..2 {
        let Some(digit) = rest.as_str().chars().next().and_then(|next| next.to_digit(8)) else { break };
        code = code * 8 + digit;
        rest.next();
    }
    code
}

/// `7F` or `{10FFFF}`.
fn read_hexadecimal(rest: &mut Chars<'_>) -> Option<u32> {
    let text = rest.as_str();
    let (digits, after) = match text.strip_prefix('{') {
        Some(braced) => braced.split_once('}')?,
        None => text.split_at_checked(2)?,
    };
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let code = u32::from_str_radix(digits.trim_start_matches('0'), 16).or_else(|error| match error.kind() {
        std::num::IntErrorKind::Empty => Ok(0),
        _ => Err(error),
    });
    let code = code.ok().filter(|code| *code <= char::MAX.into())?;
    *rest = after.chars();
    Some(code)
}
