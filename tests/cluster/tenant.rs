//! A tenant with the built-in role `edit` and the right to make Frontends, against AddressPolicies: nothing that the tenant
//! may not use is probed or claimed, and limits hold.
//!
//! The test runs in a network namespace of its own, which has all probed addresses, so that probes are counted at their
//! targets.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, TcpListener},
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use maglev_sandbox::assets::Tool;
use maglev_testkit::netns;
use maglev_vpp_simulator::{Simulator, SimulatorOptions};
use tokio::process::{Child, Command};

use super::harness::{Cluster, eventually, own_control_plane, run};
use super::maglevd::install_agent_role;

/// The InternalIP of the node.
const NODE: &str = "192.0.2.10";
/// Addresses that the tenant may not probe: metadata services, the node, the API server's Service, the gateway, a pod of
/// another tenant, and a metadata service behind NAT64.
const FORBIDDEN: [&str; 9] = [
    "168.63.129.16",
    "100.100.100.200",
    "192.0.0.192",
    "fd00:ec2::254",
    NODE,
    "10.96.0.1",
    "10.20.0.1",
    "10.30.0.5",
    "64:ff9b::a9fe:a9fe",
];
/// A Backend that is probed, one beyond the limit of probes, and one beyond the limit of Backends.
const ALLOWED: [(&str, &str); 3] = [("a", "10.20.0.5"), ("b", "10.20.0.6"), ("c", "10.20.0.7")];
const PORT: u16 = 8080;

const SETTINGS: &str = "
apiVersion: v1
kind: Node
metadata: {name: lb}
---
apiVersion: maglev.vpp.io/v1alpha1
kind: LoadBalancerConfig
metadata: {name: quick}
spec: {sync: {startupMinDelay: 100ms, startupMaxDelay: 2s, interval: 2s}, vpp: {ipv4SourceAddress: 192.0.2.254}}
---
apiVersion: maglev.vpp.io/v1alpha1
kind: AddressPolicy
metadata: {name: tenant}
spec:
  namespaces: {names: [tenant]}
  frontends: {addresses: [203.0.113.0/26], ports: [{protocol: TCP, from: 80, to: 443}]}
  backends: {addresses: [10.20.0.0/16], except: [10.20.0.1/32]}
  probes: {types: [TCP], ports: [{from: 8080}]}
  limits: {frontends: 2, backends: 2, probesPerSecond: 15}
---
apiVersion: maglev.vpp.io/v1alpha1
kind: AddressPolicy
metadata: {name: victim}
spec:
  namespaces: {selector: {matchLabels: {kubernetes.io/metadata.name: victim}}}
  frontends: {addresses: [203.0.113.64/26]}
  backends: {addresses: [10.30.0.0/16]}
";

/// A server that counts the connections to one address.
fn count_connections(address: &str) -> Arc<AtomicUsize> {
    let address: IpAddr = address.parse().unwrap();
    let (listener, count) = (TcpListener::bind((address, PORT)).unwrap(), Arc::new(AtomicUsize::new(0)));
    let counter = Arc::clone(&count);
    std::thread::spawn(move || {
        for _ in listener.incoming() {
            counter.fetch_add(1, Relaxed);
        }
    });
    count
}

/// Gives the namespace all addresses, and a default route, which the API server requires.
fn set_up_addresses() -> BTreeMap<&'static str, Arc<AtomicUsize>> {
    netns::ip("link add node type veth peer name peer");
    netns::ip("link set peer up");
    netns::ip(&format!("address add {NODE}/24 dev node"));
    netns::ip("link set node up");
    netns::ip("route add default via 192.0.2.1");
    let addresses = FORBIDDEN.into_iter().chain(ALLOWED.map(|(_, address)| address));
    addresses
        .map(|address| {
            if address.contains(':') {
                netns::ip(&format!("address add {address}/128 dev lo nodad"));
            } else if address != NODE {
                netns::ip(&format!("address add {address}/32 dev lo"));
            }
            (address, count_connections(address))
        })
        .collect()
}

/// The tenant's HealthChecks and Backends: one Backend for each address.
fn backends() -> String {
    let mut text = "
apiVersion: maglev.vpp.io/v1alpha1
kind: HealthCheck
metadata: {name: tcp}
spec: {type: TCP, port: 8080, interval: 100ms, timeout: 100ms}
---
apiVersion: maglev.vpp.io/v1alpha1
kind: HealthCheck
metadata: {name: http}
spec: {type: HTTP, port: 8080, interval: 100ms, timeout: 100ms, http: {expectedBody: secret}}
"
    .to_owned();
    let forbidden = FORBIDDEN.iter().enumerate().map(|(number, address)| (format!("f{number}"), *address));
    let allowed = ALLOWED.map(|(name, address)| (name.to_owned(), address));
    for (name, address) in allowed.into_iter().chain(forbidden) {
        text += &backend(&name, address, "tcp");
    }
    text + &backend("read", "10.20.0.5", "http")
}

