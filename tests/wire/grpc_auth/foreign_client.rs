//! Python's gRPC client, with a token of each kind.

use std::{path::Path, time::Duration};

use jiff::Timestamp;
use maglev_auth::{AUDIENCE, AuthMode, agent_name};
use maglev_testkit::{
    Credentials,
    credentials::{NAMESPACE, OPERATOR, VIEWER},
    python::{GRPC, interpreter, run},
    tokens::TokenIssuer,
};
use serde_json::{Value as Json, json};

use super::secure;

const LIMIT: Duration = Duration::from_secs(120);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn third_party_grpc_client_gets_the_right_answer_for_each_token() {
    let credentials = Credentials::new();
    let server = secure(&credentials, AuthMode::Required).await;
    let now = Timestamp::now().as_second();
    let sign = |claims: &Json| credentials.issuer.sign("RS256", claims);
    let mut expired = TokenIssuer::claims(VIEWER, AUDIENCE, now);
    expired["exp"] = json!(now - 3600);
    let tokens = json!({
        "none": "",
        "viewer": sign(&TokenIssuer::claims(VIEWER, AUDIENCE, now)),
        "operator": sign(&TokenIssuer::claims(OPERATOR, AUDIENCE, now)),
        "other user": sign(&TokenIssuer::claims("system:serviceaccount:shop:default", AUDIENCE, now)),
        "wrong audience": sign(&TokenIssuer::claims(VIEWER, "https://kubernetes.default.svc", now)),
        "expired": sign(&expired),
        "other cluster": TokenIssuer::new("other").sign("RS256", &TokenIssuer::claims(VIEWER, AUDIENCE, now)),
    });
    let tokens_file = credentials.dir().join("tokens.json");
    std::fs::write(&tokens_file, tokens.to_string()).unwrap();
    let authorities = credentials.dir().join("ca.crt");
    std::fs::write(&authorities, credentials.authorities()).unwrap();

    let python = interpreter(&GRPC).await.unwrap();
    let script = maglev_testkit::checkout().join("tests/wire/grpc_auth/tokens.py");
    let (address, name) = (server.tls_address.unwrap().to_string(), agent_name(NAMESPACE));
    let arguments = [&*script, Path::new(&address), Path::new(&name), &authorities, &tokens_file];
    let (succeeded, output) = run(&python, &arguments, LIMIT).await.unwrap();
    assert!(succeeded, "{output}");
    let answers: Json = serde_json::from_str(&output).unwrap_or_else(|error| panic!("{error}: {output}"));
    for (kind, read, sync, message) in [
        ("none", "UNAUTHENTICATED", "UNAUTHENTICATED", "the call has no token: "),
        ("viewer", "OK", "PERMISSION_DENIED", "is not one of this agent's operators"),
        ("operator", "OK", "OK", ""),
        ("other user", "PERMISSION_DENIED", "PERMISSION_DENIED", "system:serviceaccount:shop:default may not"),
        ("wrong audience", "UNAUTHENTICATED", "UNAUTHENTICATED", "is for the audience"),
        ("expired", "UNAUTHENTICATED", "UNAUTHENTICATED", "the token expired at "),
        ("other cluster", "UNAUTHENTICATED", "UNAUTHENTICATED", "is not a key of this cluster's API server"),
    ] {
        let answer = &answers[kind];
        assert_eq!(
            (&answer["read"]["code"], &answer["sync"]["code"]),
            (&json!(read), &json!(sync)),
            "{kind}: {answer}"
        );
        assert!(answer["sync"]["details"].as_str().is_some_and(|text| text.contains(message)), "{kind}: {answer}");
        assert_eq!(answer["stream"]["code"], read, "{kind}: {answer}");
        assert_eq!(answer["reflection"]["code"], read, "{kind}: {answer}");
        assert_eq!(answer["health"]["code"], "OK", "{kind}: {answer}");
    }
    server.stop().await;
}
