//! Round trips through messages are lossless.

use std::sync::Arc;

use jiff::Timestamp;
use proptest::prelude::*;
use prost::Message as _;

use crate::{
    convert::{Interner, encode, read_counters, read_dump, read_state, state},
    proto,
};
use maglev_model::{
    Name,
    actual::LbDump,
    config::{ConnectionMode, HealthCheck, Probe},
    counters::StatsSnapshot,
    event::Event,
    view::{Fold as _, View},
};
use maglev_telemetry::{AsOf, Stamped};
use maglev_testkit::{ChangeGenerator, EventCollector, Published};

fn over_the_wire<M: prost::Message + Default>(message: &M) -> M {
    M::decode(&*message.encode_to_vec()).expect("the message is valid")
}

/// The published events and changes with their sequence numbers.
fn stamped(published: Vec<Published>) -> Vec<Arc<Stamped>> {
    let stamp = |(seq, Published { event, change })| {
        Arc::new(Stamped { seq: Some(seq), time: Timestamp::UNIX_EPOCH, event, change })
    };
    (1..).zip(published).map(stamp).collect()
}

proptest! {
    #[test]
    fn every_change_survives_a_round_trip(seed: u64, count in 1_usize..40) {
        let (mut generator, collector) = (ChangeGenerator::new(seed), Arc::new(EventCollector::default()));
        (0..count).for_each(|_| generator.emit_next(&collector.handle()));
        let events = stamped(collector.published());
        let as_of = AsOf { epoch: seed, seq: count as u64 };
        let message = proto::WatchEventsResponse::decode(encode(events.iter(), as_of)).expect("the message is valid");
        prop_assert_eq!(message.as_of.map(AsOf::from), Some(as_of));
        let mut interner = Interner::default();
        for (wrote, read) in events.iter().zip(message.events) {
            let line = interner.line(read).expect("the message is valid");
            prop_assert_eq!(line.change.as_ref(), wrote.change.as_ref());
            prop_assert_eq!(line.seq, wrote.seq);
            prop_assert_eq!(&*line.name, wrote.event.as_ref().map_or("", Event::name));
        }
    }

    #[test]
    fn every_state_survives_a_round_trip(seed: u64, count in 0_usize..200) {
        let (mut generator, mut view) = (ChangeGenerator::new(seed), View::default());
        for second in (0..count).filter_map(|index| i64::try_from(index).ok()) {
            view.apply(&generator.change(), Timestamp::from_second(second).expect("a valid time"));
        }
        let read = read_state(over_the_wire(&state(&view)));
        prop_assert_eq!(read, Ok(view));
    }

    #[test]
    fn every_dump_survives_a_round_trip(seed: u64) {
        let mut generator = ChangeGenerator::new(seed);
        let dump = LbDump { at: Timestamp::UNIX_EPOCH, conf: generator.conf(), actual: generator.actual() };
        prop_assert_eq!(read_dump(over_the_wire(&proto::GetVppLbStateResponse::from(&dump))), Ok(dump));
    }

    #[test]
    fn all_counters_survive_a_round_trip(seed: u64) {
        let counters = Some(ChangeGenerator::new(seed).counters());
        let snapshot = StatsSnapshot { version: "26.10".to_owned(), build_date: "today".to_owned(), pid: 7, counters };
        let message = over_the_wire(&proto::GetVppLbCountersResponse::from(&snapshot));
        prop_assert_eq!(read_counters(message), Ok(Arc::new(snapshot)));
    }
}

#[test]
fn values_of_probe_headers_are_not_sent() {
    let (mut generator, name) = (ChangeGenerator::new(1), Name::namespaced("shop", "web"));
    let is_http = |check: &Arc<HealthCheck>| matches!(check.probe, Probe::Http { .. });
    let mut check =
        std::iter::repeat_with(|| generator.check(&name)).find(is_http).expect("an HTTP check is generated");
    let check = Arc::make_mut(&mut check);
    let Probe::Http { http, .. } = &mut check.probe else { panic!("the check is an HTTP check") };
    http.headers = vec![("Authorization".into(), "Bearer s3cret".into())];
    let written = format!("{:?}", proto::HealthCheck::from(&*check));
    assert!(written.contains("Authorization") && !written.contains("s3cret"), "{written}");
}

#[test]
fn probes_of_an_agent_without_kept_connections_open_a_connection_each() {
    let (mut generator, name) = (ChangeGenerator::new(1), Name::namespaced("shop", "web"));
    let mut message = std::iter::repeat_with(|| generator.check(&name))
        .find(|check| check.probe.connection() == Some(ConnectionMode::Reuse))
        .map(|check| proto::HealthCheck::from(&*check))
        .expect("a check with kept connections is generated");
    match message.probe.as_mut().expect("it has a probe") {
        proto::health_check::Probe::Http(http) => http.connection = 0,
        proto::health_check::Probe::Grpc(grpc) => grpc.connection = 0,
        other => panic!("{other:?} has no choice of connections"),
    }
    let read = HealthCheck::try_from(over_the_wire(&message)).expect("the message is valid");
    assert_eq!(read.probe.connection(), Some(ConnectionMode::New));
}

#[test]
fn nat_encap_of_an_earlier_version_is_read_as_no_encap() {
    let (mut generator, mut view) = (ChangeGenerator::new(1), View::default());
    while view.frontends.is_empty() {
        view.apply(&generator.change(), Timestamp::UNIX_EPOCH);
    }
    let mut message = state(&view);
    for encap_type in [4, 5] {
        for frontend in message.frontends.iter_mut().filter_map(|status| status.frontend.as_mut()) {
            frontend.encap = Some(proto::Encap { r#type: encap_type, parameter: 8080 });
        }
        let read = read_state(over_the_wire(&message)).expect("the message is valid");
        assert!(read.frontends.values().all(|frontend| frontend.encap.is_none()));
        assert_eq!(read.frontends.len(), view.frontends.len());
    }
}
