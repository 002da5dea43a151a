//! Character classes: `[…]`, and the named ones, which contain ASCII characters only.

use std::{fmt::Write as _, str::Chars};

use super::read_escape;

type Ranges = &'static [(u8, u8)];

const DIGIT: Ranges = &[(b'0', b'9')];
const WORD: Ranges = &[(b'0', b'9'), (b'A', b'Z'), (b'_', b'_'), (b'a', b'z')];

/// `\d`, `\s` and `\w`.
pub const PERL_CLASSES: [(char, Ranges); 3] =
    [('d', DIGIT), ('s', &[(b'\t', b'\n'), (0x0C, b'\r'), (b' ', b' ')]), ('w', WORD)];

/// `[:alnum:]` and so on.
const POSIX_CLASSES: [(&str, Ranges); 14] = [
    ("alnum", &[(b'0', b'9'), (b'A', b'Z'), (b'a', b'z')]),
    ("alpha", &[(b'A', b'Z'), (b'a', b'z')]),
    ("ascii", &[(0, 0x7F)]),
    ("blank", &[(b'\t', b'\t'), (b' ', b' ')]),
    ("cntrl", &[(0, 0x1F), (0x7F, 0x7F)]),
    ("digit", DIGIT),
    ("graph", &[(b'!', b'~')]),
    ("lower", &[(b'a', b'z')]),
    ("print", &[(b' ', b'~')]),
    ("punct", &[(b'!', b'/'), (b':', b'@'), (b'[', b'`'), (b'{', b'~')]),
    ("space", &[(b'\t', b'\r'), (b' ', b' ')]),
    ("upper", &[(b'A', b'Z')]),
    ("word", WORD),
    ("xdigit", &[(b'0', b'9'), (b'A', b'F'), (b'a', b'f')]),
];

/// A class that contains no character.
pub const EMPTY: &str = "[a&&b]";

/// A class in the syntax of `regex`.
pub struct Class {
    pub text: String,
    /// True if it names no character outside of ASCII.
    pub is_ascii: bool,
}

/// The class of `ranges`, or of all other characters.
pub fn bracketed(ranges: Ranges, is_negated: bool) -> String {
    let mut out = String::from(if is_negated { "[^" } else { "[" });
    ranges.iter().for_each(|(low, high)| write_range(&mut out, (*low).into(), (*high).into()));
    out + "]"
}

/// Reads a class after its `[`, as Go's `parseClass`, and writes it in the syntax of `regex`.
pub fn write_class(rest: &mut Chars<'_>) -> Result<Class, String> {
    let mut out = String::from("[");
    let mut is_ascii = true;
    if rest.as_str().starts_with('^') {
        rest.next();
        out.push('^');
    }
    let items = out.len();
    let mut is_first = true;
    while is_first || !rest.as_str().starts_with(']') {
        is_first = false;
        match named_class(rest)? {
            Some(class) => out.push_str(&class),
            None => {
                let (low, high) = read_range(rest)?;
                is_ascii &= high <= 0x7F;
                write_range(&mut out, low, high);
            }
        }
    }
    rest.next();
    if out.len() == items {
        out.push_str(EMPTY);
    }
    out.push(']');
    Ok(Class { text: out, is_ascii })
}

/// `[:alpha:]`, `[:^alpha:]` or `\d`, if there is one next.
fn named_class(rest: &mut Chars<'_>) -> Result<Option<String>, String> {
    let text = rest.as_str();
    if let Some((name, after)) = text.strip_prefix("[:").and_then(|name| name.split_once(":]")) {
        let (plain, is_negated) = name.strip_prefix('^').map_or((name, false), |plain| (plain, true));
        let class = POSIX_CLASSES.iter().find(|(known_name, _)| *known_name == plain);
        let (_, ranges) = class.ok_or_else(|| format!("[:{name}:] is not a class"))?;
        *rest = after.chars();
        return Ok(Some(bracketed(ranges, is_negated)));
    }
    let Some(letter) = text.strip_prefix('\\').and_then(|name| name.chars().next()) else { return Ok(None) };
    let class = PERL_CLASSES.iter().find(|(name, _)| *name == letter.to_ascii_lowercase());
    Ok(class.map(|(_, ranges)| {
        *rest = text[2..].chars();
        bracketed(ranges, letter.is_ascii_uppercase())
    }))
}

/// One character, or a range such as `a-z`.
fn read_range(rest: &mut Chars<'_>) -> Result<(u32, u32), String> {
    let low = read_character(rest)?;
    let is_range = rest.as_str().strip_prefix('-').is_some_and(|after| !after.is_empty() && !after.starts_with(']'));
    if !is_range {
        return Ok((low, low));
    }
    rest.next();
    let high = read_character(rest)?;
    if high < low { Err("a range in [...] ends before it begins".to_owned()) } else { Ok((low, high)) }
}

fn read_character(rest: &mut Chars<'_>) -> Result<u32, String> {
    match rest.next() {
        None => Err("missing closing ]".to_owned()),
        Some('\\') => read_escape(rest),
        Some(plain) => Ok(plain.into()),
    }
}

/// Writes a range without the surrogates in it.
fn write_range(out: &mut String, low: u32, high: u32) {
    const SURROGATES: std::ops::RangeInclusive<u32> = 0xD800..=0xDFFF;
    let low = if SURROGATES.contains(&low) { SURROGATES.end() + 1 } else { low };
    let high = if SURROGATES.contains(&high) { SURROGATES.start() - 1 } else { high };
    if low <= high {
        let _ = write!(out, "\\x{{{low:X}}}-\\x{{{high:X}}}");
    }
}
