//! TLS and tokens of the agent's gRPC, over real sockets: clients with any token and none, old clients and agents,
//! certificates that are missing, wrong or renewed.

mod calls;
mod certificates;
mod foreign_client;
mod versions;

use maglev_auth::AuthMode;
use maglev_rpc::client::{AgentClient, ClientError};
use maglev_telemetry::BusLimits;
use maglev_testkit::{AgentServer, Credentials};

/// A server with TLS and tokens.
async fn secure(credentials: &Credentials, mode: AuthMode) -> AgentServer {
    AgentServer::start_with(1, BusLimits::default(), |options, _| credentials.apply(options, mode)).await
}

/// A client of the port with TLS, with a token if it is not empty.
async fn client(server: &AgentServer, credentials: &Credentials, token: &str) -> AgentClient {
    let address = server.tls_address.expect("the server has TLS");
    credentials.client(address, token).await.expect("the certificate is trusted")
}

/// The gRPC code and the message of a refusal.
fn refusal<T>(result: Result<T, ClientError>) -> String {
    match result {
        Ok(_) => "answered".to_owned(),
        Err(ClientError::Status { status, .. }) => format!("{:?}: {}", status.code(), status.message()),
        Err(error) => error.to_string(),
    }
}
