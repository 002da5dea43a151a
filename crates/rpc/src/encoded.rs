//! A message of events that is encoded already, because others get the same.

use bytes::{Buf, BufMut, Bytes};
use prost::{
    DecodeError, Message,
    encoding::{DecodeContext, WireType, skip_field},
};

/// A `WatchEventsResponse`: what this watcher alone is told, then what all are. Fields may stand anywhere in a message,
/// so one after the other is a message as well.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Encoded {
    own: Bytes,
    shared: Bytes,
}

impl Encoded {
    /// The message of both parts; the fields of each must be those that the other has not.
    pub(crate) fn new(own: Bytes, shared: Bytes) -> Self {
        Self { own, shared }
    }
}

impl Message for Encoded {
    fn encode_raw(&self, buf: &mut impl BufMut) {
        buf.put_slice(&self.own);
        buf.put_slice(&self.shared);
    }

    fn encoded_len(&self) -> usize {
        self.own.len() + self.shared.len()
    }

    /// A server only sends these.
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
