//! What the gRPC server counts. What slow watchers lose, the bus counts (`maglev_events_lost_total`).

use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};
use tonic::{Code, Response, Status};

/// The gRPC server's metrics. A clone counts into the same series.
#[derive(Clone, Debug)]
pub struct Metrics {
    requests: IntCounterVec,
    pub(crate) watchers: IntGauge,
    pub(crate) sent: IntCounter,
    pub(crate) connections: IntGauge,
    pub(crate) refused: IntCounter,
}

impl Default for Metrics {
    fn default() -> Self {
        let requests =
            Opts::new("maglev_grpc_requests_total", "Calls answered by the gRPC server, by method and code.");
        let gauge = |name, help| IntGauge::new(name, help).expect("the name is a valid metric name");
        let counter = |name, help| IntCounter::new(name, help).expect("the name is a valid metric name");
        Self {
            requests: IntCounterVec::new(requests, &["method", "code"]).expect("the name is a valid metric name"),
            watchers: gauge("maglev_grpc_watchers", "Streams of events that are open."),
            sent: counter("maglev_grpc_events_sent_total", "Events handed to streams, over all streams."),
            connections: gauge("maglev_grpc_connections", "Connections that are open."),
            refused: counter(
                "maglev_grpc_connections_refused_total",
                "Connections closed at once because there were too many.",
            ),
        }
    }
}

impl Metrics {
    /// Makes the metrics part of `registry`.
    ///
    /// # Errors
    /// One of the names is taken.
    pub fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        registry.register(Box::new(self.requests.clone()))?;
        registry.register(Box::new(self.watchers.clone()))?;
        registry.register(Box::new(self.sent.clone()))?;
        registry.register(Box::new(self.connections.clone()))?;
        registry.register(Box::new(self.refused.clone()))
    }

    /// Counts an answer and makes a response of it.
    pub(crate) fn answered<T>(&self, method: &str, answer: Result<T, Status>) -> Result<Response<T>, Status> {
        let code = answer.as_ref().map_or_else(Status::code, |_| Code::Ok);
        self.requests.with_label_values(&[method, word(code)]).inc();
        answer.map(Response::new)
    }
}

/// The code as gRPC spells it.
fn word(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::NotFound => "NOT_FOUND",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Unavailable => "UNAVAILABLE",
        _ => "OTHER",
    }
}
