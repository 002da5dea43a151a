//! The dashboard's HTTP interface over real sockets, with the real gRPC server of simulated agents behind it.

mod access;
mod admin;
pub(crate) mod browser;
mod documents;
mod pages;
pub(crate) mod site;
mod stream;
