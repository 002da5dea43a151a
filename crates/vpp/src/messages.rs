//! The messages exchanged with VPP: names, CRCs and fields as defined in VPP's `.api` files.
//!
//! One file per VPP module. Every message encodes and decodes, because the VPP simulator uses the same types from the
//! other side. The session and the simulator add the header before the fields: the id from VPP's message table, the
//! client index and the context.
//!
//! VPP drops a message of the wrong size without a reply, and `.api` defaults do not apply on the wire: so every field
//! is always present and filled in.

use bytes::BytesMut;

use super::{
    codec::{CodecError, Reader, Wire, Writer},
    frame,
};

/// Defines a message with `$name`, `$crc` and the fields in the order of the wire.
macro_rules! message {
    (
        $(#[$doc:meta])*
        $header:ident $type:ident = $name:literal $crc:literal {
            $($(#[$field_doc:meta])* $field:ident: $kind:ty,)*
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $type {
            $($(#[$field_doc])* pub $field: $kind,)*
        }

        impl $crate::messages::Message for $type {
            const NAME: &'static str = $name;
            const CRC: u32 = $crc;
            const HEADER_KIND: $crate::messages::HeaderKind = $crate::messages::HeaderKind::$header;

            #[allow(unused_variables, reason = "some messages have no fields")]
            fn encode(&self, to: &mut $crate::codec::Writer<'_>) {
                $($crate::codec::Wire::put(&self.$field, to);)*
            }

            #[allow(unused_variables, reason = "some messages have no fields")]
            fn decode(
                from: &mut $crate::codec::Reader<'_>,
            ) -> Result<Self, $crate::codec::CodecError> {
                Ok(Self { $($field: $crate::codec::Wire::get(from)?,)* })
            }
        }

        #[cfg(test)]
        impl $crate::messages::round_trip::Sample for $type {
            #[allow(unused_variables, reason = "some messages have no fields")]
            fn sample(random: &mut fastrand::Rng) -> Self {
                Self { $($field: $crate::messages::round_trip::Sample::sample(random),)* }
            }
        }
    };
}

/// Defines the reply of `$request` with nothing but a return value.
macro_rules! autoreply {
    ($request:ident => $type:ident = $name:literal) => {
        message! {
            #[doc = concat!("The reply to [`", stringify!($request), "`].")]
            Reply $type = $name 0xe8d4_e804 {
                /// 0, or a negative number of [`errno`](crate::errno).
                retval: i32,
            }
        }
        answered!($request => $type);
    };
}

/// Connects a request with its reply, which has a `retval`.
macro_rules! answered {
    ($request:ident => $reply:ident) => {
        impl $crate::messages::Request for $request {
            type Reply = $reply;
        }

        impl $crate::messages::Reply for $reply {
            fn retval(&self) -> i32 {
                self.retval
            }
        }
    };
}

pub mod ip;
pub mod lb;
pub mod memclnt;
#[cfg(test)]
mod round_trip;
pub mod vlib;
pub mod vpe;

/// Header fields between a message's id and its own fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderKind {
    /// `client_index`, `context`: requests (and `sockclnt_create_reply`).
    Request,
    /// `context`: replies and details (and `sockclnt_create`).
    Reply,
}

/// A message of VPP's API.
pub trait Message: Sized + Send + 'static {
    const NAME: &'static str;
    /// Checksum of the definition. VPP's table lists `<name>_<crc as 8 hex digits>`.
    const CRC: u32;
    /// The header before the fields.
    const HEADER_KIND: HeaderKind;

    /// Appends the fields.
    fn encode(&self, to: &mut Writer<'_>);

    /// Decodes the fields.
    ///
    /// # Errors
    /// The message is too short or has an invalid value.
    fn decode(from: &mut Reader<'_>) -> Result<Self, CodecError>;
}

/// A message to which VPP sends one reply.
pub trait Request: Message {
    type Reply: Reply;
}

/// The reply to a [`Request`].
pub trait Reply: Message {
    /// 0, or an error number (see [`errno`](super::errno)).
    fn retval(&self) -> i32;
}

/// A message to which VPP sends any number of details, without an end marker.
pub trait Dump: Message {
    type Details: Message;
}

/// The header of a message: the id and the fields of its [`HeaderKind`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Envelope {
    /// From VPP's message table.
    pub id: u16,
    /// From `sockclnt_create_reply`; 0 if the header has none.
    pub client_index: u32,
    /// Chosen by the client and repeated in the reply.
    pub context: u32,
}

/// Appends `message` to `out` as a frame.
pub fn encode<M: Message>(envelope: Envelope, message: &M, out: &mut BytesMut) {
    frame::put(out, |to| {
        envelope.id.put(to);
        if M::HEADER_KIND == HeaderKind::Request {
            envelope.client_index.put(to);
        }
        envelope.context.put(to);
        message.encode(to);
    });
}

/// Decodes a frame's body as an `M`. The caller has checked the id.
///
/// # Errors
/// The body is shorter or longer than the message, or has an invalid value.
pub fn decode<M: Message>(body: &[u8]) -> Result<(Envelope, M), CodecError> {
    let mut from = Reader::new(body);
    let envelope = header(&mut from, M::HEADER_KIND)?;
    let message = M::decode(&mut from)?;
    from.finish()?;
    Ok((envelope, message))
}

/// The `retval` in the body of a [`Reply`]: the first field in all of VPP's replies.
pub fn retval(body: &[u8]) -> Option<i32> {
    let mut from = Reader::new(body);
    header(&mut from, HeaderKind::Reply).and_then(|_| Wire::get(&mut from)).ok()
}

/// The message id of a frame's body.
pub fn id(body: &[u8]) -> Option<u16> {
    body.first_chunk().map(|id| u16::from_be_bytes(*id))
}

/// Decodes the header only.
///
/// # Errors
/// The body ends within the header.
pub fn peek(body: &[u8], kind: HeaderKind) -> Result<Envelope, CodecError> {
    header(&mut Reader::new(body), kind)
}

fn header(from: &mut Reader<'_>, kind: HeaderKind) -> Result<Envelope, CodecError> {
    let id = Wire::get(from)?;
    let client_index = if kind == HeaderKind::Request { Wire::get(from)? } else { 0 };
    Ok(Envelope { id, client_index, context: Wire::get(from)? })
}

/// A message's name and CRC, without its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Signature {
    pub name: &'static str,
    pub crc: u32,
}

impl Signature {
    /// The signature of `M`.
    pub const fn new<M: Message>() -> Self {
        Self { name: M::NAME, crc: M::CRC }
    }

    /// The entry in VPP's message table.
    pub fn table_name(&self) -> String {
        format!("{}_{:08x}", self.name, self.crc)
    }
}

/// A message of [`KNOWN_MESSAGES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownMessage {
    pub name: &'static str,
    /// Position in [`KNOWN_MESSAGES`].
    pub index: usize,
}

impl KnownMessage {
    /// The entry of `M`. An unknown message is a compile error.
    pub const fn new<M: Message>() -> Self {
        const { Self { name: M::NAME, index: index(M::NAME) } }
    }
}

const fn index(name: &str) -> usize {
    let mut index = 0;
    while index < KNOWN_MESSAGES.len() {
        if same(KNOWN_MESSAGES[index].name.as_bytes(), name.as_bytes()) {
            return index;
        }
        index += 1;
    }
    assert!(index < KNOWN_MESSAGES.len(), "every message is in KNOWN_MESSAGES");
    index
}

const fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut i = 0;
    while i < a.len() {
        if a[i] != b[i] {
            return false;
        }
        i += 1;
    }
    true
}

macro_rules! known_messages {
    ($($type:ty,)*) => {
        /// All messages that this client knows.
        pub const KNOWN_MESSAGES: &[Signature] = &[$(Signature::new::<$type>(),)*];

        #[cfg(test)]
        fn every_message(check: &mut impl round_trip::Check) {
            $(check.check::<$type>();)*
        }
    };
}

known_messages! {
    memclnt::SockclntCreate,
    memclnt::SockclntCreateReply,
    memclnt::SockclntDelete,
    memclnt::SockclntDeleteReply,
    memclnt::ControlPing,
    memclnt::ControlPingReply,
    vpe::ShowVersion,
    vpe::ShowVersionReply,
    vlib::CliInband,
    vlib::CliInbandReply,
    ip::IpRouteLookupV2,
    ip::IpRouteLookupV2Reply,
    lb::LbConf,
    lb::LbConfReply,
    lb::LbConfGet,
    lb::LbConfGetReply,
    lb::LbAddDelVip,
    lb::LbAddDelVipReply,
    lb::LbAddDelVipV2,
    lb::LbAddDelVipV2Reply,
    lb::LbAddDelAs,
    lb::LbAddDelAsReply,
    lb::LbAddDelAsV2,
    lb::LbAddDelAsV2Reply,
    lb::LbAsSetWeight,
    lb::LbAsSetWeightReply,
    lb::LbFlushVip,
    lb::LbFlushVipReply,
    lb::LbVipDump,
    lb::LbVipDetails,
    lb::LbAsDump,
    lb::LbAsDetails,
    lb::LbAsV2Dump,
    lb::LbAsV2Details,
}

#[cfg(test)]
mod tests {
    use super::{
        ip::IpRouteLookupV2Reply,
        lb::{LbAddDelAsV2Reply, LbConfGetReply},
        memclnt::ControlPingReply,
        round_trip::Sample,
        vlib::CliInbandReply,
        vpe::ShowVersionReply,
        *,
    };

    fn check_retval<R: Reply + Sample>(random: &mut fastrand::Rng) {
        let (reply, mut out) = (R::sample(random), BytesMut::new());
        encode(Envelope::default(), &reply, &mut out);
        let body = frame::parse(&mut out).expect("a frame").expect("a whole one");
        assert_eq!(retval(&body), Some(reply.retval()), "{}", R::NAME);
        assert_eq!(retval(&body[..9]), None, "{}", R::NAME);
    }

    #[test]
    fn retval_is_decoded_without_the_reply_type() {
        let random = &mut fastrand::Rng::with_seed(1);
        check_retval::<ControlPingReply>(random);
        check_retval::<ShowVersionReply>(random);
        check_retval::<CliInbandReply>(random);
        check_retval::<IpRouteLookupV2Reply>(random);
        check_retval::<LbConfGetReply>(random);
        check_retval::<LbAddDelAsV2Reply>(random);
    }

    #[test]
    fn known_message_index_matches_the_list() {
        let messages = [
            KnownMessage::new::<memclnt::ControlPing>(),
            KnownMessage::new::<memclnt::SockclntCreate>(),
            KnownMessage::new::<lb::LbAsV2Details>(),
        ];
        for message in messages {
            assert_eq!(KNOWN_MESSAGES[message.index].name, message.name);
        }
    }
}
