//! `maglevc`, the command line: one command, or a shell.

mod across;
mod command;
mod crds;
mod flags;
mod forward;
mod grammar;
mod health_check;
mod node;
mod output;
mod paint;
mod session;

pub use flags::Flags;
