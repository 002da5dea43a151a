//! The text of `--send` with its escapes.

use std::str::FromStr;

/// Bytes to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload(pub Vec<u8>);

/// A text with an unknown escape.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(r"\{0} is no escape: write \r, \n, \t, \0, \\ or two hexadecimal digits like \x1f")]
pub struct PayloadError(String);

impl FromStr for Payload {
    type Err = PayloadError;

    fn from_str(text: &str) -> Result<Self, PayloadError> {
        let mut bytes = Vec::with_capacity(text.len());
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('\\') {
            bytes.extend_from_slice(before.as_bytes());
            let (byte, length) = escape(after).ok_or_else(|| PayloadError(after.chars().take(3).collect()))?;
            bytes.push(byte);
            rest = &after[length..];
        }
        bytes.extend_from_slice(rest.as_bytes());
        Ok(Self(bytes))
    }
}

/// The byte of an escape, and the length of the escape after its backslash.
fn escape(text: &str) -> Option<(u8, usize)> {
    let simple = match text.as_bytes().first()? {
        b'r' => b'\r',
        b'n' => b'\n',
        b't' => b'\t',
        b'0' => 0,
        b'\\' => b'\\',
        b'x' => {
            let digits = text.get(1..3).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
            return Some((u8::from_str_radix(digits, 16).ok()?, 3));
        }
        _ => return None,
    };
    Some((simple, 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_become_bytes() {
        let bytes = |text: &str| text.parse::<Payload>().map(|payload| payload.0);
        assert_eq!(bytes(r"GET / HTTP/1.0\r\n\r\n").unwrap(), b"GET / HTTP/1.0\r\n\r\n");
        assert_eq!(bytes(r"\x00\xfFé\\n\t\0").unwrap(), [&b"\x00\xff"[..], "é".as_bytes(), b"\\n\t\0"].concat());
        for wrong in [r"\q", r"\x1", r"\xg0", r"\x+1", "\\"] {
            assert!(bytes(wrong).unwrap_err().to_string().contains("is no escape"), "{wrong}");
        }
    }
}
