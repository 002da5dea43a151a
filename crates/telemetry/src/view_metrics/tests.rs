use std::sync::Arc;

use prometheus::{Registry, TextEncoder};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::{Bus, BusOptions};
use maglev_model::{
    ServerMap,
    actual::VppVip,
    change::{Change, ConfigDelta, Problems, Report, SyncHold, VipState, VppInfo},
    config::{AdminState, Backend, Check, Frontend, Kind, Member, Pool},
    event::{Event, Events, FrontendState, Level, ProgramResult},
    fingerprint::Fingerprint,
    health::{BackendHealth, BackendState, ProbeCode},
    problem::{Problem, Reason},
    vip::{Family, Weight},
};
use maglev_testkit::objects::{self, member, name, vip};

const STARTED: i64 = 1_000_000;

/// The series of a scrape ten seconds after `emit`, without comments.
async fn scraped(emit: impl FnOnce(&Events)) -> Vec<String> {
    let clock = || Timestamp::from_second(STARTED).expect("a time");
    let bus = Bus::new(BusOptions { log_level: Level::Error, clock, epoch: 1 });
    let later = || Timestamp::from_second(STARTED + 10).expect("a time");
    let metrics = ViewMetrics::new(bus.snapshots(), bus.transitions(), later).expect("names are valid");
    let registry = Registry::new();
    registry.register(Box::new(metrics)).expect("a fresh registry");
    emit(&bus.events());
    let shutdown = CancellationToken::new();
    shutdown.cancel();
    bus.run(shutdown).await;
    let text = TextEncoder::new().encode_to_string(&registry.gather()).expect("metrics are text");
    text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
}

fn backend(id: &str, last: u8, admin_state: AdminState) -> Arc<Backend> {
    let address = format!("10.0.0.{last}");
    Arc::new(Backend { admin_state, check: Check::None, ..objects::backend(&format!("shop/{id}"), &address) })
}

/// The name of a pool and its backends with their weights.
type NamedPool<'a> = (&'a str, &'a [(&'a Arc<Backend>, u8)]);

fn frontend(id: &str, pools: &[NamedPool<'_>]) -> Arc<Frontend> {
    let member = |(backend, weight): &(&Arc<Backend>, u8)| Member {
        weight: Weight::new(*weight).expect("a weight"),
        ..member(Arc::clone(backend))
    };
    let pool =
        |(name, members): &NamedPool<'_>| Pool { name: (*name).into(), members: members.iter().map(member).collect() };
    let pools = pools.iter().map(pool).collect();
    Arc::new(objects::frontend(&format!("shop/{id}"), vip("10.0.0.100"), pools))
}

fn configure(events: &Events, backends: &[&Arc<Backend>], frontends: &[&Arc<Frontend>]) {
    let delta = ConfigDelta {
        backends: backends.iter().map(|backend| (backend.name.clone(), Some(Arc::clone(backend)))).collect(),
        frontends: frontends.iter().map(|frontend| (frontend.name.clone(), Some(Arc::clone(frontend)))).collect(),
        ..ConfigDelta::default()
    };
    events.emit_change(Change::Config(Arc::new(delta)));
}

/// Emits a transition of `backend`, as the health checker does.
fn transition(events: &Events, backend: &Backend, from: BackendState, to: BackendState) {
    let health = BackendHealth {
        address: backend.address,
        state: to,
        ever_known: true,
        in_doubt: false,
        history: Arc::default(),
    };
    events.emit(Event::BackendTransition { name: backend.name.clone(), from, code: Some(ProbeCode::L4Ok), health });
}

fn starting_with<'a>(series: &'a [String], start: &str) -> Vec<&'a str> {
    series.iter().filter(|line| line.starts_with(start)).map(String::as_str).collect()
}

#[tokio::test]
async fn an_empty_view_has_only_series_that_need_no_object() {
    let series = scraped(|_| {}).await;
    assert_eq!(
        series,
        [
            r#"maglev_probe_path_suspect{family="ipv4"} 0"#,
            r#"maglev_probe_path_suspect{family="ipv6"} 0"#,
            "maglev_vpp_lbsync_held_removals 0",
            "maglev_vpp_lbsync_holds 0",
        ]
    );
}

