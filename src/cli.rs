//! `maglevc`, the command line: one command, or a shell.

mod command;
mod flags;
mod grammar;
mod paint;

pub use flags::Flags;
