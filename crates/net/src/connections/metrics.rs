//! Metrics of a server's connections.

use prometheus::{IntCounterVec, IntGauge, Opts, Registry};

/// The reason why a connection was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The server has its maximum of connections.
    ConnectionLimit,
    /// The peer has its maximum of connections.
    PeerLimit,
    /// The operating system refused the connection, usually for lack of file descriptors.
    AcceptFailed,
}

impl Refusal {
    const ALL: [Self; 3] = [Self::ConnectionLimit, Self::PeerLimit, Self::AcceptFailed];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::ConnectionLimit => "ConnectionLimit",
            Self::PeerLimit => "PeerLimit",
            Self::AcceptFailed => "AcceptFailed",
        }
    }
}

/// The limit that closed a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The header of a request did not arrive in time.
    HeaderTimeout,
    /// No byte was sent or received.
    IdleTimeout,
    /// The peer did not read.
    WriteTimeout,
    /// The server was full, and served another peer instead.
    Displaced,
}

impl Cut {
    const ALL: [Self; 4] = [Self::HeaderTimeout, Self::IdleTimeout, Self::WriteTimeout, Self::Displaced];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::HeaderTimeout => "HeaderTimeout",
            Self::IdleTimeout => "IdleTimeout",
            Self::WriteTimeout => "WriteTimeout",
            Self::Displaced => "Displaced",
        }
    }
}

/// Metrics of one server's connections. Clones share their series.
#[derive(Clone, Debug)]
pub struct ConnectionMetrics {
    open: IntGauge,
    refused: IntCounterVec,
    closed: IntCounterVec,
}

impl ConnectionMetrics {
    /// The metrics with the label `server`. Several servers may register theirs in one registry.
    pub fn new(server: &str) -> Self {
        let opts = |name, help| Opts::new(name, help).const_label("server", server);
        let counter =
            |name, help| IntCounterVec::new(opts(name, help), &["reason"]).expect("the name is a valid metric name");
        let open = opts("maglev_server_connections", "Open connections.");
        let metrics = Self {
            open: IntGauge::with_opts(open).expect("the name is a valid metric name"),
            refused: counter(
                "maglev_server_connections_refused_total",
                "Connections that were reset at once, by reason.",
            ),
            closed: counter("maglev_server_connections_closed_total", "Connections that a limit closed, by limit."),
        };
        Refusal::ALL.iter().for_each(|refusal| drop(metrics.refused.with_label_values(&[refusal.as_str()])));
        Cut::ALL.iter().for_each(|cut| drop(metrics.closed.with_label_values(&[cut.as_str()])));
        metrics
    }

    /// Registers all metrics.
    ///
    /// # Errors
    /// If a server of this name is already registered.
    pub fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        registry.register(Box::new(self.open.clone()))?;
        registry.register(Box::new(self.refused.clone()))?;
        registry.register(Box::new(self.closed.clone()))
    }

    pub(crate) fn opened(&self) {
        self.open.inc();
    }

    pub(crate) fn closed(&self) {
        self.open.dec();
    }

    pub(crate) fn refused(&self, refusal: Refusal) {
        self.refused.with_label_values(&[refusal.as_str()]).inc();
    }

    pub(crate) fn cut(&self, cut: Cut) {
        self.closed.with_label_values(&[cut.as_str()]).inc();
    }
}
