//! The gRPC service of a whole agent, called by a third-party client.

mod running_agent;
mod third_party_client;
