//! Packets of `up`: `--packets`, the network namespaces, and the script `DIR/bin/client`.

use super::directory::Directory;
use super::nodes::NodeSpec;
use super::output;
use super::vpp::RealVpp;
use crate::SandboxError;
use crate::demo_backend::DemoBackends;
use crate::packets::{Network, Packets, PacketsMode, PacketsOptions, client, remove_earlier};

/// File descriptors for the connections of the clients.
const FILES: u64 = 16_384;

/// Removes the namespaces of a killed sandbox, and creates those of this one unless `mode` or this machine forbids it.
///
/// # Errors
/// The namespaces are required, and cannot be created.
pub async fn prepare(
    mode: PacketsMode,
    directory: &Directory,
    backends: &[String],
) -> Result<Option<Network>, SandboxError> {
    let created = match mode {
        PacketsMode::Off => remove_earlier(directory.path()).map(|()| None),
        PacketsMode::On | PacketsMode::Auto => Network::create(directory.path(), backends).await.map(Some),
    };
    match created {
        Ok(network) => Ok(network),
        Err(source) if mode == PacketsMode::On => Err(source.into()),
        Err(error) => {
            let error = maglev_net::error_chain(&error);
            output::print(&format!("no packets are forwarded, and the counters of the VPPs are simulated: {error}"));
            Ok(None)
        }
    }
}

/// Starts to forward packets through the simulated VPPs. The packets of a real VPP are its owner's.
///
/// # Errors
/// The script cannot be written.
pub fn start(
    network: Network,
    directory: &Directory,
    nodes: &[NodeSpec],
    real: &[RealVpp],
    backends: &DemoBackends,
) -> Result<Packets, SandboxError> {
    maglev_net::descriptors::raise_limit(FILES);
    let script = directory.bin().join("client");
    client::write_script(&script, network.client()).map_err(SandboxError::file("write", &script))?;
    let simulated = nodes.iter().filter(|node| !real.iter().any(|real| real.is_for(node)));
    let sockets = simulated.map(|node| directory.packets_socket(node)).collect();
    Ok(Packets::start(network, &PacketsOptions::new(sockets), backends))
}
