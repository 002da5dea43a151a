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

/// All that the subscription gets until the bus ends, and how much it lost.
async fn rest(subscription: &mut Subscription) -> (Vec<Arc<Stamped>>, u64) {
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
async fn events_arrive_in_the_order_of_emission_also_those_queued_at_the_end() {
    let bus = bus(Level::Info);
    let mut subscription = bus.subscriber().subscribe(Level::Info, None).expect("nothing is to be replayed");
    for n in 0..1000 {
        bus.events().emit(disconnect(n));
    }
    bus.run(ended()).await;
    let (events, lost) = rest(&mut subscription).await;
    let expected: Vec<_> = (0..1000).map(|n| Some(disconnect(n))).collect();
    assert_eq!(events.iter().map(|stamped| stamped.event.clone()).collect::<Vec<_>>(), expected);
    assert_eq!((seqs(&events), lost), ((1..=1000).collect(), 0));
}

#[tokio::test]
async fn the_probe_lane_is_built_only_while_somebody_listens_at_debug() {
    let bus = bus(Level::Info);
    let (events, subscriber) = (bus.events(), bus.subscriber());
    let probe = || Event::VppApiSend { msg: "lb_vip_dump" };
    let info = subscriber.subscribe(Level::Info, None);
    events.emit_probe(|| panic!("built for nobody"));
    let debug = subscriber.subscribe(Level::Debug, None);
    let mut built = false;
    events.emit_probe(|| {
        built = true;
        probe()
    });
    assert!(built);
    drop(debug);
    events.emit_probe(|| panic!("built for nobody"));
    drop(info);
    assert!(self::bus(Level::Debug).shared.wants_probes());
}

#[tokio::test]
async fn a_flood_of_probes_is_dropped_and_counted_and_state_events_stay() {
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
    let (events, _) = rest(&mut subscription).await;
    assert_eq!(events.iter().map(|stamped| stamped.event.clone()).collect::<Vec<_>>(), [Some(disconnect(1))]);
}

#[tokio::test]
async fn a_slow_subscription_is_told_exactly_how_much_it_lost() {
    let bus = bus(Level::Info);
    let mut subscription = bus.subscriber().subscribe(Level::Info, None).expect("nothing is to be replayed");
    // More than the subscription can be behind: 256 batches of 256.
    let emitted = 300 * BusLimits::default().batch;
    for n in 0..emitted {
        bus.events().emit(disconnect(n));
    }
    bus.run(ended()).await;
    let (events, lost) = rest(&mut subscription).await;
    assert!(lost > 0);
    assert_eq!(events.len() as u64 + lost, emitted as u64);
    assert_eq!(events.last().and_then(|stamped| stamped.seq), Some(emitted as u64));
}

#[tokio::test]
async fn who_comes_back_gets_what_it_missed_or_is_told_to_start_anew() {
    let bus = bus(Level::Info);
    let (subscriber, snapshots) = (bus.subscriber(), bus.snapshots());
    for n in 0..10 {
        bus.events().emit(disconnect(n));
    }
    let shutdown = CancellationToken::new();
    let events = bus.events();
    let running = tokio::spawn(bus.run(shutdown.clone()));
    let mut seen = snapshots.clone();
    seen.wait_for(|snapshot| snapshot.as_of.seq == 10).await.expect("the bus runs");
    let since = |seq| Some(AsOf { epoch: EPOCH, seq });
    let mut from_seven = subscriber.subscribe(Level::Info, since(7)).expect("it is in the ring");
    let mut from_ten = subscriber.subscribe(Level::Info, since(10)).expect("it is the newest");
    assert!(subscriber.subscribe(Level::Info, since(11)).is_err(), "a number that was never given out");
    let other = AsOf { epoch: EPOCH + 1, seq: 7 };
    assert_eq!(subscriber.subscribe(Level::Info, Some(other)).err(), Some(Resync { since: other }));
    events.emit(disconnect(10));
    seen.wait_for(|snapshot| snapshot.as_of.seq == 11).await.expect("the bus runs");
    shutdown.cancel();
    running.await.expect("the bus ends");
    assert_eq!(seqs(&rest(&mut from_seven).await.0), [8, 9, 10, 11]);
    assert_eq!(seqs(&rest(&mut from_ten).await.0), [11]);
}

#[tokio::test]
async fn changes_are_folded_and_reach_every_level() {
    let bus = bus(Level::Info);
    let (mut snapshots, events) = (bus.snapshots(), bus.events());
    let mut subscription = bus.subscriber().subscribe(Level::Error, None).expect("nothing is to be replayed");
    let name = Name::namespaced("shop", "web");
    events.change(Change::Frontend(name.clone(), FrontendState::Up, None));
    events.emit(disconnect(1));
    bus.run(ended()).await;
    let snapshot = snapshots.borrow_and_update().clone();
    assert_eq!(snapshot.view.frontend_state(&name), FrontendState::Up);
    assert_eq!(snapshot.as_of, AsOf { epoch: EPOCH, seq: 2 });
    let (events, _) = rest(&mut subscription).await;
    assert_eq!(seqs(&events), [1], "a warning is not for who listens at error, a change is for all");
}
