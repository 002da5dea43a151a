//! Tests of the conversion of arbitrary states to messages and back, and of the contract.

mod contract;
mod round_trip;
