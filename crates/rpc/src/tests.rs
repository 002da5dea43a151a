//! Tests of the conversion of arbitrary states to messages and back.

mod round_trip;
