//! `/portForward/NAMESPACE/POD?port=…` over WebSocket `v4.channel.k8s.io`.
//!
//! Every message begins with a channel: 2n carries the data of the n-th requested port, 2n + 1 its error. The first message
//! on each channel is the port as two little-endian bytes. SPDY/3.1, which `kubectl port-forward` requests, is not
//! supported.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    extract::{
        Path, RawQuery, State, WebSocketUpgrade,
        ws::{Message, WebSocket, rejection::WebSocketUpgradeRejection},
    },
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::{BufMut, Bytes, BytesMut};
use futures::{SinkExt, StreamExt, stream::SplitStream};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::mpsc,
    task::JoinSet,
};

use crate::node::{context::Context, probe::connect};
use crate::packets::Namespace;

const PROTOCOL: &str = "v4.channel.k8s.io";
/// Limited by the number of channels, which are one byte.
const MAX_PORTS: usize = 127;
/// Maximum number of messages queued between the WebSocket and one port.
const QUEUE: usize = 16;
/// Maximum size of a message in bytes.
const CHUNK: usize = 32 * 1024;

/// A port of a pod.
struct Target {
    address: SocketAddr,
    namespace: Option<Namespace>,
}

type Upgrade = Result<WebSocketUpgrade, WebSocketUpgradeRejection>;

/// The form of the path with a UID, as supported by kubelets.
pub async fn handle_with_uid(
    node: State<Arc<Context>>,
    Path((namespace, pod, _uid)): Path<(String, String, String)>,
    query: RawQuery,
    headers: HeaderMap,
    upgrade: Upgrade,
) -> Response {
    handle(node, Path((namespace, pod)), query, headers, upgrade).await
}

/// Connects each port to the pod's address until one side closes the connection.
pub async fn handle(
    State(node): State<Arc<Context>>,
    Path((namespace, pod)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    upgrade: Upgrade,
) -> Response {
    let refuse = |status, text: String| (status, text).into_response();
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(rejection) => return refuse(StatusCode::BAD_REQUEST, rejection_text(&headers, &rejection)),
    };
    let Some(entry) = node.registry.get(&namespace, &pod) else {
        let text = format!("pod \"{namespace}/{pod}\" does not run on node {}\n", node.name);
        return refuse(StatusCode::NOT_FOUND, text);
    };
    let ports = match ports(query.as_deref().unwrap_or_default()) {
        Ok(ports) => ports,
        Err(text) => return refuse(StatusCode::BAD_REQUEST, text),
    };
    let target = |port| Target { address: SocketAddr::from((entry.ip, port)), namespace: entry.namespace.clone() };
    let targets = ports.into_iter().map(target).collect();
    let upgrade = upgrade.protocols([PROTOCOL]);
    if upgrade.selected_protocol().is_none() {
        return refuse(StatusCode::BAD_REQUEST, format!("the sandbox's node supports only the protocol {PROTOCOL}\n"));
    }
    upgrade.on_upgrade(|socket| forward(socket, targets))
}

fn rejection_text(headers: &HeaderMap, rejection: &WebSocketUpgradeRejection) -> String {
    match headers.get(header::UPGRADE).map(|value| value.to_str().unwrap_or_default()) {
        Some(protocol) if !protocol.eq_ignore_ascii_case("websocket") => format!(
            "the sandbox's node forwards ports over WebSocket ({PROTOCOL}) only, not over {protocol}, which kubectl port-forward requires; \
             all ports of a pod without a network namespace are reachable at the pod's IP on this machine\n"
        ),
        _ => format!("port-forward needs a WebSocket: {rejection}\n"),
    }
}

/// `port=1&port=2` or `port=1,2`.
fn ports(query: &str) -> Result<Vec<u16>, String> {
    let decoded = query.replace("%2C", ",").replace("%2c", ",");
    let values = decoded.split('&').filter_map(|pair| pair.strip_prefix("port=")).flat_map(|list| list.split(','));
    let parse = |text: &str| match text.parse() {
        Ok(0) | Err(_) => Err(format!("{text:?} is not a port from 1 to 65535\n")),
        Ok(port) => Ok(port),
    };
    let ports = values.map(parse).collect::<Result<Vec<u16>, _>>()?;
    match ports.len() {
        0 => Err("no port to forward: the query has no port=…\n".to_owned()),
        1..=MAX_PORTS => Ok(ports),
        count => Err(format!("{count} ports to forward, but at most {MAX_PORTS} are allowed\n")),
    }
}

