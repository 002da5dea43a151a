//! The same question to many agents at once.

use std::{collections::BTreeMap, sync::Arc};

use futures::{StreamExt as _, stream};

use super::session::Session;
use maglev_fleet::NodeState;
use maglev_rpc::client::{AgentClient, ClientError};

/// So many agents are asked at once.
const AT_ONCE: usize = 32;

/// What each of `nodes` answered, or why not.
pub type Answers<T> = BTreeMap<Arc<str>, Result<T, String>>;

/// Asks all of `nodes`.
pub async fn ask<T>(
    session: &Session,
    nodes: &[NodeState],
    question: impl AsyncFn(AgentClient) -> Result<T, ClientError>,
) -> Answers<T> {
    let one = async |node: &NodeState| {
        let answer = match session.agent(node).await {
            Ok(agent) => question(agent).await.map_err(|err| err.to_string()),
            Err(err) => Err(format!("{err:#}")),
        };
        (Arc::clone(&node.node), answer)
    };
    stream::iter(nodes).map(one).buffer_unordered(AT_ONCE).collect().await
}

/// The answers without the failures.
pub fn answered<T>(answers: Answers<T>) -> BTreeMap<Arc<str>, T> {
    answers.into_iter().filter_map(|(node, answer)| Some((node, answer.ok()?))).collect()
}
