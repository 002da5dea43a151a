//! Tests of reading single objects: applied settings, and problems of invalid fields.

use std::time::Duration;

use serde_json::{Value, json};

use super::fixture::{IndexFixture, at, check, frontend, name, vip, with, without};
use maglev_model::{
    config::{Check, ConnectionMode, DisruptionBudget, HttpMethod, Kind, Probe, RampUp, StatusRange},
    path::PathProbe,
    problem::Reason,
    vip::Encap,
};

fn probe(spec: &Value) -> Probe {
    let fixture = IndexFixture::new(vec![check("shop/c", spec)]);
    assert_eq!(fixture.problems(Kind::HealthCheck, "shop/c"), [], "{spec}");
    fixture.config().health_checks[&name("shop/c")].probe.clone()
}

#[test]
fn absent_fields_of_a_health_check_have_their_defaults() {
    let fixture = IndexFixture::new(vec![check("shop/c", &json!({"type": "HTTP", "port": 8080, "interval": "3s"}))]);
    let check = fixture.config().health_checks[&name("shop/c")].clone();
    let seconds = Duration::from_secs;
    assert_eq!((check.interval, check.fast_interval, check.down_interval), (seconds(3), seconds(3), seconds(3)));
    assert_eq!((check.timeout, check.rise, check.fall), (seconds(1), 2, 3));
    let Probe::Http { port, http, tls: None } = &check.probe else { panic!("{:?}", check.probe) };
    assert_eq!((port.get(), http.path.as_str(), &http.host, http.method), (8080, "/", &None, HttpMethod::Get));
    assert_eq!(http.expected_statuses, [StatusRange { from: 200, to: 399 }]);
}

#[test]
fn connections_of_probes_are_new_unless_reuse_is_set() {
    let settings = |connection: &Value| {
        [
            json!({"type": "HTTP", "port": 80, "http": {"connection": connection}}),
            json!({"type": "HTTPS", "port": 443, "http": {"host": "web.example", "connection": connection}}),
            json!({"type": "GRPC", "port": 1, "grpc": {"connection": connection}}),
        ]
    };
    for spec in settings(&json!("Reuse")) {
        assert_eq!(probe(&spec).connection(), Some(ConnectionMode::Reuse), "{spec}");
    }
    let absent = [json!({"type": "HTTP", "port": 80}), json!({"type": "GRPC", "port": 1})];
    for spec in settings(&json!("New")).iter().chain(&absent) {
        assert_eq!(probe(spec).connection(), Some(ConnectionMode::New), "{spec}");
    }
    assert_eq!(probe(&json!({"type": "TCP", "port": 1})).connection(), None);
}

#[test]
fn server_name_defaults_to_host() {
    let name_of =
        |tls: Value| match probe(&json!({"type": "HTTPS", "port": 443, "http": {"host": "web.example"}, "tls": tls})) {
            Probe::Http { tls: Some(tls), .. } => tls.server_name,
            other => panic!("{other:?}"),
        };
    assert_eq!(name_of(Value::Null).as_deref(), Some("web.example"));
    assert_eq!(name_of(json!({})).as_deref(), Some("web.example"));
    assert_eq!(name_of(json!({"serverName": "a.example"})).as_deref(), Some("a.example"));
    assert!(matches!(probe(&json!({"type": "TCP", "port": 1})), Probe::Tcp { tls: None, .. }));
    let tls = json!({"type": "TCP", "port": 1, "tls": {"insecureSkipVerify": true}});
    assert!(matches!(probe(&tls), Probe::Tcp { tls: Some(_), .. }));
}

