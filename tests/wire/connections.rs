//! Hostile peers of the servers (gRPC, with and without TLS, metrics, dashboard) over real sockets, while a normal client is served.

mod big_header;
mod client;
mod running;
mod silent;
mod stalled;
mod unread;
