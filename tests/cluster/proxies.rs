//! `maglevc` behind a proxy, with the kubeconfigs and variables that kubectl takes: HTTP CONNECT, SOCKS5, `NO_PROXY`.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::{Arc, Mutex};

use kube::config::Kubeconfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::task::AbortHandle;

use super::harness::{Cluster, cluster, run};

/// Name of the API server that only the proxies can resolve.
const HOST: &str = "kubernetes.test";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Http,
    /// Requires the user `us:er` with the password `p@ss`.
    HttpWithPassword,
    Socks5,
}

/// A proxy on loopback. It connects every client to the API server and records the requested destinations.
struct Proxy {
    port: u16,
    destinations: Arc<Mutex<BTreeSet<String>>>,
    task: AbortHandle,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Proxy {
    async fn start(protocol: Protocol, api_server_port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let destinations = Arc::<Mutex<BTreeSet<String>>>::default();
        let recorded = Arc::clone(&destinations);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(protocol, client, api_server_port, Arc::clone(&recorded)));
            }
        });
        Self { port, destinations, task: task.abort_handle() }
    }

    /// The destinations that were requested since the last call.
    fn take_destinations(&self) -> Vec<String> {
        std::mem::take(&mut *self.destinations.lock().unwrap()).into_iter().collect()
    }
}

async fn serve(protocol: Protocol, mut client: TcpStream, port: u16, recorded: Arc<Mutex<BTreeSet<String>>>) {
    let destination = match protocol {
        Protocol::Socks5 => socks5_request(&mut client).await,
        Protocol::Http | Protocol::HttpWithPassword => http_request(protocol, &mut client).await,
    };
    let Some(destination) = destination else { return };
    recorded.lock().unwrap().insert(destination);
    let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
    let _ = copy_bidirectional(&mut client, &mut server).await;
}

/// Answers `CONNECT host:port`; `None` if it was refused.
async fn http_request(protocol: Protocol, client: &mut TcpStream) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).unwrap();
    // The credentials of HttpWithPassword in base64.
    if protocol == Protocol::HttpWithPassword && !head.contains("Proxy-Authorization: Basic dXM6ZXI6cEBzcw==\r\n") {
        client.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n").await.unwrap();
        return None;
    }
    client.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").await.unwrap();
    Some(head.strip_prefix("CONNECT ")?.split_once(' ')?.0.to_owned())
}

/// Answers a SOCKS5 request (RFC 1928) for a domain name, without authentication.
async fn socks5_request(client: &mut TcpStream) -> Option<String> {
    let [version, methods] = [client.read_u8().await.ok()?, client.read_u8().await.ok()?];
    client.read_exact(&mut vec![0; methods.into()]).await.ok()?;
    client.write_all(&[version, 0]).await.ok()?;
    let mut request = [0; 5];
    client.read_exact(&mut request).await.ok()?;
    assert_eq!(request[..4], [5, 1, 0, 3], "CONNECT to a domain name");
    let mut name = vec![0; request[4].into()];
    client.read_exact(&mut name).await.ok()?;
    let port = client.read_u16().await.ok()?;
    client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await.ok()?;
    Some(format!("{}:{port}", String::from_utf8(name).unwrap()))
}

/// A namespace without agents, and the kubeconfig of its user.
struct Fixture {
    cluster: &'static Cluster,
    namespace: String,
    /// Port of the API server.
    port: u16,
}

impl Fixture {
    async fn new() -> Self {
        let cluster = cluster().await;
        let namespace = cluster.namespace("proxies").await;
        let config = Kubeconfig::read_from(cluster.plane().kubeconfig()).unwrap();
        let server = config.clusters[0].cluster.clone().unwrap().server.unwrap();
        Self { cluster, namespace, port: server.rsplit_once(':').unwrap().1.trim_matches('/').parse().unwrap() }
    }

    /// Writes a kubeconfig of the API server under its name that only a proxy resolves.
    fn kubeconfig(&self, name: &str, proxy_url: Option<String>) -> PathBuf {
        let mut config = Kubeconfig::read_from(self.cluster.plane().kubeconfig()).unwrap();
        let cluster = config.clusters[0].cluster.as_mut().unwrap();
        cluster.server = Some(format!("https://{HOST}:{}", self.port));
        cluster.tls_server_name = Some("127.0.0.1".to_owned());
        cluster.proxy_url = proxy_url;
        let path = self.cluster.dir().join(format!("{}-{name}.kubeconfig", self.namespace));
        std::fs::write(&path, serde_json::to_string(&config).unwrap()).unwrap();
        path
    }

