//! Random messages, and the round trip of each message.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;

use super::{
    Envelope, HeaderKind, Message, decode, encode, every_message,
    ip::{FIB_PATH, Route},
    lb::WireVip,
    memclnt::{MessageTable, TableEntry},
};
use crate::{
    codec::{CodecError, Prefix, Text},
    frame,
};
use bytes::BytesMut;

/// Creates a random value.
pub trait Sample {
    fn sample(random: &mut fastrand::Rng) -> Self;
}

/// A check of every known message.
pub trait Check {
    fn check<M: Message + Sample + PartialEq + std::fmt::Debug>(&mut self);
}

macro_rules! sample_integer {
    ($($integer:ident),*) => {$(
        impl Sample for $integer {
            fn sample(random: &mut fastrand::Rng) -> Self {
                random.$integer(..)
            }
        }
    )*};
}
sample_integer!(u8, u16, u32, i32);

impl Sample for bool {
    fn sample(random: &mut fastrand::Rng) -> Self {
        random.bool()
    }
}

impl Sample for Ipv4Addr {
    fn sample(random: &mut fastrand::Rng) -> Self {
        random.u32(..).into()
    }
}

impl Sample for Ipv6Addr {
    fn sample(random: &mut fastrand::Rng) -> Self {
        random.u128(..).into()
    }
}

impl Sample for IpAddr {
    fn sample(random: &mut fastrand::Rng) -> Self {
        if random.bool() { Self::V4(Sample::sample(random)) } else { Self::V6(Sample::sample(random)) }
    }
}

impl Sample for Prefix {
    fn sample(random: &mut fastrand::Rng) -> Self {
        Self { address: Sample::sample(random), length: random.u8(..) }
    }
}

impl Sample for WireVip {
    fn sample(random: &mut fastrand::Rng) -> Self {
        Self { prefix: Sample::sample(random), protocol: random.u8(..), port: random.u16(..) }
    }
}

impl Sample for String {
    fn sample(random: &mut fastrand::Rng) -> Self {
        let length = random.usize(..40);
        (0..length).map(|_| random.char('\u{1}'..)).collect()
    }
}

impl<const N: usize> Sample for Text<N> {
    fn sample(random: &mut fastrand::Rng) -> Self {
        Self::new(&String::sample(random))
    }
}

impl Sample for MessageTable {
    fn sample(random: &mut fastrand::Rng) -> Self {
        let count = random.usize(..8);
        Self((0..count).map(|_| TableEntry { id: random.u16(..), name: Sample::sample(random) }).collect())
    }
}

impl Sample for Route {
    fn sample(random: &mut fastrand::Rng) -> Self {
        let paths = random.usize(..3);
        Self {
            table_id: random.u32(..),
            stats_index: random.u32(..),
            prefix: Sample::sample(random),
            source: random.u8(..),
            paths: (0..paths * FIB_PATH).map(|_| random.u8(..)).collect(),
        }
    }
}

struct RoundTrip(fastrand::Rng);

impl Check for RoundTrip {
    fn check<M: Message + Sample + PartialEq + std::fmt::Debug>(&mut self) {
        let message = M::sample(&mut self.0);
        let mut envelope = Envelope { id: self.0.u16(..), client_index: self.0.u32(..), context: self.0.u32(..) };
        let mut out = BytesMut::new();
        encode(envelope, &message, &mut out);
        let body = frame::parse(&mut out).unwrap().unwrap();
        assert!(out.is_empty(), "{}: the frame has no other bytes", M::NAME);
        if M::HEADER_KIND == HeaderKind::Reply {
            envelope.client_index = 0;
        }
        assert_eq!(decode::<M>(&body), Ok((envelope, message)), "{}", M::NAME);
        for cut in 0..body.len() {
            let short = decode::<M>(&body[..cut]);
            assert!(matches!(short, Err(CodecError::Short { .. })), "{} cut to {cut}: {short:?}", M::NAME);
        }
        let long = [&body[..], &[0]].concat();
        assert_eq!(decode::<M>(&long), Err(CodecError::Trailing { left: 1 }), "{}", M::NAME);
    }
}

struct AnyBytes(Vec<u8>);

impl Check for AnyBytes {
    fn check<M: Message + Sample + PartialEq + std::fmt::Debug>(&mut self) {
        if let Ok((envelope, message)) = decode::<M>(&self.0) {
            let mut out = BytesMut::new();
            encode(envelope, &message, &mut out);
            let body = frame::parse(&mut out).unwrap().unwrap();
            assert_eq!(decode::<M>(&body), Ok((envelope, message)), "{}", M::NAME);
        }
    }
}

proptest! {
    #[test]
    fn messages_survive_the_round_trip_and_other_lengths_are_refused(seed: u64) {
        every_message(&mut RoundTrip(fastrand::Rng::with_seed(seed)));
    }

    #[test]
    fn any_bytes_decode_to_a_message_or_an_error(bytes in prop::collection::vec(prop_oneof![Just(0), Just(1), any::<u8>()], 0..120)) {
        every_message(&mut AnyBytes(bytes));
    }
}
