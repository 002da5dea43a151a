//! Access control of the sandbox's node: a pod's token, the node's server, and forwarded ports.

use std::process::Stdio;

use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::Client;
use kube::api::{Api, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use maglev_sandbox::assets::Tool;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::RUN_FOREVER;
use super::fixture::{Fixture, fixture};
use crate::harness::LIMIT;

#[tokio::test]
async fn pod_authenticates_as_its_service_account() {
    let node = fixture("token", 111).await;
    node.cluster.service_account(&node.namespace, "robot").await;
    node.binary("main", &format!("echo config $KUBECONFIG; {RUN_FOREVER}"));
    node.run("web", json!({}), json!({"serviceAccountName": "robot"})).await;
    let path = node.line("web", "config ").await;
    let config = Kubeconfig::read_from(path).unwrap();
    let config = kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await.unwrap();
    assert_eq!(config.default_namespace, node.namespace);
    let reviews: Api<SelfSubjectReview> = Api::all(Client::try_from(config).unwrap());
    let review = reviews.create(&PostParams::default(), &SelfSubjectReview::default()).await.unwrap();
    let user = review.status.unwrap().user_info.unwrap();
    assert_eq!(user.username.unwrap(), format!("system:serviceaccount:{}:robot", node.namespace));
    assert_eq!(user.extra.unwrap()["authentication.kubernetes.io/pod-name"], ["web"]);

    // A pod that opts out of a token gets none.
    node.run("bare", json!({}), json!({"automountServiceAccountToken": false})).await;
    assert_eq!(node.line("bare", "config").await.trim(), "");
    node.stop().await;
}

/// A client of the node's own server that uses one of the control plane's certificates.
async fn node_client(node: &Fixture, certificate: &str) -> Client {
    let mut config = node.cluster.plane().config().await.unwrap();
    config.cluster_url = format!("https://{}", node.node.endpoint()).parse().unwrap();
    let file = |end: &str| Some(node.cluster.dir().join(format!("pki/{certificate}.{end}")).display().to_string());
    config.auth_info.client_certificate_data = None;
    config.auth_info.client_key_data = None;
    (config.auth_info.client_certificate, config.auth_info.client_key) = (file("crt"), file("key"));
    Client::try_from(config).unwrap()
}

#[tokio::test]
async fn node_serves_only_the_api_server() {
    let node = fixture("client", 112).await;
    let get = async |certificate: &str, path: &str| {
        let request = http::Request::get(path).body(Vec::new()).unwrap();
        node_client(&node, certificate).await.request_text(request).await
    };
    assert_eq!(get("apiserver-kubelet-client", "/healthz").await.unwrap(), "ok");
    let files = std::fs::read_dir(node.cluster.dir().join("pki")).unwrap();
    let mut refused = 0;
    for file in files.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|e| e == "crt")) {
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        if name != "apiserver-kubelet-client" && file.with_extension("key").exists() {
            assert!(get(&name, "/healthz").await.is_err(), "{name} is refused");
            refused += 1;
        }
    }
    assert!(refused > 0, "the control plane has other certificates of the same authority");
    let error = get("apiserver-kubelet-client", "/exec/a/b/c").await.unwrap_err().to_string();
    assert!(
        error.contains("/exec/a/b/c is not supported: the sandbox's node serves logs and port-forward only"),
        "{error}"
    );
    node.stop().await;
}

/// A server that echoes in upper case until the client closes the connection.
async fn echo_uppercase(listener: TcpListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let mut buffer = [0; 1024];
        while let Ok(count @ 1..) = stream.read(&mut buffer).await {
            buffer[..count].make_ascii_uppercase();
            stream.write_all(&buffer[..count]).await.unwrap();
        }
    }
}

/// kubectl uses SPDY/3.1, which the node does not implement: its error must give the reason.
async fn kubectl_port_forward_fails_with_the_reason(node: &Fixture, port: u16) {
    let mut kubectl = node.cluster.tool(Tool::Kubectl);
    kubectl.args(["port-forward", "web", &format!(":{port}"), "-n", &node.namespace]);
    let mut kubectl = kubectl.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut printed = BufReader::new(kubectl.stdout.take().unwrap()).lines();
    let fails = async {
        let first = printed.next_line().await.unwrap();
        // kubectl fails at once or at the first connection.
        let local =
            first.and_then(|line| line.strip_prefix("Forwarding from ")?.split_once(' ').map(|(a, _)| a.to_owned()));
        if let Some(local) = local {
            let _ = TcpStream::connect(local).await.unwrap().read(&mut [0; 1]).await;
        }
        let mut lines = BufReader::new(kubectl.stderr.take().unwrap()).lines();
        let mut all = String::new();
        while let Some(line) = lines.next_line().await.unwrap() {
            all += &line;
            if all.contains("over WebSocket (v4.channel.k8s.io) only, not over SPDY/3.1") {
                return;
            }
        }
        panic!("{all}");
    };
    tokio::time::timeout(LIMIT, fails).await.expect("kubectl fails in time");
}

#[tokio::test]
async fn pod_ports_are_forwarded_both_ways_and_closed_ports_are_reported() {
    let node = fixture("forward", 113).await;
    node.binary("main", RUN_FOREVER);
    node.run("web", json!({}), json!({})).await;
    node.condition("web", "Ready", "True").await;
    let ip = node.address("web").await;
    let (one, two) = (TcpListener::bind((ip, 0)).await.unwrap(), TcpListener::bind((ip, 0)).await.unwrap());
    let (first, second) = (one.local_addr().unwrap().port(), two.local_addr().unwrap().port());
    let servers = [tokio::spawn(echo_uppercase(one)), tokio::spawn(echo_uppercase(two))];

    let mut forward = node.pods().portforward("web", &[first, second]).await.unwrap();
    let mut streams = [forward.take_stream(first).unwrap(), forward.take_stream(second).unwrap()];
    for (word, echoed) in [("one", "ONE"), ("two", "TWO")] {
        for stream in &mut streams {
            stream.write_all(word.as_bytes()).await.unwrap();
            let mut received = vec![0; echoed.len()];
            stream.read_exact(&mut received).await.unwrap();
            assert_eq!(String::from_utf8(received).unwrap(), echoed);
        }
    }
    // More than all buffers on the way can hold.
    let (mut from, mut to) = tokio::io::split(streams.into_iter().next().unwrap());
    let big = vec![b'x'; 3 << 20];
    let send = async { to.write_all(&big).await.unwrap() };
    let mut received = vec![0; big.len()];
    let (_, read) = tokio::join!(send, from.read_exact(&mut received));
    read.unwrap();
    assert!(received.iter().all(|byte| *byte == b'X'));
    drop((from, to, forward));

    let closed = TcpListener::bind((ip, 0)).await.unwrap().local_addr().unwrap().port();
    let mut forward = node.pods().portforward("web", &[closed]).await.unwrap();
    let error = forward.take_error(closed).unwrap().await.unwrap();
    assert!(error.starts_with(&format!("cannot connect to port {closed} of the pod")), "{error}");
    kubectl_port_forward_fails_with_the_reason(&node, first).await;
    servers.iter().for_each(tokio::task::JoinHandle::abort);
    node.stop().await;
}
