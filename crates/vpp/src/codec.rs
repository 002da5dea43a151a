//! Field types of messages on the wire: packed and big-endian.
//!
//! [`Wire`] is implemented here, in both directions, for every field type in VPP's `.api` files. Every read is checked
//! against the remaining bytes, and a count or length from the wire is checked before memory is allocated for it. Used
//! by [`messages`](super::messages) only.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bytes::{BufMut, BytesMut};

/// Failure to decode a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The message is too short.
    #[error("message too short: the next field needs {needed} bytes, {left} are left")]
    Short {
        /// Size of the next field in bytes.
        needed: usize,
        /// Remaining bytes.
        left: usize,
    },
    /// The message is too long.
    #[error("message too long: {left} bytes follow the last field")]
    Trailing {
        /// Excess bytes.
        left: usize,
    },
    /// An invalid address family.
    #[error("address family {0} is invalid: 0 (IPv4) or 1 (IPv6) expected")]
    Family(u8),
}

/// Appends fields to a buffer.
#[derive(Debug)]
pub struct Writer<'a>(&'a mut BytesMut);

impl<'a> Writer<'a> {
    /// A writer that appends to `out`.
    pub fn new(out: &'a mut BytesMut) -> Self {
        Self(out)
    }

    /// Appends raw bytes.
    pub fn put(&mut self, bytes: &[u8]) {
        self.0.put_slice(bytes);
    }

    /// Appends `count` zero bytes.
    pub fn pad(&mut self, count: usize) {
        self.0.put_bytes(0, count);
    }
}

/// Reads fields from the front of a message.
#[derive(Clone, Debug)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// A reader of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The next `count` bytes.
    ///
    /// # Errors
    /// Fewer bytes are left.
    pub fn take(&mut self, count: usize) -> Result<&'a [u8], CodecError> {
        let Some((taken, rest)) = self.0.split_at_checked(count) else {
            return Err(CodecError::Short { needed: count, left: self.0.len() });
        };
        self.0 = rest;
        Ok(taken)
    }

    /// The next `N` bytes as an array.
    ///
    /// # Errors
    /// Fewer bytes are left.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], CodecError> {
        let Some((taken, rest)) = self.0.split_first_chunk::<N>() else {
            return Err(CodecError::Short { needed: N, left: self.0.len() });
        };
        self.0 = rest;
        Ok(*taken)
    }

    /// Checks that all bytes were read.
    ///
    /// # Errors
    /// Bytes are left. VPP drops a request of the wrong size, so a message with excess bytes is not the message that
    /// its id claims.
    pub fn finish(self) -> Result<(), CodecError> {
        if self.0.is_empty() { Ok(()) } else { Err(CodecError::Trailing { left: self.0.len() }) }
    }
}

