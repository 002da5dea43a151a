//! Who reaches what: a pod's own token, the node's server, ports of a pod.

use std::process::Stdio;

use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::Client;
use kube::api::{Api, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use maglev_sandbox::assets::Tool;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::STAY;
use super::fixture::{Fixture, fixture};
use crate::harness::LIMIT;

#[tokio::test]
async fn a_pod_is_its_own_service_account_for_the_api_server() {
    let node = fixture("token", 111).await;
    node.cluster.service_account(&node.namespace, "robot").await;
    node.binary("main", &format!("echo config $KUBECONFIG; {STAY}"));
    node.run("web", json!({}), json!({"serviceAccountName": "robot"})).await;
    let path = node.line("web", "config ").await;
    let config = Kubeconfig::read_from(path).unwrap();
    let config = kube::Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await.unwrap();
    assert_eq!(config.default_namespace, node.namespace);
    let reviews: Api<SelfSubjectReview> = Api::all(Client::try_from(config).unwrap());
    let answer = reviews.create(&PostParams::default(), &SelfSubjectReview::default()).await.unwrap();
    let user = answer.status.unwrap().user_info.unwrap();
    assert_eq!(user.username.unwrap(), format!("system:serviceaccount:{}:robot", node.namespace));
    assert_eq!(user.extra.unwrap()["authentication.kubernetes.io/pod-name"], ["web"]);

    // Who wants no token gets none.
    node.run("bare", json!({}), json!({"automountServiceAccountToken": false})).await;
    assert_eq!(node.line("bare", "config").await.trim(), "");
    node.stop().await;
}

/// A client of the node's server itself, by one of the control plane's certificates.
async fn to_node(node: &Fixture, certificate: &str) -> Client {
    let mut config = node.cluster.plane().config().await.unwrap();
    config.cluster_url = format!("https://{}", node.node.endpoint()).parse().unwrap();
    let file = |end: &str| Some(node.cluster.dir().join(format!("pki/{certificate}.{end}")).display().to_string());
    config.auth_info.client_certificate_data = None;
    config.auth_info.client_key_data = None;
    (config.auth_info.client_certificate, config.auth_info.client_key) = (file("crt"), file("key"));
    Client::try_from(config).unwrap()
}

#[tokio::test]
async fn only_the_api_server_is_served_by_the_node() {
    let node = fixture("client", 112).await;
    let ask = async |certificate: &str, path: &str| {
        let request = http::Request::get(path).body(Vec::new()).unwrap();
        to_node(&node, certificate).await.request_text(request).await
    };
    assert_eq!(ask("apiserver-kubelet-client", "/healthz").await.unwrap(), "ok");
    let other = std::fs::read_dir(node.cluster.dir().join("pki")).unwrap();
    let mut refused = 0;
    for file in other.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|e| e == "crt")) {
        let name = file.file_stem().unwrap().to_str().unwrap().to_owned();
        if name != "apiserver-kubelet-client" && file.with_extension("key").exists() {
            assert!(ask(&name, "/healthz").await.is_err(), "{name} is refused");
            refused += 1;
        }
    }
    assert!(refused > 0, "there were other certificates of the same authority to try");
    let error = ask("apiserver-kubelet-client", "/exec/a/b/c").await.unwrap_err().to_string();
    assert!(error.contains("has logs and port-forward, but not /exec/a/b/c"), "{error}");
    node.stop().await;
}

/// Answers each connection by what it got, in capitals, until the client closes.
async fn shout(listener: TcpListener) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let mut buffer = [0; 1024];
        while let Ok(count @ 1..) = stream.read(&mut buffer).await {
            buffer[..count].make_ascii_uppercase();
            stream.write_all(&buffer[..count]).await.unwrap();
        }
    }
}

/// kubectl speaks SPDY/3.1 to the node, which is not implemented: a person must not be left guessing.
async fn kubectl_says_why_it_cannot_forward(node: &Fixture, port: u16) {
    let mut kubectl = node.cluster.tool(Tool::Kubectl);
    kubectl.args(["port-forward", "web", &format!(":{port}"), "-n", &node.namespace]);
    let mut kubectl = kubectl.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut printed = BufReader::new(kubectl.stdout.take().unwrap()).lines();
    let complaint = async {
        let first = printed.next_line().await.unwrap();
        // It may find out at once, or only when somebody connects.
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
    tokio::time::timeout(LIMIT, complaint).await.expect("kubectl complains");
}

#[tokio::test]
async fn ports_of_a_pod_are_forwarded_both_ways_and_a_closed_one_says_so() {
    let node = fixture("forward", 113).await;
    node.binary("main", STAY);
    node.run("web", json!({}), json!({})).await;
    node.condition("web", "Ready", "True").await;
    let ip = node.address("web").await;
    let (one, two) = (TcpListener::bind((ip, 0)).await.unwrap(), TcpListener::bind((ip, 0)).await.unwrap());
    let (first, second) = (one.local_addr().unwrap().port(), two.local_addr().unwrap().port());
    let servers = [tokio::spawn(shout(one)), tokio::spawn(shout(two))];

    let mut forward = node.pods().portforward("web", &[first, second]).await.unwrap();
    let mut streams = [forward.take_stream(first).unwrap(), forward.take_stream(second).unwrap()];
    for (word, shouted) in [("one", "ONE"), ("two", "TWO")] {
        for stream in &mut streams {
            stream.write_all(word.as_bytes()).await.unwrap();
            let mut answer = vec![0; shouted.len()];
            stream.read_exact(&mut answer).await.unwrap();
            assert_eq!(String::from_utf8(answer).unwrap(), shouted);
        }
    }
    // More than fits into any buffer on the way.
    let (mut from, mut to) = tokio::io::split(streams.into_iter().next().unwrap());
    let big = vec![b'x'; 3 << 20];
    let send = async { to.write_all(&big).await.unwrap() };
    let mut back = vec![0; big.len()];
    let (_, received) = tokio::join!(send, from.read_exact(&mut back));
    received.unwrap();
    assert!(back.iter().all(|byte| *byte == b'X'));
    drop((from, to, forward));

    let closed = TcpListener::bind((ip, 0)).await.unwrap().local_addr().unwrap().port();
    let mut forward = node.pods().portforward("web", &[closed]).await.unwrap();
    let error = forward.take_error(closed).unwrap().await.unwrap();
    assert!(error.starts_with(&format!("cannot connect to port {closed} of the pod")), "{error}");
    kubectl_says_why_it_cannot_forward(&node, first).await;
    servers.iter().for_each(tokio::task::JoinHandle::abort);
    node.stop().await;
}
