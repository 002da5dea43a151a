use std::num::NonZeroU16;

use tracing::subscriber::with_default;

use super::*;
use crate::writer::tests::Output;
use maglev_model::{
    Name,
    config::Kind,
    event::{Event, ServerRef, VipRef},
    problem::Reason,
    vip::{Protocol, Service, VipKey},
};

fn log(event: &Event) {
    log_event("2026-11-23T02:00:00.123456Z".parse().expect("a valid time"), event);
}

fn weight_updated() -> Event {
    let port = NonZeroU16::new(80).expect("80 is not 0");
    let vip = VipKey {
        address: "203.0.113.1".parse().expect("an address"),
        service: Service::Port { protocol: Protocol::Tcp, port },
    };
    let vip = VipRef { frontend: Some(Name::namespaced("default", "web")), vip: vip.into() };
    let address = "10.0.0.7".parse().expect("an address");
    Event::AsWeightUpdated {
        server: ServerRef { vip, backend: Some(Name::namespaced("default", "web-1")), address },
        from: 10,
        to: 0,
        flush: true,
    }
}

fn rejected() -> Event {
    Event::ConfigRejected {
        kind: Kind::Frontend,
        name: Name::namespaced("default", "web"),
        generation: 3,
        field: String::new(),
        reason: Reason::Unreadable,
        message: "spec.pools: found \"x\", a list is allowed".into(),
    }
}

/// The output of the log while `action` runs.
fn logged(options: LogOptions, action: impl FnOnce()) -> String {
    let output = Output::default();
    let (subscriber, guard) = subscriber(options, Box::new(output.clone())).expect("the thread starts");
    with_default(subscriber, action);
    drop(guard);
    output.text()
}

#[test]
fn events_have_the_documented_text_format() {
    let text = logged(LogOptions { format: LogFormat::Text, level: Level::Info }, || {
        log(&weight_updated());
        log(&rejected());
    });
    assert_eq!(
        text,
        "2026-11-23T02:00:00.123Z INFO vpp-lb-sync-as-weight-updated frontend=default/web vip=203.0.113.1 protocol=tcp \
         port=80 backend=default/web-1 as=10.0.0.7 from=10 to=0 flush=true\n\
         2026-11-23T02:00:00.123Z WARN config-rejected kind=Frontend name=default/web generation=3 field=\"\" \
         reason=Unreadable message=\"spec.pools: found \\\"x\\\", a list is allowed\"\n"
    );
}

#[test]
fn events_are_one_json_object_per_line() {
    let text = logged(LogOptions { format: LogFormat::Json, level: Level::Info }, || log(&weight_updated()));
    assert_eq!(
        text,
        "{\"time\":\"2026-11-23T02:00:00.123Z\",\"level\":\"INFO\",\"msg\":\"vpp-lb-sync-as-weight-updated\",\
         \"frontend\":\"default/web\",\"vip\":\"203.0.113.1\",\"protocol\":\"tcp\",\"port\":80,\
         \"backend\":\"default/web-1\",\"as\":\"10.0.0.7\",\"from\":10,\"to\":0,\"flush\":true}\n"
    );
}

#[test]
fn diagnostics_have_the_same_format_and_keep_types() {
    let action = || {
        let error = std::io::Error::other("refused");
        tracing::warn!(
            kind = "Backend",
            tries = 3_u64,
            ok = false,
            error = &error as &dyn std::error::Error,
            "watch failed"
        );
    };
    let text = logged(LogOptions { format: LogFormat::Text, level: Level::Info }, action);
    let (_, text) = text.split_once(' ').expect("a time");
    assert_eq!(text, "WARN \"watch failed\" kind=Backend tries=3 ok=false error=refused\n");

    let json = logged(LogOptions { format: LogFormat::Json, level: Level::Info }, action);
    let json: serde_json::Value = serde_json::from_str(&json).expect("valid JSON");
    assert_eq!(json["msg"], "watch failed");
    assert_eq!((&json["tries"], &json["ok"], &json["error"]), (&3.into(), &false.into(), &"refused".into()));
}

#[test]
fn the_log_level_filters_events_and_diagnostics() {
    let action = || {
        log(&Event::VppApiSend { msg: "lb_vip_dump" });
        log(&weight_updated());
        tracing::debug!("a detail");
        tracing::info!(target: "hyper", "a message of a library");
        tracing::error!(target: "kube_client::client", "Authorization: Bearer secret");
    };
    let names = |text: String| -> Vec<String> {
        text.lines().filter_map(|line| line.split(' ').nth(2)).map(str::to_owned).collect()
    };
    assert_eq!(
        names(logged(LogOptions { format: LogFormat::Text, level: Level::Debug }, action)),
        ["vpp-api-send", "vpp-lb-sync-as-weight-updated", "\"a"]
    );
    assert_eq!(
        names(logged(LogOptions { format: LogFormat::Text, level: Level::Info }, action)),
        ["vpp-lb-sync-as-weight-updated"]
    );
    assert_eq!(logged(LogOptions { format: LogFormat::Text, level: Level::Warn }, action), "");
}

#[test]
fn the_error_of_an_invalid_format_or_level_names_the_allowed_values() {
    assert_eq!("yaml".parse::<LogFormat>(), Err("found \"yaml\", allowed are text and json".into()));
    assert_eq!(parse_level("loud"), Err("found \"loud\", allowed are debug, info, warn and error".into()));
    assert_eq!(parse_level("INFO"), Ok(Level::Info));
}
