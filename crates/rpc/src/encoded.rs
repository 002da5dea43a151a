//! An encoded response, of which callers share the bytes.

use bytes::{Buf, BufMut, Bytes};
use prost::{
    DecodeError, Message,
    encoding::{DecodeContext, WireType, skip_field},
};

/// A response in two encoded parts: the fields for this caller, then the fields shared by all callers. The concatenation
/// of encoded messages is a valid message.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EncodedResponse {
    own: Bytes,
    shared: Bytes,
}

impl EncodedResponse {
    /// Each field must be set in only one of the parts.
    pub(crate) fn new(own: Bytes, shared: Bytes) -> Self {
        Self { own, shared }
    }

    /// A response that is the same for all callers.
    pub(crate) fn shared(shared: Bytes) -> Self {
        Self::new(Bytes::new(), shared)
    }
}

impl Message for EncodedResponse {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        buf.put_slice(&self.own);
        buf.put_slice(&self.shared);
    }

    fn encoded_len(&self) -> usize {
        self.own.len() + self.shared.len()
    }

    /// Skips all fields: a server only sends this message.
    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buf: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        skip_field(wire_type, tag, buf, context)
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}
