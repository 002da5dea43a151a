//! Scrapes of the three daemons with `metrics.auth: token`: each checks real tokens of a real API server. Controller and
//! dashboard serve the expiry of their authorities.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;

use jiff::Timestamp;
use k8s_openapi::api::{
    authentication::v1::{TokenRequest, TokenRequestSpec},
    core::v1::ServiceAccount,
};
use kube::{Api, api::PostParams};
use maglev_auth::{AUDIENCE, issue::Authority};
use tokio::process::{Child, Command};

use super::harness::{Cluster, cluster, eventually, run};

/// A running program that serves metrics.
struct Daemon {
    address: String,
    _process: Child,
}

impl Daemon {
    fn start(program: &str, kubeconfig: &Path, viewer: &str, more: &[&str]) -> Self {
        let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let address = free();
        let mut process = Command::new(maglev_testkit::binary(program));
        process.env_clear().arg("--kubeconfig").arg(kubeconfig).args(more);
        process.args([format!("--metrics-addr={address}"), format!("--metrics-viewer={viewer}")]);
        match program {
            "maglevd" => process.arg(format!("--grpc-addr={}", free())),
            "maglev-frontend" => process.arg(format!("--http-addr={}", free())),
            _ => &mut process,
        };
        let process = process.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        Self { address, _process: process.spawn().unwrap() }
    }

    /// The status and the body; `None` while nothing listens.
    async fn get(&self, path: &str, token: Option<&str>) -> Option<(u16, String)> {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-w", "\n%{http_code}", &format!("http://{}{path}", self.address)]);
        curl.args(token.map(|token| format!("-HAuthorization: Bearer {token}")));
        let output = run(&mut curl, "").await;
        let text = String::from_utf8(output.stdout).unwrap();
        let (body, status) = text.rsplit_once('\n')?;
        output.status.success().then(|| (status.parse().unwrap(), body.to_owned()))
    }
}

async fn token(cluster: &Cluster, namespace: &str, account: &str, audience: Option<&str>) -> String {
    let accounts: Api<ServiceAccount> = Api::namespaced(cluster.client().await, namespace);
    let audiences = audience.map(str::to_owned).into_iter().collect();
    let spec = TokenRequestSpec { audiences, expiration_seconds: Some(3600), bound_object_ref: None };
    let request = TokenRequest { spec, ..TokenRequest::default() };
    accounts.create_token_request(account, &PostParams::default(), &request).await.unwrap().status.unwrap().token
}

#[tokio::test]
async fn each_daemon_serves_metrics_to_the_named_user_only() {
    let cluster = cluster().await;
    let namespace = cluster.namespace("scrapes").await;
    for account in ["daemon", "prometheus", "stranger"] {
        cluster.service_account(&namespace, account).await;
    }
    // The keys of tokens can be read without any right.
    let kubeconfig = cluster.kubeconfig_as(&namespace, "daemon").await;
    let viewer = format!("system:serviceaccount:{namespace}:prometheus");
    let right = token(cluster, &namespace, "prometheus", Some(AUDIENCE)).await;
    let wrong_audience = token(cluster, &namespace, "prometheus", None).await;
    let stranger = token(cluster, &namespace, "stranger", Some(AUDIENCE)).await;
    let socket = cluster.dir().join(format!("{namespace}.sock")).display().to_string();
    let agent = ["--node-name=node-a", "--vpp-api-socket", &socket, "--vpp-stats-socket", &socket];
    let authority = Authority::create(Timestamp::now()).unwrap();
    let ca_file = cluster.dir().join(format!("{namespace}-ca.crt"));
    fs::write(&ca_file, authority.certificate_pem()).unwrap();
    let ca_file = format!("--agent-ca-file={}", ca_file.display());
    let in_namespace = ["--namespace", &*namespace, &ca_file];
    let expiry = authority.info().not_after.as_second();
    let expiry = format!("\nmaglev_tls_authority_expiry_timestamp_seconds {expiry}\n");
    for (program, more) in
        [("maglevd", &agent[..]), ("maglev-controller", &in_namespace), ("maglev-frontend", &in_namespace)]
    {
        let daemon = Daemon::start(program, &kubeconfig, &viewer, more);
        // Until the keys have been read, every token is refused with 503.
        let served = eventually(&format!("{program} serves the named user"), async || {
            daemon.get("/metrics", Some(&right)).await.filter(|(status, _)| *status == 200)
        })
        .await;
        assert!(served.1.contains("maglev_build_info"), "{program}: {}", served.1);
        assert_eq!(served.1.contains(&expiry), program != "maglevd", "{program}: {}", served.1);
        for (token, status, text) in [
            (None, 401, "has no token"),
            (Some(&*wrong_audience), 401, "is for the audience"),
            (Some("x"), 401, "token"),
            (Some(&*stranger), 403, "stranger may not make this call"),
        ] {
            let refused = daemon.get("/metrics", token).await.unwrap();
            assert_eq!(refused.0, status, "{program}: {refused:?}");
            assert!(refused.1.contains(text) && !refused.1.contains("maglev_build_info"), "{program}: {refused:?}");
        }
        // The kubelet has no token.
        assert_eq!(daemon.get("/healthz", None).await.unwrap().0, 200, "{program}");
    }
}