#[test]
fn a_health_check_that_could_not_be_probed_is_refused_by_its_field() {
    let http = |field: &str, value: Value| json!({"type": "HTTP", "port": 80, "http": {field: value}});
    let secret = json!([{"name": "X-Key", "value": "s3cret\r\nX: y"}]);
    let typed_secret = json!([{"name": "X-Key", "value": 5_318_008}]);
    for (spec, reason, field) in [
        (json!({"type": "TCP"}), Reason::Invalid, "spec.port"),
        (json!({"type": "TCP", "port": 70000}), Reason::Unreadable, "spec.port"),
        (json!({"type": "SMTP", "port": 25}), Reason::Unreadable, "spec.type"),
        (json!({"type": "TCP", "port": 1, "interval": "1y"}), Reason::Unreadable, "spec.interval"),
        (json!({"type": "TCP", "port": 1, "timeout": "2h"}), Reason::Unreadable, "spec.timeout"),
        (json!({"type": "TCP", "port": 1, "rise": 0}), Reason::Unreadable, "spec.rise"),
        (json!({"type": "HTTPS", "port": 443}), Reason::Invalid, "spec.tls.serverName"),
        (http("path", json!("no slash")), Reason::Invalid, "spec.http.path"),
        (http("host", json!("a\nb")), Reason::Invalid, "spec.http.host"),
        (http("expectedBody", json!("(")), Reason::Invalid, "spec.http.expectedBody"),
        (http("expectedStatuses", json!([])), Reason::Invalid, "spec.http.expectedStatuses"),
        (http("expectedStatuses", json!(["2xx"])), Reason::Unreadable, "spec.http"),
        (http("headers", secret), Reason::Invalid, "spec.http.headers"),
        (http("headers", typed_secret), Reason::Unreadable, "spec.http"),
        (json!({"port": 80}), Reason::Unreadable, ""),
    ] {
        let fixture =
            IndexFixture::new(vec![check("shop/c", &spec), super::fixture::probed("shop/a", "10.0.0.1", "c")]);
        assert_eq!(fixture.reasons(Kind::HealthCheck, "shop/c"), [(reason, field.to_owned())], "{spec}");
        assert!(matches!(fixture.health_check("shop/a"), Check::Missing(_)), "{spec}");
        let message = &fixture.problems(Kind::HealthCheck, "shop/c")[0].message;
        assert!(message.contains("HealthCheck shop/c") && message.contains(field), "{message}");
        assert!(!message.contains("s3cret") && !message.contains("5318008"), "{message}");
        assert!(message.len() <= 1024, "{message}");
    }
}

#[test]
fn expensive_pattern_is_refused_with_its_reason() {
    let spec = |pattern: &str| json!({"type": "HTTP", "port": 80, "http": {"expectedBody": pattern}});
    let stored = check("shop/c", &spec(&format!("{}c", "[ab]{0,900}a".repeat(80))));
    let fixture = IndexFixture::new(vec![stored, super::fixture::probed("shop/a", "10.0.0.1", "c")]);
    let problems = fixture.problems(Kind::HealthCheck, "shop/c");
    assert_eq!(
        (problems.len(), problems[0].reason, &*problems[0].field),
        (1, Reason::Invalid, "spec.http.expectedBody")
    );
    assert!(problems[0].message.contains("needs more than 16 KiB"), "{}", problems[0].message);
    assert!(matches!(fixture.health_check("shop/a"), Check::Missing(_)));
}

#[test]
fn pattern_is_compiled_once_however_often_its_object_changes() {
    let spec = |port: u16| json!({"type": "HTTP", "port": port, "http": {"expectedBody": "^ok$"}});
    let mut fixture = IndexFixture::new(vec![check("shop/c", &spec(80))]);
    let pattern = |fixture: &IndexFixture| match &fixture.config().health_checks[&name("shop/c")].probe {
        Probe::Http { http, .. } => http.expected_body.clone().unwrap(),
        other => panic!("{other:?}"),
    };
    let before = pattern(&fixture);
    fixture.apply(check("shop/c", &spec(81)));
    let after = pattern(&fixture);
    assert!(std::ptr::eq(before.compiled().unwrap(), after.compiled().unwrap()));
}