fn backend(name: &str, address: &str, check: &str) -> String {
    format!(
        "---\napiVersion: maglev.vpp.io/v1alpha1\nkind: Backend\nmetadata: {{name: {name}}}\nspec: {{address: \"{address}\", \
         healthCheckRef: {{name: {check}}}}}\n"
    )
}

fn frontend(name: &str, address: &str, port: u16, backend: &str) -> String {
    format!(
        "---\napiVersion: maglev.vpp.io/v1alpha1\nkind: Frontend\nmetadata: {{name: {name}}}\nspec: {{address: {address}, \
         protocol: TCP, port: {port}, tableLength: 256, pools: [{{name: p, backends: [{{name: {backend}}}]}}]}}\n"
    )
}

/// The tenant's Frontends: two that are allowed, one beyond the limit, and claims on the addresses of others: DNS, the API
/// server, the gateway, the node, a pod, and a VIP of the namespace `victim`.
fn frontends() -> String {
    let mut text = String::new();
    for (name, address, port) in [
        ("ok-1", "203.0.113.1", 80),
        ("ok-2", "203.0.113.2", 80),
        ("over", "203.0.113.3", 80),
        ("port", "203.0.113.4", 22),
        ("dns", "10.96.0.10", 53),
        ("api", "10.96.0.1", 443),
        ("gateway", "10.20.0.1", 80),
        ("node", NODE, 80),
        ("pod", "10.30.0.5", 8080),
        ("squatter", "203.0.113.99", 80),
        ("squatter-2", "203.0.113.99", 443),
    ] {
        text += &frontend(name, address, port, "a");
    }
    text
}

/// A tenant's kubectl.
struct Tenant<'a> {
    cluster: &'a Cluster,
    kubeconfig: PathBuf,
}

impl Tenant<'_> {
    async fn kubectl(&self, args: &[&str], stdin: &str) -> Result<String, String> {
        let mut kubectl = self.cluster.tool(Tool::Kubectl);
        let output = run(kubectl.env("KUBECONFIG", &self.kubeconfig).args(args).args(["-n", "tenant"]), stdin).await;
        let text = |bytes| String::from_utf8(bytes).unwrap();
        if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
    }

    async fn apply(&self, manifests: &str) {
        self.kubectl(&["apply", "-f", "-"], manifests).await.unwrap_or_else(|error| panic!("{error}"));
    }
}

/// Creates the namespaces, the policies, and a ServiceAccount with the roles of a tenant.
async fn set_up_tenant(cluster: &Cluster) -> Tenant<'_> {
    for namespace in ["tenant", "victim", "maglev-system"] {
        cluster.kubectl(&["create", "namespace", namespace]).await;
    }
    cluster.kubectl(&["create", "serviceaccount", "tenant", "-n", "tenant"]).await;
    cluster.apply("default", SETTINGS).await.unwrap();
    let status = format!(r#"{{"status": {{"addresses": [{{"type": "InternalIP", "address": "{NODE}"}}]}}}}"#);
    cluster.kubectl(&["patch", "node", "lb", "--subresource=status", "--type=merge", "-p", &status]).await;
    let values = format!("{},userRoles.aggregateEdit=true", super::chart::NODES);
    let args = ["template", "maglev", "charts/maglev", "--namespace", "maglev-system", "--set", &values];
    let only = ["--show-only", "templates/userroles.yaml"];
    let roles = run(cluster.tool(Tool::Helm).args(args).args(only), "").await;
    assert!(roles.status.success(), "{}", String::from_utf8_lossy(&roles.stderr));
    cluster.apply("default", &String::from_utf8(roles.stdout).unwrap()).await.unwrap();
    for role in ["edit", "maglev-vip-admin"] {
        let (role, subject) = (format!("--clusterrole={role}"), "--serviceaccount=tenant:tenant");
        cluster.kubectl(&["create", "rolebinding", &role[14..], &role, subject, "-n", "tenant"]).await;
    }
    let tenant = Tenant { cluster, kubeconfig: cluster.kubeconfig_as("tenant", "tenant").await };
    eventually("the role edit includes maglev-edit", async || {
        tenant.kubectl(&["auth", "can-i", "create", "backends.maglev.vpp.io"], "").await.ok()
    })
    .await;
    tenant
}

