//! The message metrics of a session, compared with a scripted peer and with the events.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use maglev_model::event::Event;
use maglev_testkit::EventCollector;
use maglev_vpp::{
    Error, Metrics,
    lb::Lb,
    messages::{
        lb::LbVipDump,
        memclnt::{ControlPing, ControlPingReply},
        vlib::{CliInband, CliInbandReply},
    },
    session::SessionOptions,
};
use maglev_vpp_simulator::{Simulator, SimulatorOptions};
use prometheus::Registry;

use crate::fake_vpp::{CLIENT_INDEX, FakeVpp, options};

/// The series that are not 0, by message, direction and result.
fn counts(registry: &Registry) -> BTreeMap<(String, String, String), u64> {
    let families = registry.gather();
    let family =
        families.iter().find(|family| family.name() == "maglev_vpp_api_total").expect("the metric is registered");
    let label = |metric: &prometheus::proto::Metric, name: &str| {
        metric.get_label().iter().find(|label| label.name() == name).map(|label| label.value().to_owned()).unwrap()
    };
    let count = |metric: &prometheus::proto::Metric| {
        let key = (label(metric, "msg"), label(metric, "direction"), label(metric, "result"));
        (key, metric.get_counter().get_value() as u64)
    };
    family.get_metric().iter().map(count).filter(|(_, count)| *count > 0).collect()
}

fn expected(counts: &[(&str, &str, &str, u64)]) -> BTreeMap<(String, String, String), u64> {
    let owned = |(msg, direction, result, count): &(&str, &str, &str, u64)| {
        ((msg.to_string(), direction.to_string(), result.to_string()), *count)
    };
    counts.iter().map(owned).collect()
}

async fn in_time<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(Duration::from_secs(30), future).await.expect("no timeout")
}

fn cli() -> CliInband {
    CliInband { cmd: "show version".to_owned() }
}

#[tokio::test]
async fn messages_are_counted_by_outcome() {
    let (vpp, metrics, registry) = (FakeVpp::listen(), Metrics::default(), Registry::new());
    metrics.register(&registry).unwrap();
    let (session, mut peer) = vpp.session(SessionOptions { window: 5, queue: 6, metrics, ..options() }).await;
    let (good, bad, dropped, after) =
        (session.call(&cli()), session.call(&cli()), session.call(&ControlPing {}), session.call(&cli()));
    let mut contexts = Vec::new();
    for _ in 0..2 {
        contexts.push(in_time(peer.request::<CliInband>()).await.0);
    }
    in_time(peer.request::<ControlPing>()).await;
    contexts.push(in_time(peer.request::<CliInband>()).await.0);
    for (context, retval) in contexts.into_iter().zip([0, -5, 0]) {
        peer.reply(context, &CliInbandReply { retval, reply: String::new() }).await;
    }
    assert!(in_time(good).await.is_ok());
    assert_eq!(in_time(bad).await.unwrap_err().retval(), Some(-5));
    assert!(matches!(in_time(dropped).await, Err(Error::Unanswered { .. })));
    assert!(in_time(after).await.is_ok());
    peer.send_body(&[0xff, 0xff, 0, 0, 0, 9]).await;

    // A dump is two messages; five fill the window, six more the queue.
    let dump = session.dump(&LbVipDump::ALL);
    let (context, _) = in_time(peer.request::<LbVipDump>()).await;
    in_time(peer.request::<ControlPing>()).await;
    peer.reply(context, &ControlPingReply { retval: 0, client_index: CLIENT_INDEX, vpe_pid: 1 }).await;
    assert_eq!(in_time(dump).await.unwrap(), []);
    let sent: Vec<_> = (0..5).map(|_| session.call(&cli())).collect();
    for _ in 0..5 {
        in_time(peer.request::<CliInband>()).await;
    }
    let waiting: Vec<_> = (0..6).map(|_| session.call(&cli())).collect();
    assert!(matches!(in_time(session.call(&cli())).await, Err(Error::QueueFull { .. })));
    drop(peer);
    for call in sent.into_iter().chain(waiting) {
        assert!(matches!(in_time(call).await, Err(Error::Closed { .. })));
    }
    assert!(matches!(in_time(session.call(&cli())).await, Err(Error::Closed { .. })));
    assert_eq!(
        counts(&registry),
        expected(&[
            ("sockclnt_create", "send", "ok", 1),
            ("sockclnt_create_reply", "recv", "ok", 1),
            ("cli_inband", "send", "ok", 3 + 5),
            ("cli_inband", "send", "unsent", 6 + 2),
            ("cli_inband_reply", "recv", "ok", 2),
            ("cli_inband_reply", "recv", "refused", 1),
            ("cli_inband_reply", "recv", "unanswered", 5),
            ("control_ping", "send", "ok", 2),
            ("control_ping_reply", "recv", "ok", 1),
            ("control_ping_reply", "recv", "unanswered", 1),
            ("lb_vip_dump", "send", "ok", 1),
        ])
    );
    let families = registry.gather();
    let ignored = families.iter().find(|family| family.name() == "maglev_vpp_api_ignored_total").unwrap();
    assert_eq!(ignored.get_metric()[0].get_counter().get_value(), 1.0);
}

/// The number of messages in events.
fn message_counts(events: &[Event]) -> BTreeMap<(String, String, String), u64> {
    let mut counts = BTreeMap::new();
    for event in events {
        let (msg, direction) = match event {
            Event::VppApiSend { msg } => (*msg, "send"),
            Event::VppApiRecv { msg } => (*msg, "recv"),
            _ => continue,
        };
        *counts.entry((msg.to_owned(), direction.to_owned(), "ok".to_owned())).or_default() += 1;
    }
    counts
}

#[tokio::test]
async fn counts_and_events_agree_without_refusals() {
    let dir = tempfile::tempdir().unwrap();
    let simulator = Simulator::start(SimulatorOptions::new(dir.path().join("api.sock"))).await.unwrap();
    let (published, metrics, registry) = (Arc::new(EventCollector::default()), Metrics::default(), Registry::new());
    metrics.register(&registry).unwrap();
    published.want_probes(true);
    let events = published.handle();
    let lb = Lb::connect(simulator.api_socket(), SessionOptions { metrics, ..SessionOptions::new("test", events) });
    let lb = in_time(lb).await.unwrap();
    for _ in 0..3 {
        in_time(lb.read()).await.unwrap();
        in_time(lb.conf()).await.unwrap();
    }
    let published = message_counts(&published.events());
    assert_eq!(counts(&registry), published);
    let sent = |msg: &str| published.get(&(msg.to_owned(), "send".to_owned(), "ok".to_owned())).copied();
    // Each of the two dumps of a read ends with a ping, and so does the handshake.
    assert_eq!((sent("lb_vip_dump"), sent("control_ping")), (Some(3), Some(3 * 2 + 1)));
}
