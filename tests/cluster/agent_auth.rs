//! Tokens that a real API server issues, checked offline by an agent's gRPC server.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::ServiceAccount,
};
use kube::{Api, Client, api::PostParams};
use maglev_auth::{AUDIENCE, AuthMode, Clock, agent_name};
use maglev_kube::TokenKeys;
use maglev_rpc::client::ClientError;
use maglev_telemetry::BusLimits;
use maglev_testkit::{
    AgentServer, Credentials,
    credentials::NAMESPACE,
    python::{GRPC, interpreter},
    within,
};
use serde_json::{Value as Json, json};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::harness::{Cluster, eventually, own_control_plane, root};

const ACCOUNTS: [&str; 4] = ["agent", "maglevc-viewer", "maglevc-operator", "stranger"];

/// An agent's server that reads the keys of an API server with a ServiceAccount without rights.
struct Scene {
    cluster: Cluster,
    credentials: Credentials,
    server: AgentServer,
    /// The agent's access to the API server.
    client: Client,
    /// Seconds by which the agent's clock is ahead.
    ahead: Arc<AtomicI64>,
    _keys: DropGuard,
}

impl Scene {
    async fn start(name: &str) -> Self {
        let cluster = own_control_plane(name, false).await;
        cluster.kubectl(&["create", "namespace", NAMESPACE]).await;
        for account in ACCOUNTS {
            cluster.service_account(NAMESPACE, account).await;
        }
        let ahead = Arc::new(AtomicI64::new(0));
        let clock_ahead = Arc::clone(&ahead);
        let clock: Clock =
            Arc::new(move || Timestamp::now() + SignedDuration::from_secs(clock_ahead.load(Ordering::Relaxed)));
        let credentials = Credentials::with_clock(clock);
        let change = |options: &mut maglev_rpc::ServerOptions| credentials.apply(options, AuthMode::Required);
        let server = AgentServer::start_with(1, BusLimits::default(), |options, _| change(options)).await;
        let client = cluster.client_as(NAMESPACE, "agent").await;
        let mut scene =
            Self { cluster, credentials, server, client, ahead, _keys: CancellationToken::new().drop_guard() };
        scene.read_keys();
        scene
    }

    /// Reads the API server's keys now, and as the agent does from now on.
    fn read_keys(&mut self) {
        let end = CancellationToken::new();
        tokio::spawn(TokenKeys::new(self.client.clone(), self.credentials.verifier.clone(), None).run(end.clone()));
        self._keys = end.drop_guard();
    }

    async fn token(&self, account: &str, audience: &str, lifetime: i64) -> String {
        token(&self.cluster, account, audience, lifetime).await
    }

    /// The answers to a call that reads and to a request of a sync: `ok`, or the gRPC code.
    async fn calls(&self, token: &str) -> [String; 2] {
        let client = self.credentials.client(self.server.tls_address.unwrap(), token).await.unwrap();
        let code = |result: Result<(), ClientError>| {
            result.map_or_else(|error| format!("{:?}", error.code()), |()| "ok".into())
        };
        [code(within(client.state()).await.map(drop)), code(within(client.sync_now()).await)]
    }

    async fn until_calls(&self, token: &str, expected: [&str; 2]) {
        eventually(&format!("the answers are {expected:?}"), async || {
            (self.calls(token).await == expected).then_some(())
        })
        .await;
    }
}