#[tokio::test]
async fn a_backend_has_one_state_and_counts_of_its_transitions() {
    use BackendState::{Down, Unknown, Up};
    let (a, b) = (backend("a", 1, AdminState::Enabled), backend("b", 2, AdminState::Paused));
    let series = scraped(|events| {
        configure(events, &[&a, &b], &[]);
        transition(events, &a, Unknown, Up);
        for _ in 0..3 {
            transition(events, &a, Up, Down);
            transition(events, &a, Down, Up);
        }
        transition(events, &a, Up, Down);
    })
    .await;
    assert_eq!(
        starting_with(&series, "maglev_backend_"),
        [
            r#"maglev_backend_enabled{backend="shop/a"} 1"#,
            r#"maglev_backend_enabled{backend="shop/b"} 0"#,
            r#"maglev_backend_state{backend="shop/a",state="disabled"} 0"#,
            r#"maglev_backend_state{backend="shop/a",state="down"} 1"#,
            r#"maglev_backend_state{backend="shop/a",state="paused"} 0"#,
            r#"maglev_backend_state{backend="shop/a",state="unknown"} 0"#,
            r#"maglev_backend_state{backend="shop/a",state="up"} 0"#,
            r#"maglev_backend_state{backend="shop/b",state="disabled"} 0"#,
            r#"maglev_backend_state{backend="shop/b",state="down"} 0"#,
            r#"maglev_backend_state{backend="shop/b",state="paused"} 0"#,
            r#"maglev_backend_state{backend="shop/b",state="unknown"} 1"#,
            r#"maglev_backend_state{backend="shop/b",state="up"} 0"#,
            r#"maglev_backend_transitions_total{backend="shop/a",from="down",to="up"} 3"#,
            r#"maglev_backend_transitions_total{backend="shop/a",from="unknown",to="up"} 1"#,
            r#"maglev_backend_transitions_total{backend="shop/a",from="up",to="down"} 4"#,
        ]
    );
}

#[tokio::test]
async fn a_backend_added_again_starts_at_zero_transitions() {
    use BackendState::{Down, Unknown, Up};
    let a = backend("a", 1, AdminState::Enabled);
    let remove = |events: &Events| {
        configure(events, &[&a], &[]);
        transition(events, &a, Unknown, Up);
        let delta = ConfigDelta { backends: vec![(name("shop/a"), None)], ..ConfigDelta::default() };
        events.emit_change(Change::Config(Arc::new(delta)));
        // The health checker has not applied the removal yet.
        transition(events, &a, Up, Down);
    };
    assert_eq!(starting_with(&scraped(remove).await, "maglev_backend_"), [""; 0]);
    let series = scraped(|events| {
        remove(events);
        events.emit_change(Change::Health(name("shop/a"), None));
        configure(events, &[&a], &[]);
        transition(events, &a, Unknown, Down);
    })
    .await;
    let counted = r#"maglev_backend_transitions_total{backend="shop/a",from="unknown",to="down"} 1"#;
    assert_eq!(starting_with(&series, "maglev_backend_transitions_total"), [counted]);
}

