use jiff::Timestamp;

use super::*;
use maglev_model::{Name, event::FrontendState};

const EPOCH: u64 = 7;

fn bus(log_level: Level) -> Bus {
    Bus::new(BusOptions { log_level, clock: || Timestamp::UNIX_EPOCH, epoch: EPOCH })
}

fn disconnect(n: usize) -> Event {
    Event::VppDisconnect { reason: n.to_string() }
}

fn ended() -> CancellationToken {
    let shutdown = CancellationToken::new();
    shutdown.cancel();
    shutdown
}

/// All events of the subscription until the end of the bus, and the number of lost events.
async fn drain(subscription: &mut Subscription) -> (Vec<Arc<Stamped>>, u64) {
    let (mut events, mut lost) = (Vec::new(), 0);
    while let Some(received) = subscription.next().await {
        match received {
            Received::Batch(batch) => events.extend(batch.for_level(subscription.level()).cloned()),
            Received::Lost(count) => lost += count,
        }
    }
    (events, lost)
}

fn seqs(events: &[Arc<Stamped>]) -> Vec<u64> {
    events.iter().filter_map(|stamped| stamped.seq).collect()
}

#[tokio::test]
async fn events_arrive_in_order_including_events_queued_at_shutdown() {
    let bus = bus(Level::Info);
    let mut subscription = bus.subscriber().subscribe(Level::Info, None).expect("nothing is to be replayed");
    for n in 0..1000 {
        bus.events().emit(disconnect(n));
    }
    bus.run(ended()).await;
    let (events, lost) = drain(&mut subscription).await;
    let expected: Vec<_> = (0..1000).map(|n| Some(disconnect(n))).collect();
    assert_eq!(events.iter().map(|stamped| stamped.event.clone()).collect::<Vec<_>>(), expected);
    assert_eq!((seqs(&events), lost), ((1..=1000).collect(), 0));
}

#[tokio::test]
async fn probe_events_are_built_only_for_subscriptions_at_debug() {
    let bus = bus(Level::Info);
    let (events, subscriber) = (bus.events(), bus.subscriber());
    let probe = || Event::VppApiSend { msg: "lb_vip_dump" };
    let info = subscriber.subscribe(Level::Info, None);
    events.emit_probe(|| panic!("built without a subscription"));
    let debug = subscriber.subscribe(Level::Debug, None);
    let mut built = false;
    events.emit_probe(|| {
        built = true;
        probe()
    });
    assert!(built);
    drop(debug);
    events.emit_probe(|| panic!("built without a subscription"));
    drop(info);
    assert!(self::bus(Level::Debug).shared.wants_probes());
}

#[tokio::test]
async fn excess_probe_events_are_dropped_and_counted_but_no_state_events() {
    let bus = bus(Level::Debug);
    let (events, registry) = (bus.events(), Registry::new());
    bus.register(&registry).expect("a fresh registry");
    for _ in 0..PROBE_LIMIT + 7 {
        events.emit_probe(|| Event::VppApiSend { msg: "lb_vip_dump" });
    }
    events.emit(disconnect(1));
    let mut subscription = bus.subscriber().subscribe(Level::Info, None).expect("nothing is to be replayed");
    bus.run(ended()).await;
    let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).expect("valid metrics");
    assert!(text.contains("maglev_events_dropped_total{lane=\"probe\"} 7"), "{text}");
    assert!(text.contains("maglev_events_dropped_total{lane=\"state\"} 0"), "{text}");
    let (events, _) = drain(&mut subscription).await;
    assert_eq!(events.iter().map(|stamped| stamped.event.clone()).collect::<Vec<_>>(), [Some(disconnect(1))]);
}

#[tokio::test]
async fn a_slow_subscription_receives_the_number_of_lost_events() {
    let bus = bus(Level::Info);
    let mut subscription = bus.subscriber().subscribe(Level::Info, None).expect("nothing is to be replayed");
    // More than a subscription can queue: 256 batches of 256 events.
    let emitted = 300 * BusLimits::default().batch_events;
    for n in 0..emitted {
        bus.events().emit(disconnect(n));
    }
    bus.run(ended()).await;
    let (events, lost) = drain(&mut subscription).await;
    assert!(lost > 0);
    assert_eq!(events.len() as u64 + lost, emitted as u64);
    assert_eq!(events.last().and_then(|stamped| stamped.seq), Some(emitted as u64));
}

#[tokio::test]
async fn a_subscription_resumes_or_requires_a_resync() {
    let bus = bus(Level::Info);
    let (subscriber, snapshots) = (bus.subscriber(), bus.snapshots());
    for n in 0..10 {
        bus.events().emit(disconnect(n));
    }
    let shutdown = CancellationToken::new();
    let events = bus.events();
    let running = tokio::spawn(bus.run(shutdown.clone()));
    let mut snapshot_rx = snapshots.clone();
    snapshot_rx.wait_for(|snapshot| snapshot.as_of.seq == 10).await.expect("the bus runs");
    let since = |seq| Some(AsOf { epoch: EPOCH, seq });
    let mut from_seven = subscriber.subscribe(Level::Info, since(7)).expect("event 7 is retained");
    let mut from_ten = subscriber.subscribe(Level::Info, since(10)).expect("event 10 is the newest");
    assert!(subscriber.subscribe(Level::Info, since(11)).is_err(), "a number that was never assigned");
    let other = AsOf { epoch: EPOCH + 1, seq: 7 };
    assert_eq!(subscriber.subscribe(Level::Info, Some(other)).err(), Some(ResyncRequired { since: other }));
    events.emit(disconnect(10));
    snapshot_rx.wait_for(|snapshot| snapshot.as_of.seq == 11).await.expect("the bus runs");
    shutdown.cancel();
    running.await.expect("the bus ends");
    assert_eq!(seqs(&drain(&mut from_seven).await.0), [8, 9, 10, 11]);
    assert_eq!(seqs(&drain(&mut from_ten).await.0), [11]);
}

#[tokio::test]
async fn changes_are_folded_into_the_view_and_reach_every_level() {
    let bus = bus(Level::Info);
    let (mut snapshots, events) = (bus.snapshots(), bus.events());
    let mut subscription = bus.subscriber().subscribe(Level::Error, None).expect("nothing is to be replayed");
    let name = Name::namespaced("shop", "web");
    events.emit_change(Change::Frontend(name.clone(), FrontendState::Up, None));
    events.emit(Event::VppConnectFailed { error: "refused".into(), warn: true });
    bus.run(ended()).await;
    let snapshot = snapshots.borrow_and_update().clone();
    assert_eq!(snapshot.view.frontend_state(&name), FrontendState::Up);
    assert_eq!(snapshot.as_of, AsOf { epoch: EPOCH, seq: 2 });
    let (events, _) = drain(&mut subscription).await;
    assert_eq!(seqs(&events), [1], "a subscription at error receives no warning, but every change");
}
