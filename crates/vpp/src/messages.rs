//! The messages we exchange with VPP: their names, CRCs and fields, as VPP's `.api` files define them.
//!
//! One file per VPP module. Every message encodes and decodes, because the simulator in `sandbox` is
//! the other end of the same types. What the session and the simulator add around the fields is the
//! head: the id that VPP's message table assigns, our client index and the context.
//!
//! VPP drops a message of the wrong size without an answer, and `.api` defaults are not wire
//! defaults: so every field is always there and always filled in.

use bytes::BytesMut;

use super::{
    codec::{CodecError, Reader, Wire, Writer},
    frame,
};

/// A message with `$name`, `$crc` and the fields in the order of the wire.
macro_rules! message {
    (
        $(#[$doc:meta])*
        $head:ident $type:ident = $name:literal $crc:literal {
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
            const HEAD: $crate::messages::Head = $crate::messages::Head::$head;

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
        impl $crate::messages::sample::Sample for $type {
            #[allow(unused_variables, reason = "some messages have no fields")]
            fn sample(random: &mut fastrand::Rng) -> Self {
                Self { $($field: $crate::messages::sample::Sample::sample(random),)* }
            }
        }
    };
}

/// A request, and the reply that has nothing but a return value.
macro_rules! autoreply {
    ($request:ident => $type:ident = $name:literal) => {
        message! {
            #[doc = concat!("Whether VPP did what `", stringify!($request), "` asked for.")]
            Reply $type = $name 0xe8d4_e804 {
                /// 0, or a negative number of [`errno`](crate::errno).
                retval: i32,
            }
        }
        answered!($request => $type);
    };
}

/// A request and its reply, which has a `retval`.
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
mod sample;
pub mod vlib;
pub mod vpe;

/// What stands between a message's id and its fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Head {
    /// `client_index`, `context`: requests (and `sockclnt_create_reply`).
    Request,
    /// `context`: replies and details (and `sockclnt_create`).
    Reply,
}

/// A message of VPP's API.
pub trait Message: Sized + Send + 'static {
    const NAME: &'static str;
    /// The checksum of its definition. VPP's table lists `<name>_<crc as 8 hex digits>`.
    const CRC: u32;
    /// What precedes its fields.
    const HEAD: Head;

    /// Appends the fields.
    fn encode(&self, to: &mut Writer<'_>);

    /// Reads the fields.
    ///
    /// # Errors
    /// When the bytes end early or a value does not exist.
    fn decode(from: &mut Reader<'_>) -> Result<Self, CodecError>;
}

/// A message that VPP answers with one reply.
pub trait Request: Message {
    type Reply: Reply;
}

/// A message that answers a [`Request`].
pub trait Reply: Message {
    /// 0, or why VPP did not do it (see [`errno`](super::errno)).
    fn retval(&self) -> i32;
}

/// A message that VPP answers with any number of details, and with no word about the last.
pub trait Dump: Message {
    type Details: Message;
}

/// The id, and what [`Head`] says follows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Envelope {
    /// From VPP's message table.
    pub id: u16,
    /// From `sockclnt_create_reply`; 0 where the head has none.
    pub client_index: u32,
    /// Chosen by the client; a reply repeats it.
    pub context: u32,
}

/// Appends `message` to `out` as a frame.
pub fn encode<M: Message>(envelope: Envelope, message: &M, out: &mut BytesMut) {
    frame::put(out, |to| {
        envelope.id.put(to);
        if M::HEAD == Head::Request {
            envelope.client_index.put(to);
        }
        envelope.context.put(to);
        message.encode(to);
    });
}

/// Reads a frame's body as an `M`, whose id the caller has recognised.
///
/// # Errors
/// When the body is shorter or longer than the message, or holds a value that does not exist.
pub fn decode<M: Message>(body: &[u8]) -> Result<(Envelope, M), CodecError> {
    let mut from = Reader::new(body);
    let envelope = head(&mut from, M::HEAD)?;
    let message = M::decode(&mut from)?;
    from.finish()?;
    Ok((envelope, message))
}

/// The `retval` of a [`Reply`]'s body: VPP's replies have it first.
pub fn retval(body: &[u8]) -> Option<i32> {
    let mut from = Reader::new(body);
    head(&mut from, Head::Reply).and_then(|_| Wire::get(&mut from)).ok()
}

/// The message id of a frame's body.
pub fn id(body: &[u8]) -> Option<u16> {
    body.first_chunk().map(|id| u16::from_be_bytes(*id))
}

/// Reads only what precedes the fields.
///
/// # Errors
/// When the body ends within it.
pub fn peek(body: &[u8], head_of: Head) -> Result<Envelope, CodecError> {
    head(&mut Reader::new(body), head_of)
}

fn head(from: &mut Reader<'_>, head: Head) -> Result<Envelope, CodecError> {
    let id = Wire::get(from)?;
    let client_index = if head == Head::Request { Wire::get(from)? } else { 0 };
    Ok(Envelope { id, client_index, context: Wire::get(from)? })
}

/// A message's name and CRC, without its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Signature {
    pub name: &'static str,
    pub crc: u32,
}

