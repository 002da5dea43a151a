//! Servers on loopback with valid, invalid and missing answers. Each ends when its [`Server`] is dropped.

use std::{
    io,
    net::{SocketAddr, TcpListener as StdListener},
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::future::BoxFuture;
use maglev_model::config::{Authorities, ClientCertificate};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    server::{WantsServerCert, WebPkiClientVerifier},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::{interval, timeout},
};
use tokio_rustls::TlsAcceptor;

/// A running server.
pub struct Server {
    pub address: SocketAddr,
    record: Arc<Record>,
    ended_rx: watch::Receiver<Option<End>>,
    _tasks: JoinSet<()>,
    _sockets: Vec<socket2::Socket>,
}

/// The client's address of a finished connection, and the error if it ended with one.
type End = (SocketAddr, Option<io::ErrorKind>);

#[derive(Default)]
pub struct Record {
    connections: Mutex<usize>,
    requests: Mutex<Vec<String>>,
    names: Mutex<Vec<Option<String>>>,
}

impl Record {
    /// The number of requests so far.
    pub fn requests(&self) -> usize {
        self.requests.lock().unwrap().len()
    }

    pub fn add_request(&self, request: String) {
        self.requests.lock().unwrap().push(request);
    }
}

impl Server {
    pub fn connections(&self) -> usize {
        *self.record.connections.lock().unwrap()
    }

    /// The heads of the received requests.
    pub fn requests(&self) -> Vec<String> {
        self.record.requests.lock().unwrap().clone()
    }

    /// The server names (SNI) of the TLS handshakes.
    pub fn names(&self) -> Vec<Option<String>> {
        self.record.names.lock().unwrap().clone()
    }

    /// Waits for the end of the first connection.
    pub async fn first_end(&self) -> End {
        let mut ended_rx = self.ended_rx.clone();
        let end = timeout(super::LIMIT, ended_rx.wait_for(Option::is_some))
            .await
            .expect("the connection ends in time")
            .unwrap();
        end.expect("waited for")
    }
}

/// Handler of a connection, plain or TLS.
pub type Talk = Arc<dyn Fn(Box<dyn Stream>, Arc<Record>) -> BoxFuture<'static, io::Result<()>> + Send + Sync>;

pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

pub fn talk<F>(talk: impl Fn(Box<dyn Stream>, Arc<Record>) -> F + Send + Sync + 'static) -> Talk
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    Arc::new(move |stream, record| Box::pin(talk(stream, record)))
}

/// A server that passes each connection to `accepted`.
pub async fn serve<F>(accepted: impl Fn(TcpStream, Arc<Record>) -> F + Send + 'static) -> Server
where
    F: Future<Output = io::Result<()>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let record = Arc::new(Record::default());
    let (ended_tx, ended_rx) = watch::channel(None);
    let mut tasks = JoinSet::new();
    let shared = Arc::clone(&record);
    tasks.spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, peer)) = listener.accept().await {
            *shared.connections.lock().unwrap() += 1;
            let (talk, ended_tx) = (accepted(stream, Arc::clone(&shared)), ended_tx.clone());
            connections.spawn(async move {
                let end = talk.await.err().map(|error| error.kind());
                ended_tx.send_if_modified(|first| first.replace((peer, end)).is_none());
            });
        }
    });
    Server { address, record, ended_rx, _tasks: tasks, _sockets: vec![] }
}

/// A server without TLS.
pub async fn plain(talk: Talk) -> Server {
    serve(move |stream, record| talk(Box::new(stream), record)).await
}

/// A port without a listener.
pub fn closed() -> Server {
    let address = StdListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (_, ended_rx) = watch::channel(None);
    Server { address, record: Arc::default(), ended_rx, _tasks: JoinSet::new(), _sockets: vec![] }
}

/// A listener whose queue is full: the kernel drops every further SYN.
pub async fn black_hole() -> Server {
    let socket = || socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let listener = socket();
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap().as_socket().unwrap();
    let mut sockets = vec![listener];
    // Fills the queue until a connection times out.
    loop {
        let filler = socket();
        let full = filler.connect_timeout(&address.into(), Duration::from_millis(200)).is_err();
        sockets.push(filler);
        if full {
            break;
        }
        assert!(sockets.len() < 100, "the queue does not fill up");
    }
    Server { address, _sockets: sockets, ..closed() }
}

/// Accepts connections and sends nothing.
pub async fn silent() -> Server {
    plain(holds()).await
}

/// Resets a connection when it has received a byte.
pub async fn resets() -> Server {
    serve(|mut stream, _| async move {
        stream.read_u8().await?;
        stream.set_zero_linger()
    })
    .await
}

/// Reads until the connection ends.
pub async fn reads_to_end() -> Server {
    plain(talk(|mut stream, _| async move { stream.read_to_end(&mut Vec::new()).await.map(drop) })).await
}

