//! Probes from another network namespace than the process's.

use std::{net::TcpListener, process::Command, sync::Arc};

use maglev_health::{NetworkProber, ProbeOutcome, ProbeTarget, ProbeThread, Prober};
use maglev_model::{config::HealthCheck, health::ProbeCode::*};

use super::checks::{icmp, tcp};
use crate::netns;

/// An address that only the other namespace has.
const ADDRESS: &str = "192.0.2.7";

fn probe_from(namespace: Option<&str>, check: HealthCheck) -> ProbeOutcome {
    let thread = ProbeThread::start(namespace.map(Into::into)).unwrap();
    let target = ProbeTarget { address: ADDRESS.parse().unwrap(), source: None, check: Arc::new(check) };
    thread.block_on(async move || NetworkProber::new("1.2.3").probe(target, None).await.outcome).unwrap()
}

#[test]
fn probes_reach_backends_from_another_namespace() {
    if !netns::inside("probes::namespace::probes_reach_backends_from_another_namespace", &[]) {
        return;
    }
    let other = netns::OtherNamespace::create();
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
    assert_eq!(code, L4Connection, "the process stays in its namespace");
}

/// Runs maglevd, which must fail, and returns its only error message.
fn maglevd_startup_error(namespace: &str) -> String {
    let args = ["--node-name=a", "--vpp-api-socket=/nonexistent/api.sock", "--probe-network-namespace", namespace];
    let output = Command::new(maglev_testkit::binary("maglevd")).env_clear().args(args).output().unwrap();
    let printed = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{printed}");
    let errors: Vec<_> = printed.lines().filter(|line| line.contains(" ERROR ")).collect();
    assert_eq!(errors.len(), 1, "{printed}");
    errors[0].to_owned()
}

#[test]
fn maglevd_reports_why_it_cannot_enter_its_namespace() {
    let error = maglevd_startup_error("no-such-namespace");
    assert!(error.contains("there is no network namespace /run/netns/no-such-namespace"), "{error}");
    let error = maglevd_startup_error("/proc/self/status");
    assert!(
        error.contains("/proc/self/status is no network namespace") && error.contains("HostToContainer"),
        "{error}"
    );

    let test = "probes::namespace::maglevd_reports_why_it_cannot_enter_its_namespace";
    if netns::inside(test, &["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin"]) {
        let error = maglevd_startup_error("/proc/self/ns/net");
        let missing = "cannot enter the network namespace /proc/self/ns/net to send probes from: this needs the capability SYS_ADMIN";
        assert!(error.contains(missing), "{error}");
    }
}
