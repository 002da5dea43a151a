//! Conversion of arbitrary states to messages and back.

mod round_trip;
