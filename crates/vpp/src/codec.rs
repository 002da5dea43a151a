//! The values that messages are made of, on the wire: packed and big-endian.
//!
//! [`Wire`] is implemented here for every kind of field that VPP's `.api` files use, both ways. Every
//! read is checked against what is left, and a count or length from the wire is checked before
//! anything is allocated for it. Used by [`messages`](super::messages) only.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bytes::{BufMut, BytesMut};

/// Why bytes are not the message they should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The message ends too early.
    #[error("{needed} bytes needed where {left} are left")]
    Short {
        /// Bytes the next field takes.
        needed: usize,
        /// Bytes there are.
        left: usize,
    },
    /// The message goes on after its last field.
    #[error("{left} bytes after the last field")]
    Trailing {
        /// Bytes too many.
        left: usize,
    },
    /// An address family that does not exist.
    #[error("address family {0} is neither 0 (IPv4) nor 1 (IPv6)")]
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

    /// Appends bytes as they are.
    pub fn put(&mut self, bytes: &[u8]) {
        self.0.put_slice(bytes);
    }

    /// Appends `count` zero bytes.
    pub fn pad(&mut self, count: usize) {
        self.0.put_bytes(0, count);
    }
}

/// Takes fields off the front of a message.
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
    /// When fewer are left.
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
    /// When fewer are left.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], CodecError> {
        let Some((taken, rest)) = self.0.split_first_chunk::<N>() else {
            return Err(CodecError::Short { needed: N, left: self.0.len() });
        };
        self.0 = rest;
        Ok(*taken)
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// When bytes are left: VPP drops a request of the wrong size, so a message that goes on is
    /// not the one it claims to be.
    pub fn finish(self) -> Result<(), CodecError> {
        if self.0.is_empty() { Ok(()) } else { Err(CodecError::Trailing { left: self.0.len() }) }
    }
}

/// A kind of field.
pub trait Wire: Sized {
    /// Appends the field.
    fn put(&self, to: &mut Writer<'_>);

    /// Reads the field.
    ///
    /// # Errors
    /// When the bytes left do not hold one.
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

/// `vl_api_prefix_t` and `vl_api_address_with_prefix_t`. The length is as the wire has it: plugins up
/// to 26.06 count an IPv4 prefix from 96.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefix {
    pub address: IpAddr,
    /// Its leading bits that count.
    pub length: u8,
}

impl Prefix {
    /// The all-zero prefix, which dumps take for "everything".
    pub const ZERO: Self = Self { address: IpAddr::V4(Ipv4Addr::UNSPECIFIED), length: 0 };

    /// The prefix of just this address.
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
    /// `text`, cut where it would not leave room for a closing NUL.
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
        Ok(Self(String::from_utf8_lossy(text).into_owned()))
    }
}

/// `string name[]`: a `u32` length, then the text.
impl Wire for String {
    fn put(&self, to: &mut Writer<'_>) {
        u32::try_from(self.len()).expect("texts we write are short").put(to);
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

    fn back<W: Wire>(bytes: &[u8]) -> Result<W, CodecError> {
        let mut reader = Reader::new(bytes);
        let value = W::get(&mut reader)?;
        reader.finish().map(|()| value)
    }

    #[test]
    fn an_ipv4_address_takes_the_first_four_of_sixteen_bytes() {
        let address: IpAddr = "192.0.2.10".parse().unwrap();
        assert_eq!(bytes(&address), [0, 192, 0, 2, 10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        let stray = [0, 192, 0, 2, 10, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9];
        assert_eq!(back::<IpAddr>(&stray), Ok(address), "what follows an IPv4 address means nothing");
        assert_eq!(back::<IpAddr>(&[2; 17]), Err(CodecError::Family(2)));
    }

    #[test]
    fn a_length_beyond_the_message_is_an_error_and_allocates_nothing() {
        assert_eq!(
            back::<String>(&[255, 255, 255, 255, b'a']),
            Err(CodecError::Short { needed: 0xffff_ffff, left: 1 })
        );
        assert_eq!(back::<String>(&[0, 0, 0, 1, b'a']), Ok("a".to_owned()));
        assert_eq!(back::<u32>(&[0, 0, 0]), Err(CodecError::Short { needed: 4, left: 3 }));
        assert_eq!(back::<u8>(&[0, 0]), Err(CodecError::Trailing { left: 1 }));
    }

    #[test]
    fn fixed_text_is_padded_and_cut_between_characters() {
        assert_eq!(bytes(&Text::<4>::new("ab")), b"ab\0\0");
        assert_eq!(bytes(&Text::<4>::new("abcd")), b"abc\0");
        assert_eq!(bytes(&Text::<4>::new("aßß")), "aß\0".as_bytes());
        assert_eq!(back::<Text<4>>(b"abcd").unwrap().as_str(), "abcd");
        assert_eq!(back::<Text<4>>(b"\xffb\0d").unwrap().as_str(), "\u{fffd}b");
    }
}