#[tokio::test]
async fn the_state_of_another_address_counts_as_unknown() {
    let (old, new) = (backend("a", 1, AdminState::Enabled), backend("a", 2, AdminState::Enabled));
    let series = scraped(|events| {
        configure(events, &[&old], &[]);
        transition(events, &old, BackendState::Unknown, BackendState::Up);
        configure(events, &[&new], &[]);
    })
    .await;
    assert_eq!(
        starting_with(&series, r#"maglev_backend_state{backend="shop/a",state="up"}"#).join(""),
        r#"maglev_backend_state{backend="shop/a",state="up"} 0"#
    );
    assert!(series.contains(&r#"maglev_backend_state{backend="shop/a",state="unknown"} 1"#.to_owned()), "{series:#?}");
}

#[tokio::test]
async fn a_frontend_has_state_result_and_weights_until_it_is_removed() {
    let (a, b) = (backend("a", 1, AdminState::Enabled), backend("b", 2, AdminState::Enabled));
    let web = frontend("web", &[("first", &[(&a, 10)]), ("second", &[(&a, 20), (&b, 30)])]);
    let report = Report {
        uid: "u".into(),
        generation: 1,
        fingerprint: Fingerprint::new(&web),
        result: ProgramResult::Held,
        reason: "".into(),
    };
    let emit = |events: &Events| {
        configure(events, &[&a, &b], &[&web]);
        events.emit_change(Change::Frontend(name("shop/web"), FrontendState::Up, None));
        events.emit_change(Change::Report(name("shop/web"), report.clone()));
    };
    let weight = |metric: &str, pool: &str, backend: &str, weight: u8| {
        format!(
            r#"maglev_frontend_pool_backend_{metric}{{frontend="shop/web",pool="{pool}",backend="shop/{backend}"}} {weight}"#
        )
    };
    assert_eq!(
        starting_with(&scraped(emit).await, "maglev_frontend_"),
        [
            &*weight("effective_weight", "first", "a", 10),
            &*weight("effective_weight", "second", "a", 0),
            &*weight("effective_weight", "second", "b", 0),
            &*weight("weight", "first", "a", 10),
            &*weight("weight", "second", "a", 20),
            &*weight("weight", "second", "b", 30),
            r#"maglev_frontend_programmed{frontend="shop/web",result="Failed"} 0"#,
            r#"maglev_frontend_programmed{frontend="shop/web",result="Held"} 1"#,
            r#"maglev_frontend_programmed{frontend="shop/web",result="Pending"} 0"#,
            r#"maglev_frontend_programmed{frontend="shop/web",result="Programmed"} 0"#,
            r#"maglev_frontend_state{frontend="shop/web",state="down"} 0"#,
            r#"maglev_frontend_state{frontend="shop/web",state="unknown"} 0"#,
            r#"maglev_frontend_state{frontend="shop/web",state="up"} 1"#,
        ]
    );
    let removed = scraped(|events| {
        emit(events);
        let delta = ConfigDelta { frontends: vec![(name("shop/web"), None)], ..ConfigDelta::default() };
        events.emit_change(Change::Config(Arc::new(delta)));
    })
    .await;
    assert_eq!(starting_with(&removed, "maglev_frontend_"), [""; 0]);
}

#[tokio::test]
async fn problems_holds_and_foreign_vips_are_counted() {
    let problem = |reason| Problem::new(reason, "spec", "it is odd");
    let problems = |problems: &[Reason]| Problems {
        generation: 1,
        problems: problems.iter().map(|reason| problem(*reason)).collect(),
    };
    let vip = VppVip { address: [10, 0, 0, 7].into(), length: 32, protocol: 6, port: 80 };
    let series = scraped(|events| {
        let delta = ConfigDelta {
            problems: vec![
                ((Kind::Frontend, name("shop/a")), problems(&[Reason::BackendNotFound, Reason::NoBackends])),
                ((Kind::Frontend, name("shop/b")), problems(&[Reason::BackendNotFound])),
            ],
            claims_unknown: Some(true),
            ..ConfigDelta::default()
        };
        events.emit_change(Change::Config(Arc::new(delta)));
        events.emit_change(Change::Suspect(Family::V6, true));
        events.emit_change(Change::VppConnected(Arc::new(VppInfo::default())));
        let state = VipState { servers: ServerMap::default(), ..VipState::default() };
        events.emit_change(Change::Vip(vip, Some(state)));
        events.emit_change(Change::Foreign(vip));
        events.emit_change(Change::Held(SyncHold { id: "1".into(), removals: 5, change: None, until: Timestamp::MAX }));
        events.emit_change(Change::Held(SyncHold { id: "2".into(), removals: 7, change: None, until: Timestamp::MAX }));
        events.emit_change(Change::Synced(3));
    })
    .await;
    assert_eq!(
        series,
        [
            r#"maglev_config_problems{kind="Frontend",reason="BackendNotFound"} 2"#,
            r#"maglev_config_problems{kind="Frontend",reason="NoBackends"} 1"#,
            r#"maglev_config_problems{kind="Frontend",reason="RemovalsSuspended"} 1"#,
            r#"maglev_probe_path_suspect{family="ipv4"} 0"#,
            r#"maglev_probe_path_suspect{family="ipv6"} 1"#,
            "maglev_vpp_connected_seconds 10",
            "maglev_vpp_foreign_vips 1",
            "maglev_vpp_lbsync_held_removals 12",
            "maglev_vpp_lbsync_holds 2",
            "maglev_vpp_lbsync_last_pass_failed_steps 3",
            "maglev_vpp_lbsync_last_pass_timestamp_seconds 1000000",
        ]
    );
    let disconnected = scraped(|events| {
        events.emit_change(Change::VppConnected(Arc::new(VppInfo::default())));
        events.emit_change(Change::VppDisconnected);
    })
    .await;
    assert_eq!(starting_with(&disconnected, "maglev_vpp_connected"), [""; 0]);
}

#[tokio::test]
async fn table_of_a_frontends_vip_has_its_fingerprint_until_vpp_is_lost() {
    let a = backend("a", 1, AdminState::Enabled);
    let web = frontend("web", &[("first", &[(&a, 10)])]);
    let vip = VppVip::from(web.vip);
    let state = |weights: [u8; 2]| {
        let servers = weights.into_iter().zip(1..).map(|(weight, last)| ([10, 0, 0, last].into(), weight));
        VipState { table_length: Some(1024), servers: servers.collect(), ..VipState::default() }
    };
    let emit = |events: &Events, weights| {
        configure(events, &[&a], &[&web]);
        events.emit_change(Change::VppConnected(Arc::new(VppInfo::default())));
        events.emit_change(Change::Vip(vip, Some(state(weights))));
        // A VIP without a Frontend has no series.
        events.emit_change(Change::Vip(VppVip { port: 81, ..vip }, Some(state(weights))));
    };
    let tables = async |weights| {
        let series = scraped(|events| emit(events, weights)).await;
        starting_with(&series, "maglev_vip_table_info").into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let first = tables([10, 10]).await;
    let fingerprint = maglev_model::table_fingerprint::TableFingerprint::new(&state([10, 10])).expect("a length");
    let port = if vip.port == 0 { "0".to_owned() } else { vip.port.to_string() };
    for label in
        [r#"frontend="shop/web""#, r#"prefix="10.0.0.100/32""#, r#"weights="yes""#, &format!(r#"port="{port}""#)]
    {
        assert!(first[0].contains(label), "{label} in {first:?}");
    }
    assert!(first.len() == 1 && first[0].contains(&format!(r#"fingerprint="{fingerprint}""#)), "{first:?}");
    assert_eq!(tables([10, 10]).await, first);
    assert_ne!(tables([10, 20]).await, first);
    let lost = scraped(|events| {
        emit(events, [10, 10]);
        events.emit_change(Change::VppDisconnected);
    });
    assert_eq!(starting_with(&lost.await, "maglev_vip_table_info"), [""; 0]);
}
