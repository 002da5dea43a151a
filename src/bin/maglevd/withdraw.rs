//! `maglevd withdraw`: removes the agent's VIPs from a node's VPP.

use maglev_agent::{AgentOptions, VppConnector, Withdrawn, withdraw};
use maglev_model::event::Events;

use crate::flags::Flags;

/// Removes all VIPs of the agent.
pub async fn run(flags: &Flags, events: Events) -> anyhow::Result<()> {
    // The name only identifies the holder of the lock and may be missing.
    let node_name = flags.node_name().unwrap_or_else(|_| "(not named)".to_owned());
    let options = AgentOptions::new(node_name, &flags.vpp_api_socket);
    let connect = VppConnector::new(&flags.vpp_api_socket, events.clone());
    let Withdrawn { counts, absent } = withdraw(&options, &connect, events).await?;
    let (vips, servers) = (counts.vip_removed, counts.as_removed);
    tracing::info!(vips, application_servers = servers, absent, "maglevd-withdrawn");
    Ok(())
}
