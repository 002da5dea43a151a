use std::time::Instant;

use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use tempfile::TempDir;
use tokio::net::TcpStream;

use super::*;

struct Demo {
    backends: DemoBackends,
    dir: TempDir,
    shutdown: CancellationToken,
}

async fn demo() -> Demo {
    let dir = tempfile::tempdir().unwrap();
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let backends = vec![("web-1".to_owned(), any), ("web-2".to_owned(), any)];
    let options = DemoOptions { backends, slow: Duration::from_millis(300), ..DemoOptions::standard(dir.path()) };
    let shutdown = CancellationToken::new();
    let backends = DemoBackends::start(options, shutdown.clone()).await.unwrap();
    Demo { backends, dir, shutdown }
}

impl Demo {
    fn address(&self, name: &str) -> SocketAddr {
        self.backends.find(name).unwrap().address
    }

    async fn get(&self, name: &str, path: &str) -> Result<(u16, String), Box<dyn std::error::Error>> {
        let stream = TcpStream::connect(self.address(name)).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let request = http::Request::get(path).body(Empty::<bytes::Bytes>::new())?;
        let response = sender.send_request(request).await?;
        let status = response.status().as_u16();
        Ok((status, String::from_utf8(response.into_body().collect().await?.to_bytes().to_vec())?))
    }

    async fn command(&self, words: &[&str]) -> Result<String, DemoBackendError> {
        args(&[words, &["--dir", self.dir.path().to_str().unwrap()]].concat()).run().await
    }
}

fn args(words: &[&str]) -> BackendArgs {
    #[derive(clap::Parser)]
    struct Cli {
        #[command(flatten)]
        args: BackendArgs,
    }
    <Cli as clap::Parser>::try_parse_from([&["backend"], words].concat()).unwrap().args
}

#[tokio::test]
async fn mode_fail_makes_a_backend_respond_503_until_mode_ok() {
    let demo = demo().await;
    assert_eq!(demo.get("web-1", "/healthz").await.unwrap(), (200, "web-1\n".to_owned()));
    assert_eq!(demo.get("web-2", "/").await.unwrap(), (200, "web-2\n".to_owned()));
    assert_eq!(demo.get("web-2", "/other").await.unwrap().0, 404);
    assert_eq!(demo.command(&["web-1", "fail"]).await.unwrap(), "web-1: ok → fail");
    assert_eq!(demo.get("web-1", "/healthz").await.unwrap().0, 503);
    assert_eq!(demo.get("web-2", "/healthz").await.unwrap().0, 200);
    assert_eq!(demo.command(&["web-1", "ok"]).await.unwrap(), "web-1: fail → ok");
    assert_eq!(demo.get("web-1", "/healthz").await.unwrap().0, 200);
    assert_eq!((demo.backends.responses("web-1").unwrap(), demo.backends.responses("web-2").unwrap()), (3, 3));
}

#[tokio::test]
async fn slow_backend_responds_late_and_hanging_backend_never() {
    let demo = demo().await;
    demo.command(&["web-1", "slow"]).await.unwrap();
    let start = Instant::now();
    assert_eq!(demo.get("web-1", "/healthz").await.unwrap().0, 200);
    assert!(start.elapsed() >= Duration::from_millis(300));
    demo.command(&["web-1", "hang"]).await.unwrap();
    let waited = tokio::time::timeout(Duration::from_millis(500), demo.get("web-1", "/healthz")).await;
    assert!(waited.is_err(), "{waited:?}");
    assert_eq!(demo.backends.responses("web-1").unwrap(), 1);
}

#[tokio::test]
async fn mode_refuse_closes_the_port_until_mode_ok() {
    let demo = demo().await;
    demo.command(&["web-1", "refuse"]).await.unwrap();
    until(|| async { demo.get("web-1", "/").await.is_err() }).await;
    demo.command(&["web-1", "ok"]).await.unwrap();
    until(|| async { demo.get("web-1", "/").await.is_ok_and(|(status, _)| status == 200) }).await;
}

#[tokio::test]
async fn command_lists_backends_and_names_them_for_an_unknown_name() {
    let demo = demo().await;
    let (one, two) = (demo.address("web-1"), demo.address("web-2"));
    demo.command(&["web-2", "hang"]).await.unwrap();
    assert_eq!(demo.command(&[]).await.unwrap(), format!("web-1 {one}: ok\nweb-2 {two}: hang"));
    assert_eq!(demo.command(&["web-2"]).await.unwrap(), format!("web-2 {two}: hang"));
    let error = demo.command(&["web-3", "fail"]).await.unwrap_err();
    assert_eq!(error.to_string(), r#"no backend "web-3" in the sandbox; existing: web-1, web-2"#);
}

#[tokio::test]
async fn command_requires_a_sandbox_and_a_directory_takes_only_one() {
    let empty = tempfile::tempdir().unwrap();
    let error = args(&["web-1", "fail", "--dir", empty.path().to_str().unwrap()]).run().await.unwrap_err();
    assert_eq!(error.reason(), "NotRunning");
    let demo = demo().await;
    let second = DemoOptions { backends: Vec::new(), ..DemoOptions::standard(demo.dir.path()) };
    let error = DemoBackends::start(second, CancellationToken::new()).await.unwrap_err();
    assert_eq!(error.reason(), "AlreadyRunning");
    demo.shutdown.cancel();
    demo.backends.stopped().await;
    assert_eq!(demo.command(&["web-1", "ok"]).await.unwrap_err().reason(), "NotRunning");
    // The socket of a killed sandbox is replaced.
    drop(std::os::unix::net::UnixListener::bind(demo.dir.path().join("backends.sock")).unwrap());
    let third = DemoOptions { backends: Vec::new(), ..DemoOptions::standard(demo.dir.path()) };
    DemoBackends::start(third, CancellationToken::new()).await.unwrap();
}

async fn until<F: Future<Output = bool>>(condition: impl Fn() -> F) {
    let wait = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), wait).await.expect("the condition holds within 30 s");
}
