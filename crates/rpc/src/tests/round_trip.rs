//! What is written is what is read.

use std::sync::Arc;

use jiff::Timestamp;
use proptest::prelude::*;
use prost::Message as _;

use crate::{
    convert::{Words, encode, read_dump, read_state, state},
    proto,
};
use maglev_model::{
    Name,
    actual::LbDump,
    change::{Change, Fold as _},
    config::{HealthCheck, Probe},
    event::Event,
    view::View,
};
use maglev_telemetry::{AsOf, Stamped};
use maglev_testkit::World;

fn over_the_wire<M: prost::Message + Default>(message: &M) -> M {
    M::decode(&*message.encode_to_vec()).expect("it was just written")
}

proptest! {
    #[test]
    fn every_change_reads_back_as_it_was(seed: u64, count in 1_usize..40) {
        let mut world = World::new(seed);
        let stamped = |(seq, (event, change)): (u64, (Option<Event>, Change))| {
            Arc::new(Stamped { seq: Some(seq), time: Timestamp::UNIX_EPOCH, event, change: Some(change) })
        };
        let events: Vec<_> = (1..).zip((0..count).map(|_| world.next())).map(stamped).collect();
        let as_of = AsOf { epoch: seed, seq: count as u64 };
        let message = proto::WatchEventsResponse::decode(encode(events.iter(), as_of)).expect("it was just written");
        prop_assert_eq!(message.as_of.map(AsOf::from), Some(as_of));
        let mut words = Words::default();
        for (wrote, read) in events.iter().zip(message.events) {
            let line = words.line(read).expect("it was just written");
            prop_assert_eq!(line.change.as_ref(), wrote.change.as_ref());
            prop_assert_eq!(line.seq, wrote.seq);
            prop_assert_eq!(&*line.name, wrote.event.as_ref().map_or("", Event::name));
        }
    }

    #[test]
    fn every_state_reads_back_as_it_was(seed: u64, count in 0_usize..200) {
        let (mut world, mut view) = (World::new(seed), View::default());
        for second in (0..count).filter_map(|index| i64::try_from(index).ok()) {
            let (_, change) = world.next();
            view.apply(&change, Timestamp::from_second(second).expect("a valid time"));
        }
        let read = read_state(over_the_wire(&state(&view)));
        prop_assert_eq!(read, Ok(view));
    }

    #[test]
    fn every_dump_reads_back_as_it_was(seed: u64) {
        let mut world = World::new(seed);
        let dump = LbDump { at: Timestamp::UNIX_EPOCH, conf: world.conf(), actual: world.actual() };
        prop_assert_eq!(read_dump(over_the_wire(&proto::GetVppLbStateResponse::from(&dump))), Ok(dump));
    }
}

#[test]
fn the_values_of_probe_headers_are_not_sent() {
    let (mut world, name) = (World::new(1), Name::namespaced("shop", "web"));
    let is_http = |check: &Arc<HealthCheck>| matches!(check.probe, Probe::Http { .. });
    let mut check = std::iter::repeat_with(|| world.check(&name)).find(is_http).expect("one comes");
    let check = Arc::make_mut(&mut check);
    let Probe::Http { http, .. } = &mut check.probe else { panic!("it was chosen so") };
    http.headers = vec![("Authorization".into(), "Bearer s3cret".into())];
    let written = format!("{:?}", proto::HealthCheck::from(&*check));
    assert!(written.contains("Authorization") && !written.contains("s3cret"), "{written}");
}
