//! Property tests of everything that parses bytes of VPP, of a backend or of a manifest, one module per parser.
//!
//! ```text
//!  corpus/PARSER/* ─┬──────────▶ parser: no panic, bounded memory and results, round trip
//!                   └─ mutated ─┘
//! ```
//!
//! The corpus of a parser is a directory of inputs. An input that fails is added to the directory, so that it is checked
//! first from then on.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy.toml allows them in tests, but not in functions that tests call"
)]

mod allocated;
mod cli_text;
mod corpus;
mod frame;
mod grpc_health;
mod message_table;
mod stats;
mod value;