async fn token(cluster: &Cluster, account: &str, audience: &str, lifetime: i64) -> String {
    let accounts: Api<ServiceAccount> = Api::namespaced(cluster.client().await, NAMESPACE);
    let audiences = Some(audience.to_owned()).filter(|audience| !audience.is_empty()).into_iter().collect();
    let spec = TokenRequestSpec { audiences, expiration_seconds: Some(lifetime), bound_object_ref: None };
    let request = TokenRequest { spec, ..TokenRequest::default() };
    let answer = accounts.create_token_request(account, &PostParams::default(), &request).await.unwrap();
    answer.status.unwrap().token
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_tokens_are_accepted_and_two_hours_without_the_api_server_change_nothing() {
    let mut scene = Scene::start("tokens-away").await;
    let viewer = scene.token("maglevc-viewer", AUDIENCE, 3600).await;
    let operator = scene.token("maglevc-operator", AUDIENCE, 3600).await;
    let stranger = scene.token("stranger", AUDIENCE, 3600).await;
    scene.until_calls(&viewer, ["ok", "PermissionDenied"]).await;
    scene.until_calls(&operator, ["ok", "ok"]).await;
    scene.until_calls(&stranger, ["PermissionDenied", "PermissionDenied"]).await;

    scene.cluster.plane().stop_api_server().await;
    // The next attempt to read the keys, which is due after ten minutes.
    scene.read_keys();
    scene.ahead.store(2 * 3600, Ordering::Relaxed);
    scene.until_calls(&viewer, ["ok", "PermissionDenied"]).await;
    scene.until_calls(&operator, ["ok", "ok"]).await;
    assert_eq!(scene.calls(&stranger).await, ["PermissionDenied", "PermissionDenied"]);
    scene.ahead.store(26 * 3600, Ordering::Relaxed);
    assert_eq!(scene.calls(&viewer).await, ["Unauthenticated", "Unauthenticated"]);

    scene.ahead.store(2 * 3600, Ordering::Relaxed);
    scene.cluster.plane().start_api_server().await.unwrap();
    // Once the API server is back, the token has to be renewed.
    scene.until_calls(&viewer, ["Unauthenticated", "Unauthenticated"]).await;
    scene.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn third_party_grpc_client_gets_the_right_answer_for_each_real_token() {
    let mut scene = Scene::start("tokens-python").await;
    let other = own_control_plane("tokens-other", false).await;
    other.kubectl(&["create", "namespace", NAMESPACE]).await;
    other.service_account(NAMESPACE, "maglevc-viewer").await;
    // Tokens are valid for ten minutes at least, so one of them expires as the agent's clock is ahead by half an hour.
    let tokens = json!({
        "none": "",
        "viewer": scene.token("maglevc-viewer", AUDIENCE, 3600).await,
        "operator": scene.token("maglevc-operator", AUDIENCE, 3600).await,
        "other user": scene.token("stranger", AUDIENCE, 3600).await,
        "wrong audience": scene.token("maglevc-viewer", "", 3600).await,
        "expired": scene.token("maglevc-viewer", AUDIENCE, 600).await,
        "other cluster": token(&other, "maglevc-viewer", AUDIENCE, 3600).await,
    });
    let viewer = tokens["viewer"].as_str().unwrap().to_owned();
    scene.ahead.store(1800, Ordering::Relaxed);
    scene.read_keys();
    scene.until_calls(&viewer, ["ok", "PermissionDenied"]).await;

    let [tokens_file, authorities] = ["tokens.json", "ca.crt"].map(|name| scene.credentials.dir().join(name));
    std::fs::write(&tokens_file, tokens.to_string()).unwrap();
    std::fs::write(&authorities, scene.credentials.authorities()).unwrap();
    let script = root().join("tests/wire/grpc_auth/tokens.py");
    let (address, name) = (scene.server.tls_address.unwrap().to_string(), agent_name(NAMESPACE));
    let arguments = [&*script, Path::new(&address), Path::new(&name), &*authorities, &*tokens_file];
    let python = interpreter(&GRPC).await.unwrap();
    let (succeeded, output) = maglev_testkit::python::run(&python, &arguments, Duration::from_secs(120)).await.unwrap();
    assert!(succeeded, "{output}");
    let answers: Json = serde_json::from_str(&output).unwrap_or_else(|error| panic!("{error}: {output}"));
    for (kind, read, sync, message) in [
        ("none", "UNAUTHENTICATED", "UNAUTHENTICATED", "the call has no token: "),
        ("viewer", "OK", "PERMISSION_DENIED", "is not one of this agent's operators"),
        ("operator", "OK", "OK", ""),
        (
            "other user",
            "PERMISSION_DENIED",
            "PERMISSION_DENIED",
            "system:serviceaccount:lb:stranger may not make this call",
        ),
        ("wrong audience", "UNAUTHENTICATED", "UNAUTHENTICATED", "the token is for the audience \"https://"),
        ("expired", "UNAUTHENTICATED", "UNAUTHENTICATED", "the token expired at "),
        ("other cluster", "UNAUTHENTICATED", "UNAUTHENTICATED", "is not a key of this cluster's API server"),
    ] {
        let answer = &answers[kind];
        for (call, code) in [("read", read), ("sync", sync), ("stream", read), ("reflection", read), ("health", "OK")] {
            assert_eq!(answer[call]["code"], code, "{kind}: {call}: {answer}");
        }
        assert!(answer["sync"]["details"].as_str().is_some_and(|text| text.contains(message)), "{kind}: {answer}");
    }
    scene.server.stop().await;
}