    async fn maglevc(&self, kubeconfig: &str, variables: &[(&str, &str)]) -> Output {
        let mut command = Command::new(maglev_testkit::binary("maglevc"));
        command.args(["show", "nodes", "--agent-namespace", &self.namespace]).env_clear();
        command.env("KUBECONFIG", kubeconfig).env("HOME", self.cluster.dir()).envs(variables.iter().copied());
        run(command.kill_on_drop(true), "").await
    }

    /// Runs `maglevc`, which must reach the API server, where it finds no agent.
    async fn assert_connects(&self, kubeconfig: &Path, variables: &[(&str, &str)]) {
        let output = self.maglevc(kubeconfig.to_str().unwrap(), variables).await;
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains("no agents found"), "{variables:?}: {stderr}");
    }
}

#[tokio::test]
async fn maglevc_connects_through_http_and_socks5_proxies() {
    let fixture = Fixture::new().await;
    let destination = vec![format!("{HOST}:{}", fixture.port)];
    for (protocol, scheme) in [
        (Protocol::Http, "http://"),
        (Protocol::HttpWithPassword, "http://us:er:p%40ss@"),
        (Protocol::Socks5, "socks5://"),
        (Protocol::Socks5, "socks5h://"),
    ] {
        let proxy = Proxy::start(protocol, fixture.port).await;
        let url = format!("{scheme}127.0.0.1:{}", proxy.port);
        let plain = fixture.kubeconfig("plain", None);
        fixture.assert_connects(&plain, &[("HTTPS_PROXY", &url), ("NO_PROXY", "other.test,,127.0.0.0/8")]).await;
        assert_eq!(proxy.take_destinations(), destination, "HTTPS_PROXY={url}");
        fixture.assert_connects(&plain, &[("https_proxy", &url)]).await;
        assert_eq!(proxy.take_destinations(), destination, "https_proxy={url}");
        let with_proxy_url = fixture.kubeconfig("proxy-url", Some(url.clone()));
        fixture.assert_connects(&with_proxy_url, &[("NO_PROXY", "*"), ("HTTPS_PROXY", "http://127.0.0.1:1")]).await;
        assert_eq!(proxy.take_destinations(), destination, "proxy-url {url}");
    }
}

#[tokio::test]
async fn no_proxy_and_loopback_connect_directly() {
    let fixture = Fixture::new().await;
    let proxy = Proxy::start(Protocol::Http, fixture.port).await;
    let url = format!("http://127.0.0.1:{}", proxy.port);
    // The control plane's own kubeconfig names a loopback address.
    fixture.assert_connects(&fixture.cluster.plane().kubeconfig(), &[("HTTPS_PROXY", &url)]).await;
    let plain = fixture.kubeconfig("plain", None);
    let output = fixture.maglevc(plain.to_str().unwrap(), &[("HTTPS_PROXY", &url), ("NO_PROXY", "test")]).await;
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("dns error") || stderr.contains("lookup"), "the name is resolved here: {stderr}");
    assert_eq!(proxy.take_destinations(), Vec::<String>::new());
}

#[tokio::test]
async fn proxy_errors_name_the_setting() {
    let fixture = Fixture::new().await;
    let proxy = Proxy::start(Protocol::HttpWithPassword, fixture.port).await;
    let plain = fixture.kubeconfig("plain", None);
    let url = format!("http://us:wrong@127.0.0.1:{}", proxy.port);
    for (url, expected) in [
        (url.as_str(), "proxy authorization required"),
        ("ftp://us:wrong@127.0.0.1", "HTTPS_PROXY is not a usable proxy URL: found the scheme ftp"),
    ] {
        let output = fixture.maglevc(plain.to_str().unwrap(), &[("HTTPS_PROXY", url)]).await;
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.contains(expected) && !stderr.contains("wrong"), "{stderr}");
    }
}

#[tokio::test]
async fn missing_files_of_kubeconfig_are_skipped() {
    let fixture = Fixture::new().await;
    let real = fixture.cluster.plane().kubeconfig().display().to_string();
    for list in [format!("/nonexistent/config:{real}"), format!("{real}:/nonexistent/config"), format!("::{real}:")] {
        fixture.assert_connects(Path::new(&list), &[]).await;
    }
    let output = fixture.maglevc("/nonexistent/one:/nonexistent/two", &[]).await;
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("found neither a kubeconfig (/nonexistent/one, /nonexistent/two)"), "{stderr}");
}