impl Signature {
    /// That of `M`.
    pub const fn of<M: Message>() -> Self {
        Self { name: M::NAME, crc: M::CRC }
    }

    /// As VPP's message table spells it.
    pub fn table_name(&self) -> String {
        format!("{}_{:08x}", self.name, self.crc)
    }
}

/// A message of [`KNOWN`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    pub name: &'static str,
    /// Where it stands in [`KNOWN`].
    pub place: usize,
}

impl Known {
    /// `M`. That it is known is found out by the compiler.
    pub const fn of<M: Message>() -> Self {
        const { Self { name: M::NAME, place: place(M::NAME) } }
    }
}

const fn place(name: &str) -> usize {
    let mut place = 0;
    while place < KNOWN.len() {
        if same(KNOWN[place].name.as_bytes(), name.as_bytes()) {
            return place;
        }
        place += 1;
    }
    assert!(place < KNOWN.len(), "every message is in the list of those known");
    place
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

macro_rules! known {
    ($($type:ty,)*) => {
        /// Every message that is known here.
        pub const KNOWN: &[Signature] = &[$(Signature::of::<$type>(),)*];

        #[cfg(test)]
        fn every_message(check: &mut impl sample::Check) {
            $(check.check::<$type>();)*
        }
    };
}

known! {
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
        sample::Sample,
        vlib::CliInbandReply,
        vpe::ShowVersionReply,
        *,
    };

    fn retval_of<R: Reply + Sample>(random: &mut fastrand::Rng) {
        let (reply, mut out) = (R::sample(random), BytesMut::new());
        encode(Envelope::default(), &reply, &mut out);
        let body = frame::parse(&mut out).expect("a frame").expect("a whole one");
        assert_eq!(retval(&body), Some(reply.retval()), "{}", R::NAME);
        assert_eq!(retval(&body[..9]), None, "{}", R::NAME);
    }

    #[test]
    fn the_retval_of_a_reply_is_found_without_its_type() {
        let random = &mut fastrand::Rng::with_seed(1);
        retval_of::<ControlPingReply>(random);
        retval_of::<ShowVersionReply>(random);
        retval_of::<CliInbandReply>(random);
        retval_of::<IpRouteLookupV2Reply>(random);
        retval_of::<LbConfGetReply>(random);
        retval_of::<LbAddDelAsV2Reply>(random);
    }

    #[test]
    fn a_message_stands_where_its_place_says() {
        let places = [
            Known::of::<memclnt::ControlPing>(),
            Known::of::<memclnt::SockclntCreate>(),
            Known::of::<lb::LbAsV2Details>(),
        ];
        for known in places {
            assert_eq!(KNOWN[known.place].name, known.name);
        }
    }
}