/// Reads a request, sends `response` and closes.
pub async fn answers(response: &[u8]) -> Server {
    plain(sends(response)).await
}

/// Reads a request, sends `response`, and keeps the connection open.
pub async fn stalls(response: &[u8]) -> Server {
    let response = response.to_vec();
    plain(talk(move |mut stream, record| {
        let response = response.clone();
        async move {
            read_head(&mut stream, &record).await?;
            stream.write_all(&response).await?;
            std::future::pending().await
        }
    }))
    .await
}

/// Reads a request, sends `response` and then data without end.
pub async fn floods(response: &[u8]) -> Server {
    let response = response.to_vec();
    plain(talk(move |mut stream, record| {
        let response = response.clone();
        async move {
            read_head(&mut stream, &record).await?;
            stream.write_all(&response).await?;
            loop {
                stream.write_all(&[b'x'; 4096]).await?;
            }
        }
    }))
    .await
}

/// Reads a request, sends `head` and then headers, slowly and without end.
pub async fn drips(head: &[u8]) -> Server {
    let head = head.to_vec();
    plain(talk(move |mut stream, record| {
        let head = head.clone();
        async move {
            read_head(&mut stream, &record).await?;
            stream.write_all(&head).await?;
            let mut tick = interval(Duration::from_millis(10));
            loop {
                tick.tick().await;
                stream.write_all(b"x: y\r\n").await?;
            }
        }
    }))
    .await
}

/// Handler that keeps the connection open without reading or sending.
pub fn holds() -> Talk {
    talk(|stream, _| async move {
        let _open = stream;
        std::future::pending().await
    })
}

/// Handler that reads a request, sends `response` and closes.
pub fn sends(response: &[u8]) -> Talk {
    let response = response.to_vec();
    talk(move |mut stream, record| {
        let response = response.clone();
        async move {
            read_head(&mut stream, &record).await?;
            stream.write_all(&response).await?;
            stream.shutdown().await
        }
    })
}

async fn read_head(stream: &mut Box<dyn Stream>, record: &Record) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            // A client of another protocol may close the connection.
            Err(_) => break,
        }
        if head.first() == Some(&0x16) {
            break;
        }
    }
    record.add_request(String::from_utf8_lossy(&head).into_owned());
    Ok(())
}

/// A new certificate authority.
pub struct Authority {
    issuer: rcgen::CertifiedIssuer<'static, rcgen::KeyPair>,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = rcgen::CertificateParams::new(vec![]).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        Self { issuer: rcgen::CertifiedIssuer::self_signed(params, key).unwrap() }
    }

    /// A store that trusts only this authority.
    pub fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        roots
    }

    /// A TLS server with a certificate for `name` and the ALPN protocol HTTP/1.1.
    pub async fn server(&self, name: &str, talk: Talk) -> Server {
        self.server_with_protocols(name, &[b"http/1.1"], talk).await
    }

    /// A TLS server with a certificate for `name` and these ALPN protocols.
    pub async fn server_with_protocols(&self, name: &str, protocols: &[&[u8]], talk: Talk) -> Server {
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth();
        self.serve(config, name, protocols, talk).await
    }

    /// A TLS server of one version of TLS that requires a client certificate of this authority.
    pub async fn server_for_clients(
        &self,
        version: &'static rustls::SupportedProtocolVersion,
        (name, protocol): (&str, &[u8]),
        talk: Talk,
    ) -> Server {
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(self.roots()), Arc::clone(&provider));
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_client_cert_verifier(verifier.build().unwrap());
        self.serve(config, name, &[protocol], talk).await
    }

    /// Issues a certificate for `name`. Returns the certificate and its key, both DER.
    fn certify(&self, name: &str) -> (CertificateDer<'static>, Vec<u8>) {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.der().clone(), key.serialize_der())
    }

    async fn serve(
        &self,
        config: rustls::ConfigBuilder<ServerConfig, WantsServerCert>,
        name: &str,
        protocols: &[&[u8]],
        talk: Talk,
    ) -> Server {
        let (certificate, key) = self.certify(name);
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key));
        let mut config = config.with_single_cert(vec![certificate], key).unwrap();
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        serve(move |stream, record| {
            let (acceptor, talk) = (acceptor.clone(), Arc::clone(&talk));
            async move {
                let stream = acceptor.accept(stream).await?;
                let name = stream.get_ref().1.server_name().map(str::to_owned);
                record.names.lock().unwrap().push(name);
                talk(Box::new(stream), record).await
            }
        })
        .await
    }

    /// The authority's certificate as PEM.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// The setting of a HealthCheck that trusts only this authority.
    pub fn authorities(&self) -> Authorities {
        Authorities { certificates: [self.issuer.der().to_vec()].into() }
    }

    /// Issues a client certificate.
    pub fn client(&self) -> ClientCertificate {
        let (certificate, key) = self.certify("prober.example");
        ClientCertificate { chain: [certificate.to_vec()].into(), key: key.into() }
    }
}