fn start_maglevd(kubeconfig: &Path, dir: &Path) -> Child {
    let log = std::fs::File::create(dir.join("maglevd.log")).unwrap();
    Command::new(maglev_testkit::binary("maglevd"))
        .args(["--node-name=lb", "--metrics-addr=127.0.0.1:19091", "--grpc-addr=127.0.0.1:19090", "--vpp-api-socket"])
        .arg(dir.join("api.sock"))
        .env("KUBECONFIG", kubeconfig)
        .stdin(Stdio::null())
        .stdout(log)
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// The addresses of the VIPs in VPP.
fn vips(vpp: &Simulator) -> BTreeSet<String> {
    vpp.snapshot().vips.keys().map(|vip| vip.address.to_string()).collect()
}

fn set(addresses: &[&str]) -> BTreeSet<String> {
    addresses.iter().map(ToString::to_string).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tenant_probes_and_claims_only_what_the_policy_allows() {
    if !netns::inside("tenant::tenant_probes_and_claims_only_what_the_policy_allows", &[]) {
        return;
    }
    let counts = set_up_addresses();
    let cluster = own_control_plane("tenant", true).await;
    let tenant = set_up_tenant(&cluster).await;
    tenant_may_not_write_policies(&tenant).await;
    tenant.apply(&backends()).await;
    // The tenant is older on the victim's address.
    tenant.apply(&frontends()).await;
    let victim = backend("v", "10.30.0.9", "none") + &frontend("web", "203.0.113.99", 80, "v");
    let victim = victim.replace(", healthCheckRef: {name: none}", "");
    cluster.apply("victim", &victim).await.unwrap();

    install_agent_role(&cluster, "maglev-system", "agent.minReadySeconds=1").await;
    let vpp = Simulator::start(SimulatorOptions::new(cluster.dir().join("api.sock"))).await.unwrap();
    let kubeconfig = cluster.kubeconfig_as("maglev-system", "maglevd").await;
    let _maglevd = start_maglevd(&kubeconfig, cluster.dir());
    let log = || std::fs::read_to_string(cluster.dir().join("maglevd.log")).unwrap();
    eventually("the allowed VIPs are in VPP, and the allowed Backend is probed", async || {
        let is_probed = counts["10.20.0.5"].load(Relaxed) >= 20;
        (vips(&vpp) == set(&["203.0.113.1", "203.0.113.2", "203.0.113.99"]) && is_probed).then_some(())
    })
    .await;
    for (object, reason) in [
        ("kind=Backend name=tenant/f0", "AddressNotAllowed"),
        ("kind=Backend name=tenant/f4", "AddressNotAllowed"),
        ("kind=Backend name=tenant/f8", "AddressNotAllowed"),
        ("kind=Backend name=tenant/b", "QuotaExceeded"),
        ("kind=Backend name=tenant/c", "QuotaExceeded"),
        ("kind=Backend name=tenant/read", "QuotaExceeded"),
        ("kind=Frontend name=tenant/over", "QuotaExceeded"),
        ("kind=Frontend name=tenant/dns", "AddressNotAllowed"),
        ("kind=Frontend name=tenant/squatter-2", "AddressNotAllowed"),
    ] {
        let is_rejected = |line: &str| line.contains(object) && line.contains(reason);
        assert!(log().lines().any(is_rejected), "{object} {reason}:\n{}", log());
    }
    for (address, count) in &counts {
        assert_eq!(count.load(Relaxed) > 0, *address == "10.20.0.5", "probes of {address}");
    }
    revoked_vip_is_held_until_the_policy_withdraws_it(&cluster, &vpp, log).await;
    for address in FORBIDDEN {
        assert_eq!(counts[address].load(Relaxed), 0, "probes of {address}");
    }
}

async fn tenant_may_not_write_policies(tenant: &Tenant<'_>) {
    for (kind, verb) in [("addresspolicies", "create"), ("addresspolicies", "patch"), ("loadbalancerconfigs", "patch")]
    {
        let resource = format!("{kind}.maglev.vpp.io");
        let answer = tenant.kubectl(&["auth", "can-i", verb, &resource], "").await;
        assert!(answer.is_err(), "{verb} {resource}: {answer:?}");
    }
    let open = "{apiVersion: maglev.vpp.io/v1alpha1, kind: AddressPolicy, metadata: {name: mine}, spec: {backends: {addresses: \
                [0.0.0.0/0]}}}";
    let refusal = tenant.kubectl(&["create", "-f", "-"], open).await.unwrap_err();
    assert!(refusal.contains("forbidden"), "{refusal}");
}

async fn revoked_vip_is_held_until_the_policy_withdraws_it(
    cluster: &Cluster,
    vpp: &Simulator,
    log: impl Fn() -> String,
) {
    let patch = async |patch: &str| {
        cluster.kubectl(&["patch", "mpol", "tenant", "--type=merge", "-p", patch]).await;
    };
    patch(r#"{"spec": {"frontends": {"addresses": ["203.0.113.1/32"]}}}"#).await;
    eventually("the revoked VIP is held", async || {
        let is_held =
            |line: &str| line.contains("tenant/ok-2") && line.contains("result=Held reason=AddressNotAllowed");
        log().lines().any(is_held).then_some(())
    })
    .await;
    assert!(vips(vpp).contains("203.0.113.2"), "it is still in VPP");
    patch(r#"{"spec": {"onRevoke": "Withdraw"}}"#).await;
    eventually("the revoked VIP is withdrawn", async || {
        (vips(vpp) == set(&["203.0.113.1", "203.0.113.99"])).then_some(())
    })
    .await;
}
