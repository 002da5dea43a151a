//! The dashboard's HTTP interface over real sockets, with the real gRPC server of simulated agents behind it.

mod admin;
mod browser;
mod documents;
mod pages;
mod site;
mod stream;
