use std::num::NonZeroU16;

use tracing::subscriber::with_default;

use super::*;
use crate::writer::tests::Output;
use maglev_model::{
    Name,
    config::Kind,
    event::{AsRef, Event, VipRef},
    problem::Reason,
    vip::{Protocol, Service, VipKey},
};

fn tell(event: &Event) {
    super::tell("2026-11-23T02:00:00.123456Z".parse().expect("a valid time"), event);
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
        of: AsRef { vip, backend: Some(Name::namespaced("default", "web-1")), address },
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

/// Everything that `act` makes the log print.
fn printed(options: LogOptions, act: impl FnOnce()) -> String {
    let output = Output::default();
    let (subscriber, guard) = subscriber(options, Box::new(output.clone())).expect("the thread starts");
    with_default(subscriber, act);
    drop(guard);
    output.text()
}

#[test]
fn events_print_as_documented_in_text() {
    let text = printed(LogOptions { format: LogFormat::Text, level: Level::Info }, || {
        tell(&weight_updated());
        tell(&rejected());
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
fn events_print_as_one_json_object_a_line() {
    let text = printed(LogOptions { format: LogFormat::Json, level: Level::Info }, || tell(&weight_updated()));
    assert_eq!(
        text,
        "{\"time\":\"2026-11-23T02:00:00.123Z\",\"level\":\"INFO\",\"msg\":\"vpp-lb-sync-as-weight-updated\",\
         \"frontend\":\"default/web\",\"vip\":\"203.0.113.1\",\"protocol\":\"tcp\",\"port\":80,\
         \"backend\":\"default/web-1\",\"as\":\"10.0.0.7\",\"from\":10,\"to\":0,\"flush\":true}\n"
    );
}

#[test]
fn diagnostics_print_in_the_same_shape_with_real_types() {
    let say = || {
        let error = std::io::Error::other("refused");
        tracing::warn!(
            kind = "Backend",
            tries = 3_u64,
            ok = false,
            err = &error as &dyn std::error::Error,
            "watch failed"
        );
    };
    let text = printed(LogOptions { format: LogFormat::Text, level: Level::Info }, say);
    let (_, text) = text.split_once(' ').expect("a time");
    assert_eq!(text, "WARN \"watch failed\" kind=Backend tries=3 ok=false err=refused\n");

    let json = printed(LogOptions { format: LogFormat::Json, level: Level::Info }, say);
    let json: serde_json::Value = serde_json::from_str(&json).expect("valid JSON");
    assert_eq!(json["msg"], "watch failed");
    assert_eq!((&json["tries"], &json["ok"], &json["err"]), (&3.into(), &false.into(), &"refused".into()));
}

#[test]
fn the_level_filters_events_and_diagnostics_alike() {
    let say = || {
        tell(&Event::VppApiSend { msg: "lb_vip_dump" });
        tell(&weight_updated());
        tracing::debug!("a detail");
        tracing::info!(target: "hyper", "a library chats");
        tracing::error!(target: "kube_client::client", "Authorization: Bearer secret");
    };
    let names = |text: String| -> Vec<String> {
        text.lines().filter_map(|line| line.split(' ').nth(2)).map(str::to_owned).collect()
    };
    assert_eq!(
        names(printed(LogOptions { format: LogFormat::Text, level: Level::Debug }, say)),
        ["vpp-api-send", "vpp-lb-sync-as-weight-updated", "\"a"]
    );
    assert_eq!(
        names(printed(LogOptions { format: LogFormat::Text, level: Level::Info }, say)),
        ["vpp-lb-sync-as-weight-updated"]
    );
    assert_eq!(printed(LogOptions { format: LogFormat::Text, level: Level::Warn }, say), "");
}

#[test]
fn a_wrong_format_or_level_is_answered_with_what_is_allowed() {
    assert_eq!("yaml".parse::<LogFormat>(), Err("found \"yaml\", allowed are text and json".into()));
    assert_eq!(parse_level("loud"), Err("found \"loud\", allowed are debug, info, warn and error".into()));
    assert_eq!(parse_level("INFO"), Ok(Level::Info));
}