/// A field type.
pub trait Wire: Sized {
    /// Appends the field.
    fn put(&self, to: &mut Writer<'_>);

    /// Reads the field.
    ///
    /// # Errors
    /// The remaining bytes do not hold the field.
    fn get(from: &mut Reader<'_>) -> Result<Self, CodecError>;
}

macro_rules! wire_integer {
    ($($integer:ty),*) => {$(
        impl Wire for $integer {
            fn put(&self, to: &mut Writer<'_>) {
                to.put(&self.to_be_bytes());
            }

            fn get(from: &mut Reader<'_>) -> Result<Self, CodecError> {
                Ok(Self::from_be_bytes(from.array()?))
            }
        }
    )*};
}
wire_integer!(u8, u16, u32, i32);

impl Wire for bool {
    fn put(&self, to: &mut Writer<'_>) {
        u8::from(*self).put(to);
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(u8::get(from)? != 0)
    }
}

impl Wire for Ipv4Addr {
    fn put(&self, to: &mut Writer<'_>) {
        to.put(&self.octets());
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(from.array::<4>()?.into())
    }
}

impl Wire for Ipv6Addr {
    fn put(&self, to: &mut Writer<'_>) {
        to.put(&self.octets());
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(from.array::<16>()?.into())
    }
}

/// `vl_api_address_t`: the family in one byte, then 16 bytes of which IPv4 uses the first four.
impl Wire for IpAddr {
    fn put(&self, to: &mut Writer<'_>) {
        match self {
            Self::V4(address) => {
                to.put(&[0]);
                address.put(to);
                to.pad(12);
            }
            Self::V6(address) => {
                to.put(&[1]);
                address.put(to);
            }
        }
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, CodecError> {
        let family = u8::get(from)?;
        let octets = from.array::<16>()?;
        match family {
            0 => Ok(Self::V4(Ipv4Addr::new(octets[0], octets[1], octets[2], octets[3]))),
            1 => Ok(Self::V6(octets.into())),
            other => Err(CodecError::Family(other)),
        }
    }
}

/// `vl_api_prefix_t` and `vl_api_address_with_prefix_t`. The length is the value on the wire: plugins up to 26.06 count
/// an IPv4 prefix from 96.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    pub address: IpAddr,
    /// Number of significant leading bits.
    pub length: u8,
}

impl Prefix {
    /// The all-zero prefix, which matches everything in dumps.
    pub const ZERO: Self = Self { address: IpAddr::V4(Ipv4Addr::UNSPECIFIED), length: 0 };

    /// The prefix of a single address.
    pub fn host(address: IpAddr) -> Self {
        Self { address, length: if address.is_ipv4() { 32 } else { 128 } }
    }
}

impl Wire for Prefix {
    fn put(&self, to: &mut Writer<'_>) {
        self.address.put(to);
        self.length.put(to);
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self { address: Wire::get(from)?, length: Wire::get(from)? })
    }
}

/// `string name[N]`: text in exactly `N` bytes, padded with NUL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Text<const N: usize>(String);

impl<const N: usize> Text<N> {
    /// `text`, truncated to leave room for the closing NUL.
    pub fn new(text: &str) -> Self {
        Self(text[..text.floor_char_boundary(N.saturating_sub(1))].to_owned())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const N: usize> Wire for Text<N> {
    fn put(&self, to: &mut Writer<'_>) {
        let bytes = self.0.as_bytes();
        let used = bytes.len().min(N);
        to.put(&bytes[..used]);
        to.pad(N - used);
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, CodecError> {
        let bytes = from.array::<N>()?;
        let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
        // A byte that is not UTF-8 becomes a character of three.
        let mut text = String::from_utf8_lossy(text).into_owned();
        text.truncate(text.floor_char_boundary(N));
        Ok(Self(text))
    }
}

/// `string name[]`: a `u32` length, then the text.
impl Wire for String {
    fn put(&self, to: &mut Writer<'_>) {
        u32::try_from(self.len()).expect("written texts are short").put(to);
        to.put(self.as_bytes());
    }

    fn get(from: &mut Reader<'_>) -> Result<Self, CodecError> {
        let length = usize::try_from(u32::get(from)?).unwrap_or(usize::MAX);
        let bytes = from.take(length)?;
        Ok(Self::from_utf8_lossy(bytes).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(value: &impl Wire) -> Vec<u8> {
        let mut out = BytesMut::new();
        value.put(&mut Writer::new(&mut out));
        out.to_vec()
    }

    fn decode<W: Wire>(bytes: &[u8]) -> Result<W, CodecError> {
        let mut reader = Reader::new(bytes);
        let value = W::get(&mut reader)?;
        reader.finish().map(|()| value)
    }

    #[test]
    fn ipv4_address_uses_the_first_four_of_sixteen_bytes() {
        let address: IpAddr = "192.0.2.10".parse().unwrap();
        assert_eq!(bytes(&address), [0, 192, 0, 2, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        let stray = [0, 192, 0, 2, 10, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9];
        assert_eq!(decode::<IpAddr>(&stray), Ok(address), "bytes after an IPv4 address are ignored");
        assert_eq!(decode::<IpAddr>(&[2; 17]), Err(CodecError::Family(2)));
    }

    #[test]
    fn length_beyond_the_message_is_an_error_and_allocates_nothing() {
        assert_eq!(
            decode::<String>(&[255, 255, 255, 255, b'a']),
            Err(CodecError::Short { needed: 0xffff_ffff, left: 1 })
        );
        assert_eq!(decode::<String>(&[0, 0, 0, 1, b'a']), Ok("a".to_owned()));
        assert_eq!(decode::<u32>(&[0, 0, 0]), Err(CodecError::Short { needed: 4, left: 3 }));
        assert_eq!(decode::<u8>(&[0, 0]), Err(CodecError::Trailing { left: 1 }));
    }

    #[test]
    fn fixed_text_is_padded_and_truncated_between_characters() {
        assert_eq!(bytes(&Text::<4>::new("ab")), b"ab\0\0");
        assert_eq!(bytes(&Text::<4>::new("abcd")), b"abc\0");
        assert_eq!(bytes(&Text::<4>::new("aßß")), "aß\0".as_bytes());
        assert_eq!(decode::<Text<4>>(b"abcd").unwrap().as_str(), "abcd");
        assert_eq!(decode::<Text<4>>(b"\xffb\0d").unwrap().as_str(), "\u{fffd}b");
        assert_eq!(decode::<Text<4>>(b"\xff\xff\xff\xff").unwrap().as_str(), "\u{fffd}");
    }
}
