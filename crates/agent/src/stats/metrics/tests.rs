use std::sync::Arc;

use prometheus::{Registry, TextEncoder};

use super::*;
use maglev_model::counters::{
    BackendCounters, Counters, RouteCounters, StatsSnapshot, StickyTable, VipCounters, VipPackets,
};
use maglev_testkit::objects::{self, backend, frontend, name, node_config, pool};

#[test]
fn series_match_the_snapshot_and_disappear_with_it() {
    let publication = watch::Sender::new(None);
    let registry = Registry::new();
    let config_rx = watch::Sender::new(None).subscribe();
    registry.register(Box::new(VppMetrics::new(publication.subscribe(), config_rx, || 1_000))).unwrap();
    let text = || TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
    let samples = || text().lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(samples(), ["maglev_vpp_connected 0"]);

    let vip = VppVip { address: [192, 0, 2, 1].into(), length: 32, protocol: 6, port: 80 };
    let vip_counters = VipCounters {
        packets: Some(VipPackets { existing: 5, first: 2, untracked: 0, no_server: 1 }),
        route: Some(RouteCounters { packets: 8, bytes: 512 }),
        ..VipCounters::default()
    };
    let vips = [(vip, vip_counters)].into();
    let counters = Counters { boot_time: 900, heartbeat: 3, vips, ..Counters::default() };
    let snapshot = StatsSnapshot { version: "26.10".into(), counters: Some(counters), ..StatsSnapshot::default() };
    publication.send_replace(Some(Arc::new(snapshot)));
    let series = r#"frontend="",port="80",prefix="192.0.2.1/32",protocol="tcp""#;
    let kind = |kind: &str| format!(r#"{{frontend="",kind="{kind}",port="80",prefix="192.0.2.1/32",protocol="tcp"}}"#);
    assert_eq!(
        samples(),
        [
            "maglev_vpp_connected 1".to_owned(),
            r#"maglev_vpp_info{build_date="",version="26.10"} 1"#.to_owned(),
            "maglev_vpp_uptime_seconds 100".to_owned(),
            format!("maglev_vpp_vip_packets_total{} 5", kind("existing")),
            format!("maglev_vpp_vip_packets_total{} 2", kind("first")),
            format!("maglev_vpp_vip_packets_total{} 1", kind("no-server")),
            format!("maglev_vpp_vip_packets_total{} 0", kind("untracked")),
            format!("maglev_vpp_vip_route_bytes_total{{{series}}} 512"),
            format!("maglev_vpp_vip_route_packets_total{{{series}}} 8"),
        ]
    );
    publication.send_replace(None);
    assert_eq!(samples(), ["maglev_vpp_connected 0"]);
}

#[test]
fn backends_have_one_series_per_address_and_foreign_servers_have_none() {
    let web_1 = backend("web-1", "192.0.2.10");
    let mut config =
        objects::config([frontend("web", objects::vip("198.51.100.1"), vec![pool("main", &[&web_1])])], node_config());
    config.backends.insert(web_1.name.clone(), Arc::new(web_1));
    let (own, foreign) = ([192, 0, 2, 10].into(), [192, 0, 2, 99].into());
    let flows = |flows| VipCounters { flows: [(own, flows), (foreign, 9)].into(), ..VipCounters::default() };
    let foreign_vip = VppVip { address: [198, 51, 100, 9].into(), length: 32, protocol: 6, port: 80 };
    let backend_counters =
        |packets| BackendCounters { packets, bytes: packets * 100, vips: 2, ..BackendCounters::default() };
    let counters = Counters {
        vips: [(objects::vip("198.51.100.1").into(), flows(7)), (foreign_vip, flows(3))].into(),
        backends: [(own, backend_counters(40)), (foreign, backend_counters(50))].into(),
        sticky_tables: vec![StickyTable { thread: 1, entries: 1705, capacity: 4096 }],
        ..Counters::default()
    };
    let snapshot = StatsSnapshot { counters: Some(counters), ..StatsSnapshot::default() };
    let (publication, config) = (watch::Sender::new(Some(Arc::new(snapshot))), watch::Sender::new(Some(config)));
    let registry = Registry::new();
    let metrics = VppMetrics::new(publication.subscribe(), config.subscribe(), || 1_000);
    registry.register(Box::new(metrics)).unwrap();
    let text = TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
    let families = ["maglev_vpp_backend_", "maglev_vpp_sticky_table_"];
    let samples: Vec<&str> =
        text.lines().filter(|line| families.iter().any(|family| line.starts_with(family))).collect();
    let frontend = name("web");
    assert_eq!(
        samples,
        [
            r#"maglev_vpp_backend_bytes_total{address="192.0.2.10"} 4000"#.to_owned(),
            format!(r#"maglev_vpp_backend_flows{{address="192.0.2.10",frontend="{frontend}"}} 7"#),
            format!(r#"maglev_vpp_backend_flows{{address="192.0.2.99",frontend="{frontend}"}} 9"#),
            r#"maglev_vpp_backend_packets_total{address="192.0.2.10"} 40"#.to_owned(),
            r#"maglev_vpp_sticky_table_capacity{thread="1"} 4096"#.to_owned(),
            r#"maglev_vpp_sticky_table_entries{thread="1"} 1705"#.to_owned(),
        ]
    );
}
