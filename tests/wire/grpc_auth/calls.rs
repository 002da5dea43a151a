//! Each kind of caller.

use jiff::Timestamp;
use maglev_auth::{AUDIENCE, AuthMode};
use maglev_rpc::client::{AgentClient, WatchRequest};
use maglev_testkit::{
    Credentials,
    credentials::{OPERATOR, VIEWER},
    tokens::TokenIssuer,
    within,
};
use prometheus::TextEncoder;
use serde_json::json;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use super::{client, refusal, secure};

#[tokio::test]
async fn viewers_read_and_only_operators_request_syncs() {
    let credentials = Credentials::new();
    let server = secure(&credentials, AuthMode::Required).await;
    let viewer = client(&server, &credentials, &credentials.token(VIEWER)).await;
    assert_eq!(within(viewer.version()).await.unwrap().node, "node-a");
    within(viewer.state()).await.unwrap();
    within(viewer.watch(WatchRequest::default())).await.unwrap();
    assert_eq!(
        refusal(within(viewer.sync_now()).await),
        format!("PermissionDenied: {VIEWER} may not make this call: it is not one of this agent's operators")
    );
    let operator = client(&server, &credentials, &credentials.token(OPERATOR)).await;
    within(operator.state()).await.unwrap();
    within(operator.sync_now()).await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn strangers_read_nothing_and_learn_the_reason() {
    let credentials = Credentials::new();
    let server = secure(&credentials, AuthMode::Required).await;
    let now = Timestamp::now().as_second();
    let claims = |audience| TokenIssuer::claims(VIEWER, audience, now);
    let (mut expired, other) = (claims(AUDIENCE), TokenIssuer::new("other"));
    expired["exp"] = json!(now - 3600);
    for (token, expected) in [
        (String::new(), "Unauthenticated: the call has no token: "),
        (
            credentials.token("system:serviceaccount:shop:default"),
            "PermissionDenied: system:serviceaccount:shop:default ",
        ),
        (
            credentials.issuer.sign("ES256", &claims("other")),
            "Unauthenticated: the token is for the audience \"other\"",
        ),
        (credentials.issuer.sign("ES256", &expired), "Unauthenticated: the token expired at "),
        (other.sign("ES256", &claims(AUDIENCE)), "Unauthenticated: the token is signed by the key \"other-ES256\""),
        ("x".to_owned(), "Unauthenticated: the token is malformed"),
    ] {
        let client = client(&server, &credentials, &token).await;
        for answer in [
            refusal(within(client.state()).await),
            refusal(within(client.sync_now()).await),
            refusal(within(client.watch(WatchRequest::default())).await),
        ] {
            assert!(answer.starts_with(expected), "{answer}");
        }
    }
    let metrics = TextEncoder::new().encode_to_string(&credentials.registry.gather()).unwrap();
    let count =
        |reason: &str| format!("maglev_auth_refused_total{{enforced=\"true\",reason=\"{reason}\",server=\"grpc\"}} 3");
    for reason in ["NoToken", "WrongAudience", "Expired", "UnknownKey", "Malformed"] {
        assert!(metrics.contains(&count(reason)), "{reason}: {metrics}");
    }
    let calls = server.metrics();
    assert!(calls.contains("maglev_grpc_requests_total{code=\"UNAUTHENTICATED\",method=\"GetState\"} 5"), "{calls}");
    server.stop().await;
}

/// The connection of `kubectl port-forward` comes from the node's own loopback address. That is no credential.
#[tokio::test]
async fn local_client_without_tls_gets_only_the_health_service() {
    let credentials = Credentials::new();
    let server = secure(&credentials, AuthMode::Required).await;
    assert!(server.address.ip().is_loopback());
    let plain = server.client().await;
    let answer = refusal(within(plain.state()).await);
    assert!(answer.starts_with("Unauthenticated: this port has no TLS: use the port named grpc-tls"), "{answer}");
    assert!(refusal(within(plain.sync_now()).await).starts_with("Unauthenticated: this port has no TLS"));
    let endpoint = AgentClient::endpoint(format!("http://{}", server.address)).unwrap();
    let mut health = HealthClient::new(within(endpoint.connect()).await.unwrap());
    within(health.check(HealthCheckRequest::default())).await.unwrap();
    server.stop().await;
}

#[tokio::test]
async fn permissive_mode_answers_and_counts() {
    let credentials = Credentials::new();
    let server = secure(&credentials, AuthMode::Permissive).await;
    within(server.client().await.state()).await.unwrap();
    let stranger = client(&server, &credentials, "").await;
    within(stranger.sync_now()).await.unwrap();
    let metrics = TextEncoder::new().encode_to_string(&credentials.registry.gather()).unwrap();
    for reason in ["NoTLS", "NoToken"] {
        let series = format!("maglev_auth_refused_total{{enforced=\"false\",reason=\"{reason}\",server=\"grpc\"}} 1");
        assert!(metrics.contains(&series), "{metrics}");
    }
    server.stop().await;
}
