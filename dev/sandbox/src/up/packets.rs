//! Packets of `up`: `--packets`, the network namespaces, and the script `DIR/bin/client`.

use super::directory::Directory;
use super::nodes::NodeSpec;
use super::output;
use super::vpp::NodeVpp;
use crate::SandboxError;
use crate::demo_backend::DemoBackends;
use crate::packets::{Network, Packets, PacketsMode, PacketsOptions, VppPort, client, remove_earlier};

/// File descriptors for the connections of the clients.
const FILES: u64 = 16_384;

/// Removes the namespaces of a killed sandbox, and creates those of this one unless `mode` or this machine forbids it.
///
/// # Errors
/// The namespaces are required, by `mode` or by a real VPP, and cannot be created.
pub async fn prepare(
    mode: PacketsMode,
    directory: &Directory,
    backends: &[String],
    nodes: &[NodeSpec],
    vpps: &[NodeVpp],
) -> Result<Option<Network>, SandboxError> {
    let real = nodes.iter().zip(vpps).filter(|(_, vpp)| matches!(vpp, NodeVpp::Real(_)));
    let real: Vec<_> = real.map(|(node, _)| node.name.clone()).collect();
    let mode = match mode {
        PacketsMode::Auto if !real.is_empty() => PacketsMode::On,
        PacketsMode::Off if !real.is_empty() => {
            let message = "--vpp-binary runs VPP in network namespaces: --packets off is not possible".to_owned();
            return Err(SandboxError::Usage { message });
        }
        mode => mode,
    };
    let created = match mode {
        PacketsMode::Off => remove_earlier(directory.path()).map(|()| None),
        PacketsMode::On | PacketsMode::Auto => Network::create(directory.path(), backends, &real).await.map(Some),
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

/// Starts to forward packets through the VPPs that the sandbox runs. The packets of another VPP are its owner's.
///
/// # Errors
/// The script cannot be written.
pub fn start(
    network: Network,
    directory: &Directory,
    nodes: &[NodeSpec],
    vpps: &[NodeVpp],
    backends: &DemoBackends,
) -> Result<Packets, SandboxError> {
    maglev_net::descriptors::raise_limit(FILES);
    let script = directory.bin().join("client");
    client::write_script(&script, network.client()).map_err(SandboxError::file("write", &script))?;
    let ports = nodes.iter().zip(vpps).filter_map(|(node, vpp)| match vpp {
        NodeVpp::Simulated => Some(VppPort::Simulated(directory.packets_socket(node))),
        NodeVpp::Real(vpp) => Some(VppPort::Real(vpp.api_socket())),
        NodeVpp::Running(_) => None,
    });
    let names = nodes.iter().map(|node| (node.name.clone(), node.address)).collect();
    let options = PacketsOptions { nodes: names, ..PacketsOptions::new(ports.collect()) };
    Ok(Packets::start(network, &options, backends))
}
