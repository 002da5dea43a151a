//! The probed backends: one server for all addresses of 127.0.0.0/8, in a child process of this program, which counts
//! requests.
//!
//! For each line on its standard input, the server prints the number of requests served so far. It ends with its input,
//! so that it never outlives the benchmark.

use std::{
    io::{BufRead as _, Write as _},
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::{ChildStdin, ChildStdout, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use anyhow::Context as _;
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use socket2::{Domain, Socket, Type};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

use crate::process::Child;

/// The argument that makes this program the server.
const ROLE: &str = "--serve-backends";
const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
/// The response to a request with `Connection: close`.
const LAST_RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
const CLOSE: &[u8] = b"connection: close";
/// The name in the server's certificate.
pub const NAME: &str = "backends.example";

/// The address of backend `number`.
pub fn address(number: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 1, 0, 1)) + number)
}

/// A running server.
pub struct Backends {
    /// The port for plain text.
    pub port: u16,
    /// The port for TLS.
    pub tls_port: u16,
    /// The certificate of the server's authority, PEM.
    pub authority: String,
    input: ChildStdin,
    output: std::io::BufReader<ChildStdout>,
    _process: Child,
}

impl Backends {
    /// Starts the server on the core `core`, with its files in `directory`.
    pub fn start(directory: &Path, core: usize) -> anyhow::Result<Self> {
        let mut authority = rcgen::CertificateParams::new(vec![])?;
        authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        // OpenSSL treats a certificate with the name of its issuer as self-signed, so the names must differ.
        authority.distinguished_name.push(rcgen::DnType::CommonName, "authority of the backends");
        let issuer = rcgen::CertifiedIssuer::self_signed(authority, rcgen::KeyPair::generate()?)?;
        let key = rcgen::KeyPair::generate()?;
        let certificate = rcgen::CertificateParams::new(vec![NAME.to_owned()])?.signed_by(&key, &issuer)?;
        std::fs::write(directory.join("server.crt"), certificate.pem())?;
        std::fs::write(directory.join("server.key"), key.serialize_pem())?;
        std::fs::write(directory.join("ca.crt"), issuer.pem())?;
        let mut command = Child::command_on(core, &std::env::current_exe()?);
        command.arg(ROLE).arg(directory).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Child::spawn(command)?;
        let input = process.take_input().context("the server's input is a pipe")?;
        let mut output = std::io::BufReader::new(process.take_output().context("the server's output is a pipe")?);
        let (port, tls_port) = (number(&mut output)?, number(&mut output)?);
        let ports = (u16::try_from(port)?, u16::try_from(tls_port)?);
        Ok(Self { port: ports.0, tls_port: ports.1, authority: issuer.pem(), input, output, _process: process })
    }

    /// The number of requests served so far.
    pub fn requests(&mut self) -> anyhow::Result<u64> {
        self.input.write_all(b"\n")?;
        number(&mut self.output)
    }
}

fn number(output: &mut impl std::io::BufRead) -> anyhow::Result<u64> {
    let mut line = String::new();
    output.read_line(&mut line)?;
    line.trim().parse().context("the backends' server printed no number")
}

/// Runs the server if the arguments request that.
pub fn serve_if_requested(arguments: &[String]) -> Option<anyhow::Result<()>> {
    let [role, directory] = arguments else { return None };
    (role == ROLE).then(|| serve(Path::new(directory)))
}

fn serve(directory: &Path) -> anyhow::Result<()> {
    let requests = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&requests);
    let acceptor = acceptor(directory)?;
    let (plain, secured) = (listener()?, listener()?);
    println!("{}\n{}", plain.local_addr()?.port(), secured.local_addr()?.port());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            if line.is_err() {
                break;
            }
            println!("{}", requests.load(Relaxed));
        }
        std::process::exit(0);
    });
    runtime.block_on(async {
        let (plain, secured) = (TcpListener::from_std(plain)?, TcpListener::from_std(secured)?);
        let plain_counter = Arc::clone(&counter);
        tokio::try_join!(
            async {
                loop {
                    let (stream, _) = plain.accept().await?;
                    tokio::spawn(respond(stream, Arc::clone(&plain_counter)));
                }
                #[expect(unreachable_code, reason = "gives the async block its type")]
                anyhow::Ok(())
            },
            async {
                loop {
                    let (stream, _) = secured.accept().await?;
                    let (acceptor, counter) = (acceptor.clone(), Arc::clone(&counter));
                    tokio::spawn(async move {
                        if let Ok(stream) = acceptor.accept(stream).await {
                            respond(stream, counter).await;
                        }
                    });
                }
                #[expect(unreachable_code, reason = "gives the async block its type")]
                anyhow::Ok(())
            }
        )
    })?;
    Ok(())
}

fn listener() -> anyhow::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM.nonblocking(), None)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)).into())?;
    socket.listen(4096)?;
    Ok(socket.into())
}

fn acceptor(directory: &Path) -> anyhow::Result<TlsAcceptor> {
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_file(directory.join("server.crt"))?],
            PrivateKeyDer::from_pem_file(directory.join("server.key"))?,
        )?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Responds to requests until one is to be the last.
async fn respond(mut stream: impl AsyncRead + AsyncWrite + Unpin, requests: Arc<AtomicU64>) {
    let mut head = [0; 1024];
    loop {
        let mut length = 0;
        while !head[..length].ends_with(b"\r\n\r\n") {
            match stream.read(&mut head[length..]).await {
                Ok(more) if more > 0 => length += more,
                _ => return,
            }
        }
        requests.fetch_add(1, Relaxed);
        let is_last = head[..length].windows(CLOSE.len()).any(|text| text.eq_ignore_ascii_case(CLOSE));
        let response = if is_last { LAST_RESPONSE } else { RESPONSE };
        if stream.write_all(response).await.is_err() || stream.flush().await.is_err() {
            return;
        }
        if is_last {
            let _ = stream.shutdown().await;
            return;
        }
    }
}
