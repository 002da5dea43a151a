//! Metrics of the gRPC server. The bus counts the events that slow watchers lose (`maglev_events_lost_total`).

use maglev_net::ConnectionMetrics;
use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};
use tonic::{Code, Response, Status};

/// The gRPC server's metrics. Clones share their series.
#[derive(Clone, Debug)]
pub struct GrpcMetrics {
    requests: IntCounterVec,
    pub(crate) watchers: IntGauge,
    pub(crate) sent: IntCounter,
    pub(crate) connections: ConnectionMetrics,
}

impl Default for GrpcMetrics {
    fn default() -> Self {
        let requests = Opts::new("maglev_grpc_requests_total", "Completed calls, by method and gRPC status code.");
        let gauge = |name, help| IntGauge::new(name, help).expect("the name is a valid metric name");
        let counter = |name, help| IntCounter::new(name, help).expect("the name is a valid metric name");
        Self {
            requests: IntCounterVec::new(requests, &["method", "code"]).expect("the name is a valid metric name"),
            watchers: gauge("maglev_grpc_watchers", "Open event streams."),
            sent: counter("maglev_grpc_events_sent_total", "Events handed to streams, summed over all streams."),
            connections: ConnectionMetrics::new(super::SERVER),
        }
    }
}

impl GrpcMetrics {
    /// Registers all metrics.
    ///
    /// # Errors
    /// If a metric is already registered.
    pub fn register(&self, registry: &Registry) -> Result<(), prometheus::Error> {
        registry.register(Box::new(self.requests.clone()))?;
        registry.register(Box::new(self.watchers.clone()))?;
        registry.register(Box::new(self.sent.clone()))?;
        self.connections.register(registry)
    }

    /// Counts a completed call and returns its response.
    pub(crate) fn complete<T>(&self, method: &str, result: Result<T, Status>) -> Result<Response<T>, Status> {
        let code = result.as_ref().map_or_else(Status::code, |_| Code::Ok);
        self.requests.with_label_values(&[method, code_name(code)]).inc();
        result.map(Response::new)
    }
}

/// The gRPC name of a status code.
fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::NotFound => "NOT_FOUND",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::Unauthenticated => "UNAUTHENTICATED",
        Code::Unavailable => "UNAVAILABLE",
        _ => "OTHER",
    }
}