#[test]
fn frontend_settings_are_applied() {
    let spec = json!({
        "address": "203.0.113.1", "protocol": "UDP", "port": 53, "encap": {"type": "L3DSR", "l3dsr": {"dscp": 7}},
        "sessionAffinity": "ClientIP", "onBackendDown": "Keep", "tableLength": 256,
        "pools": [{"name": "primary", "backends": [{"name": "a", "weight": 0}]}],
    });
    let fixture = IndexFixture::new(vec![at("shop/a", "10.0.0.1"), frontend("shop/web", 1, &spec)]);
    let web = fixture.frontend("shop/web");
    assert_eq!(web.vip.to_string(), "203.0.113.1 udp 53");
    assert_eq!(web.encap.map(|encap| encap.to_string()).as_deref(), Some("l3dsr dscp 7"));
    assert_eq!((web.sticky, web.table_length.get()), (true, 256));
    assert_eq!(web.on_backend_down, maglev_model::config::OnBackendDown::Keep);
    assert_eq!((&*web.pools[0].name, web.pools[0].members[0].weight.get()), ("primary", 0));

    let defaults =
        IndexFixture::new(vec![at("shop/a", "10.0.0.1"), frontend("shop/web", 1, &vip("203.0.113.1", 80, &["a"]))]);
    assert_eq!(defaults.frontend("shop/web").encap, Some(Encap::Gre4));
}

#[test]
fn invalid_frontend_is_held_with_its_field() {
    let good = || vip("203.0.113.1", 80, &["a"]);
    let pools = |entry: Value| with(good(), "pools", json!([{"name": "primary", "backends": [entry]}]));
    let nat = || json!({"type": "NAT", "nat": {"targetPort": 1}});
    let nat_on_all = without(without(with(good(), "encap", nat()), "port"), "protocol");
    let nat_and_length = with(with(good(), "encap", nat()), "tableLength", json!(65536));
    for (spec, reason, field) in [
        (with(good(), "encap", nat()), Reason::EncapUnsupported, "spec.encap.type"),
        (with(good(), "encap", json!({"type": "NAT"})), Reason::EncapUnsupported, "spec.encap.type"),
        (nat_and_length, Reason::EncapUnsupported, "spec.encap.type"),
        (with(good(), "encap", json!({"type": "L3DSR"})), Reason::Invalid, "spec.encap.l3dsr"),
        (with(good(), "encap", json!({"type": "VXLAN"})), Reason::Unreadable, "spec.encap"),
        (with(good(), "encap", json!({"type": "L3DSR", "l3dsr": {"dscp": 64}})), Reason::Unreadable, "spec.encap"),
        (nat_on_all, Reason::EncapUnsupported, "spec.encap.type"),
        (pools(json!({"name": "a", "weight": 200})), Reason::Unreadable, "spec.pools"),
        (pools(json!({"name": "a", "weight": -1})), Reason::Unreadable, "spec.pools"),
        (pools(json!({})), Reason::Unreadable, "spec.pools"),
        (with(good(), "tableLength", json!(65536)), Reason::Unreadable, "spec.tableLength"),
        (with(good(), "onBackendDown", json!("Explode")), Reason::Unreadable, "spec.onBackendDown"),
        (with(good(), "pathProbe", json!({"interval": "1s"})), Reason::Unreadable, "spec.pathProbe"),
        (with(good(), "pathProbe", json!({"packetSize": 500})), Reason::Unreadable, "spec.pathProbe"),
        (with(good(), "pathProbe", json!({"mode": "Maybe"})), Reason::Unreadable, "spec.pathProbe"),
        (with(with(good(), "protocol", json!("UDP")), "pathProbe", json!({})), Reason::Invalid, "spec.pathProbe.mode"),
        (with(good(), "sessionAffinity", json!("Cookie")), Reason::Unreadable, "spec.sessionAffinity"),
        (without(good(), "pools"), Reason::Unreadable, ""),
    ] {
        let fixture = IndexFixture::new(vec![at("shop/a", "10.0.0.1"), frontend("shop/web", 1, &spec)]);
        assert_eq!(fixture.standing("shop/web"), format!("held {reason} {field}"), "{spec}");
        let message = &fixture.problems(Kind::Frontend, "shop/web")[0].message;
        assert!(message.contains("Frontend shop/web") && message.contains(field), "{message}");
    }
}

