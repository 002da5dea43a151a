//! Sends one request to many agents at once.

use std::{collections::BTreeMap, sync::Arc};

use futures::{StreamExt as _, stream};

use super::{agent_access::Role, session::Session};
use maglev_fleet::NodeState;
use maglev_rpc::client::{AgentClient, ClientError};

/// Maximum number of requests in flight.
const CONCURRENCY: usize = 32;

/// The response of each node's agent, or its error.
pub type Responses<T> = BTreeMap<Arc<str>, Result<T, String>>;

/// Sends a request for reading to the agents of all `nodes`.
pub async fn fan_out<T>(
    session: &Session,
    nodes: &[NodeState],
    request: impl AsyncFn(AgentClient) -> Result<T, ClientError>,
) -> Responses<T> {
    fan_out_as(Role::Viewer, session, nodes, request).await
}

/// Sends `request` to the agents of all `nodes`.
pub async fn fan_out_as<T>(
    role: Role,
    session: &Session,
    nodes: &[NodeState],
    request: impl AsyncFn(AgentClient) -> Result<T, ClientError>,
) -> Responses<T> {
    let send = async |node: &NodeState| {
        let response = match session.agent(node, role).await {
            Ok(agent) => request(agent).await.map_err(|error| error.to_string()),
            Err(error) => Err(format!("{error:#}")),
        };
        (Arc::clone(&node.node), response)
    };
    stream::iter(nodes).map(send).buffer_unordered(CONCURRENCY).collect().await
}

/// The successful responses.
pub fn successes<T>(responses: Responses<T>) -> BTreeMap<Arc<str>, T> {
    responses.into_iter().filter_map(|(node, response)| Some((node, response.ok()?))).collect()
}
