//! The response of a backend to a gRPC probe.

use maglev_health::grpc_health::{name, request, serving_status};

use crate::{allocated::allocated, corpus::each_input};

const CASES: usize = 30_000;

#[test]
fn responses_to_a_grpc_probe_are_decoded_in_bounded_memory() {
    each_input("grpc_health", CASES, |body| {
        let (status, bytes) = allocated(|| serving_status(body));
        assert!(bytes <= 1024, "{bytes} bytes for {}", body.len());
        assert!(status.is_err() || body.len() >= 5);
        let _ = status.map(name);
        // Field 1 of a request is the service, of a response the status.
        let framed = request(&String::from_utf8_lossy(body));
        assert_eq!(serving_status(&framed).is_ok(), body.is_empty());
    });
}
