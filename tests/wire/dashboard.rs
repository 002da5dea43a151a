//! The dashboard as browsers and proxies see it: raw HTTP over real sockets, with real agents' gRPC behind it.

mod admin;
mod browser;
mod documents;
mod pages;
mod site;
mod stream;
