//! Certificates and tokens of an agent, as the controller and an API server would provide them.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use maglev_auth::{
    AUDIENCE, Access, AuthMode, Authorities, CertificateMetrics, ClientTls, Clock, Guard, GuardMetrics, KeySet,
    ServerCertificate, TokenSource, Verifier, agent_name, rotation::Stored,
};
use maglev_rpc::{
    ServerOptions,
    client::{AgentClient, connect_tls},
};
use prometheus::Registry;
use tokio::{
    net::{TcpSocket, TcpStream},
    sync::watch,
};

use crate::{
    tokens::{ISSUER, TokenIssuer},
    within,
};

/// Namespace of the agent.
pub const NAMESPACE: &str = "lb";
/// A user that may read.
pub const VIEWER: &str = "system:serviceaccount:lb:maglevc-viewer";
/// A user that may also request syncs.
pub const OPERATOR: &str = "system:serviceaccount:lb:maglevc-operator";

/// The certificates and the issuer of tokens of one agent.
pub struct Credentials {
    pub issuer: TokenIssuer,
    pub verifier: Verifier,
    pub certificate: ServerCertificate,
    pub registry: Registry,
    stored: Stored,
    dir: tempfile::TempDir,
}

impl Credentials {
    /// Credentials without a certificate: the agent makes one of its own.
    pub fn without_certificate() -> Self {
        Self::empty(Arc::new(Timestamp::now))
    }

    /// Credentials with a certificate that clients trust; tokens are checked at the time of `clock`.
    pub fn with_clock(clock: Clock) -> Self {
        let mut credentials = Self::empty(clock);
        credentials.rotate(Timestamp::now());
        credentials
    }

    fn empty(clock: Clock) -> Self {
        let (dir, registry) = (tempfile::tempdir().expect("a directory"), Registry::new());
        let metrics = CertificateMetrics::new("grpc");
        metrics.register(&registry).expect("the registry is empty");
        let certificate = ServerCertificate::new(dir.path(), Arc::new(Timestamp::now), metrics).expect("a certificate");
        let issuer = TokenIssuer::new("own");
        let verifier = Verifier::new(AUDIENCE, clock);
        verifier.set_keys(ISSUER.to_owned(), KeySet::from_json(&issuer.jwks()).expect("keys"));
        Self { issuer, verifier, certificate, registry, stored: Stored::default(), dir }
    }

    /// Credentials with a certificate that clients trust.
    pub fn new() -> Self {
        Self::with_clock(Arc::new(Timestamp::now))
    }

    /// Makes everything that is due at `now`, and has the server read it.
    pub fn rotate(&mut self, now: Timestamp) {
        let name = agent_name(NAMESPACE);
        while let Some(action) = self.stored.next_action(&name, now) {
            self.stored.apply(action, &name, now).expect("a certificate");
        }
        for (file, content) in &self.stored.leaf {
            std::fs::write(self.dir.path().join(file), content).expect("the directory is writable");
        }
        self.certificate.read();
    }

    /// The authorities that clients trust, in PEM.
    pub fn authorities(&self) -> Vec<u8> {
        self.stored.bundle.get("ca.crt").cloned().unwrap_or_default()
    }

    /// The directory of the certificate.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Adds TLS on a free port, and the decision on calls.
    pub fn apply(&self, options: &mut ServerOptions, mode: AuthMode) {
        let access = Access::new([VIEWER.to_owned()], [OPERATOR.to_owned()]);
        let metrics = GuardMetrics::new("grpc");
        metrics.register(&self.registry).expect("called once");
        options.tls = Some((vec![([127, 0, 0, 1], 0).into()], self.certificate.clone()));
        options.guard = Guard::new(mode, self.verifier.clone(), access, metrics);
    }

    /// A token of `user` that is valid now.
    pub fn token(&self, user: &str) -> String {
        self.issuer.sign("ES256", &TokenIssuer::claims(user, AUDIENCE, Timestamp::now().as_second()))
    }

    /// TLS of a client that trusts the authorities of now.
    pub fn tls(&self) -> Arc<ClientTls> {
        let tls = ClientTls::new(Authorities::Pem(self.authorities()), &agent_name(NAMESPACE));
        Arc::new(tls.expect("a DNS name"))
    }

    /// A client with a connection of its own, and a token if it is not empty.
    ///
    /// # Errors
    /// There is no connection with TLS.
    pub async fn client(&self, address: SocketAddr, token: &str) -> Result<AgentClient, tonic::transport::Error> {
        self.client_from(Ipv4Addr::LOCALHOST, address, token).await
    }

    /// Like [`Credentials::client`], from the loopback address `source`: the server limits the connections of each address.
    ///
    /// # Errors
    /// There is no connection with TLS.
    pub async fn client_from(
        &self,
        source: Ipv4Addr,
        address: SocketAddr,
        token: &str,
    ) -> Result<AgentClient, tonic::transport::Error> {
        let endpoint = AgentClient::endpoint(format!("http://{address}")).expect("the address is a URI");
        let endpoint = endpoint.connect_timeout(Duration::from_secs(30));
        let channel = within(connect_tls(endpoint, self.tls(), move || connect(source, address))).await?;
        let source = match token {
            "" => TokenSource::default(),
            token => TokenSource::shared(watch::Sender::new(Ok(token.to_owned().into())).subscribe()),
        };
        Ok(AgentClient::with_token(channel, source))
    }
}

async fn connect(source: Ipv4Addr, address: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind((source, 0).into())?;
    socket.connect(address).await
}

impl Default for Credentials {
    fn default() -> Self {
        Self::new()
    }
}
