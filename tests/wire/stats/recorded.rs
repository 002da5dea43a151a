//! A segment of a real VPP 26.10 after 5,000 packets, and the values that an independent client read from it.

use std::{collections::BTreeMap, io::Read};

use maglev_vpp::stats::{Segment, words};
use serde_json::Value as Json;

use super::{everything, plain};

/// The recorded segment.
pub fn segment() -> Vec<u8> {
    let mut bytes = Vec::new();
    let packed = include_bytes!("../data/stats-26.10.bin.zst");
    ruzstd::decoding::StreamingDecoder::new(&packed[..]).unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

pub fn expected() -> BTreeMap<String, Json> {
    serde_json::from_str(include_str!("../data/stats-26.10.expected.json")).unwrap()
}

#[test]
fn recorded_segment_has_the_values_of_an_independent_client() {
    let words = words(&segment());
    let expected = expected();
    let all = Segment::new(&words).read(everything).unwrap();
    assert!(all.len() > 3000, "{} entries", all.len());
    for (name, value) in &expected {
        assert_eq!(all.get(name), Some(value), "{name}");
    }
    // The expectations have no links: each links to one element of a vector that is listed as well.
    let memory = &all["/mem/stat segment"][0];
    for (part, index) in [("total", 0), ("used", 1), ("free", 2)] {
        assert_eq!(all[&format!("/mem/stat segment/{part}")], serde_json::json!([memory[index]]), "{part}");
    }
}

#[test]
fn counters_are_looked_up_by_name_and_summed_over_threads() {
    let words = words(&segment());
    let names = ["untracked packet", "/net/route/to", "no such counter", "/sys/heartbeat"];
    Segment::new(&words)
        .read(|view| {
            let [untracked, route, none, heartbeat] = view.find(names);
            assert!(none.is_none());
            let untracked = view.simple_counters(untracked.unwrap(), "untracked packet")?;
            assert_eq!((untracked.sum(1), untracked.sum(1 << 20)), (Some(1192), None));
            let route = view.combined_counters(route.unwrap(), "/net/route/to")?.sum(10).unwrap();
            assert_eq!((route.packets, route.bytes), (5000, 320_000));
            assert_eq!(view.scalar(heartbeat.unwrap(), "/sys/heartbeat")?, 7);
            let wrong = view.simple_counters(heartbeat.unwrap(), "/sys/heartbeat").unwrap_err();
            assert_eq!(wrong.reason(), "WrongType");
            assert_eq!(plain(view.value(heartbeat.unwrap())?), 7);
            Ok(())
        })
        .unwrap();
}