#[test]
fn claim_is_read_from_non_canonical_address() {
    let spec = with(vip("2001:DB8::0001", 80, &["a"]), "tableLength", 256.into());
    let fixture = IndexFixture::new(vec![frontend("shop/web", 1, &spec)]);
    assert_eq!(fixture.frontend("shop/web").vip.to_string(), "2001:db8::1 tcp 80");
    assert_eq!(fixture.standing("shop/web"), "held Unreadable spec.address");
}

#[test]
fn path_is_probed_by_default_where_it_can_be() {
    let good = || vip("203.0.113.1", 80, &["a"]);
    let read = |spec: Value| {
        let fixture = IndexFixture::new(vec![at("shop/a", "10.0.0.1"), frontend("shop/web", 1, &spec)]);
        fixture.frontend("shop/web").path_probe
    };
    let defaults = PathProbe::default();
    let l3dsr = json!({"type": "L3DSR", "l3dsr": {"dscp": 7}});
    let set = json!({"mode": "Report", "interval": "1m", "packetSize": 9000});
    for (spec, expected) in [
        (good(), Some(defaults)),
        (with(good(), "pathProbe", json!({})), Some(defaults)),
        (
            with(good(), "pathProbe", set),
            Some(PathProbe { interval: Duration::from_mins(1), packet_size: 9000, ..defaults }),
        ),
        (with(good(), "pathProbe", json!({"mode": "Off"})), None),
        (with(good(), "protocol", json!("UDP")), None),
        (without(without(good(), "port"), "protocol"), None),
        (with(good(), "encap", l3dsr.clone()), None),
        (with(with(good(), "encap", l3dsr), "pathProbe", json!({"mode": "Off"})), None),
    ] {
        assert_eq!(read(spec.clone()), expected, "{spec}");
    }
}

#[test]
fn disruption_budget_is_read_with_its_default() {
    let read = |budget: Option<Value>| {
        let good = vip("203.0.113.1", 80, &["a"]);
        let spec = match budget {
            Some(budget) => with(good, "disruption", budget),
            None => good,
        };
        IndexFixture::new(vec![at("shop/a", "10.0.0.1"), frontend("shop/web", 1, &spec)])
            .frontend("shop/web")
            .disruption
    };
    let budget =
        |max_moved_percent, seconds| Some(DisruptionBudget { max_moved_percent, window: Duration::from_secs(seconds) });
    assert_eq!(read(None), None, "no limit by default");
    assert_eq!(read(Some(json!({"maxMovedPercent": 25}))), budget(25, 60));
    assert_eq!(read(Some(json!({"maxMovedPercent": 100, "window": "1h"}))), budget(100, 3600));
}

#[test]
fn ramp_is_read_and_absent_by_default() {
    let read = |ramp_up: Option<Value>| {
        let good = vip("203.0.113.1", 80, &["a"]);
        let spec = match ramp_up {
            Some(ramp_up) => with(good, "rampUp", ramp_up),
            None => good,
        };
        IndexFixture::new(vec![at("shop/a", "10.0.0.1"), frontend("shop/web", 1, &spec)]).frontend("shop/web").ramp_up
    };
    assert_eq!(read(None), None);
    let ramp_up = RampUp { duration: Duration::from_secs(90), steps: 20 };
    assert_eq!(read(Some(json!({"duration": "1m30s", "steps": 20}))), Some(ramp_up));
}