async fn forward(socket: WebSocket, targets: Vec<Target>) {
    let (mut sink, stream) = socket.split();
    let (out_tx, mut out_rx) = mpsc::channel::<Bytes>(QUEUE);
    let mut inputs = Vec::new();
    let mut ports = JoinSet::new();
    for (channel, target) in (0..).step_by(2).zip(targets) {
        let (in_tx, in_rx) = mpsc::channel(QUEUE);
        inputs.push(in_tx);
        ports.spawn(serve_port(channel, target, out_tx.clone(), in_rx));
    }
    // Ends the writer once all ports have dropped their senders.
    drop(out_tx);
    let reading = read(stream, inputs);
    let writing = async {
        while let Some(message) = out_rx.recv().await {
            if sink.send(Message::Binary(message)).await.is_err() {
                return;
            }
        }
        let _ = sink.send(Message::Close(None)).await;
    };
    tokio::select! {
        () = reading => {}
        () = writing => {}
    }
}

/// Forwards each message to its port until the client closes the connection.
async fn read(mut stream: SplitStream<WebSocket>, inputs: Vec<mpsc::Sender<Bytes>>) {
    while let Some(Ok(message)) = stream.next().await {
        let mut bytes = match message {
            Message::Binary(bytes) if !bytes.is_empty() => bytes,
            Message::Close(_) => return,
            _ => continue,
        };
        let channel = usize::from(bytes.split_to(1)[0]);
        let Some(input) = inputs.get(channel / 2).filter(|_| channel.is_multiple_of(2)) else { continue };
        if !bytes.is_empty() {
            // Fails if the port is closed, which the client is notified of separately.
            let _ = input.send(bytes).await;
        }
    }
}

async fn serve_port(channel: u8, target: Target, out_tx: mpsc::Sender<Bytes>, mut in_rx: mpsc::Receiver<Bytes>) {
    let Target { address, namespace } = target;
    for begin in [channel, channel + 1] {
        let _ = out_tx.send(framed(begin, &address.port().to_le_bytes())).await;
    }
    let stream = match connect(namespace.as_ref(), address).await {
        Ok(stream) => stream,
        Err(error) => {
            let text = format!("cannot connect to port {} of the pod ({address}): {error}", address.port());
            let _ = out_tx.send(framed(channel + 1, text.as_bytes())).await;
            return;
        }
    };
    let (mut from_pod, mut to_pod) = stream.into_split();
    let sending = async {
        while let Some(bytes) = in_rx.recv().await {
            if to_pod.write_all(&bytes).await.is_err() {
                break;
            }
        }
        // The protocol cannot close one direction, so wait for the rest of the pod's data.
        std::future::pending::<()>().await;
    };
    let receiving = async {
        let mut buffer = vec![0; CHUNK];
        while let Ok(count @ 1..) = from_pod.read(&mut buffer).await {
            if out_tx.send(framed(channel, &buffer[..count])).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = sending => {}
        () = receiving => {}
    }
}

fn framed(channel: u8, bytes: &[u8]) -> Bytes {
    let mut message = BytesMut::with_capacity(bytes.len() + 1);
    message.put_u8(channel);
    message.put_slice(bytes);
    message.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_can_be_repeated_or_a_list() {
        assert_eq!(ports("port=80"), Ok(vec![80]));
        assert_eq!(ports("port=80&x=1&port=443"), Ok(vec![80, 443]));
        assert_eq!(ports("port=80%2C443"), Ok(vec![80, 443]));
        for bad in ["", "port=", "port=0", "port=65536", "port=http", "ports=80"] {
            assert!(ports(bad).is_err(), "{bad}");
        }
    }
}
