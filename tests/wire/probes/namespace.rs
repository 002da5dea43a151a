//! Probes that leave from another network namespace than the process is in.

use std::{net::TcpListener, process::Command, sync::Arc};

use maglev_health::{NetworkProber, ProbeOutcome, ProbeThread, Prober, ProbeTarget};
use maglev_model::{config::HealthCheck, health::ProbeCode::*};

use super::checks::{icmp, tcp};
use crate::netns;

/// An address that is nowhere but in the other namespace.
const ADDRESS: &str = "192.0.2.7";

fn probe_from(namespace: Option<&str>, check: HealthCheck) -> ProbeOutcome {
    let thread = ProbeThread::start(namespace.map(Into::into)).unwrap();
    let target = ProbeTarget { address: ADDRESS.parse().unwrap(), source: None, check: Arc::new(check) };
    thread.block_on(async move || NetworkProber::new("1.2.3").probe(target).await).unwrap()
}

#[test]
fn a_backend_that_is_only_in_a_namespace_is_reached_from_there() {
    if !netns::inside("probes::namespace::a_backend_that_is_only_in_a_namespace_is_reached_from_there", &[]) {
        return;
    }
    let other = netns::Other::new();
    let listener = other.run(|| {
        netns::ip(&format!("address add {ADDRESS}/32 dev lo"));
        TcpListener::bind((ADDRESS, 0)).unwrap()
    });
    let port = listener.local_addr().unwrap().port();
    let ProbeOutcome::Completed { code, detail } = probe_from(None, tcp(port)) else { panic!("not probed") };
    assert_eq!(code, L4Connection, "{detail}");
    assert_eq!(probe_from(Some(&other.path), tcp(port)), ProbeOutcome::completed(L4Ok, "connected"));
    assert_eq!(probe_from(Some(&other.path), icmp()), ProbeOutcome::completed(L4Ok, "echo reply"));
    let ProbeOutcome::Completed { code, .. } = probe_from(None, tcp(port)) else { panic!("not probed") };
    assert_eq!(code, L4Connection, "this process is where it was");
}

/// Runs maglevd, which is to end by itself, and returns what it said.
fn maglevd_ends(namespace: &str) -> String {
    let args = ["--node-name=a", "--vpp-api-socket=/nonexistent/api.sock", "--probe-network-namespace", namespace];
    let output = Command::new(maglev_testkit::binary("maglevd")).env_clear().args(args).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let errors: Vec<_> = said.lines().filter(|line| line.contains(" ERROR ")).collect();
    assert_eq!(errors.len(), 1, "{said}");
    errors[0].to_owned()
}

#[test]
fn maglevd_ends_with_what_is_missing_where_it_cannot_enter_its_namespace() {
    let said = maglevd_ends("no-such-namespace");
    assert!(said.contains("there is no network namespace /run/netns/no-such-namespace"), "{said}");
    let said = maglevd_ends("/proc/self/status");
    assert!(said.contains("/proc/self/status is no network namespace") && said.contains("HostToContainer"), "{said}");

    let test = "probes::namespace::maglevd_ends_with_what_is_missing_where_it_cannot_enter_its_namespace";
    if netns::inside(test, &["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin"]) {
        let said = maglevd_ends("/proc/self/ns/net");
        let missing =
            "cannot enter the network namespace /proc/self/ns/net to send probes from: this needs the capability SYS_ADMIN";
        assert!(said.contains(missing), "{said}");
    }
}
