//! VPP's journal and the agent's events of a time without faults: both must have the same changes.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use maglev_model::{actual::VppVip, event::Event};
use maglev_vpp_simulator::{RecordedWrite, Write};

use crate::world::World;

/// Changes in the time without faults.
const CHANGES: u32 = 8;

impl World {
    /// Makes some changes without faults, and compares the events with VPP's journal.
    pub async fn compare_events(&mut self) {
        self.log(|| "compare events".to_owned());
        let mark = self.network.simulator.mark();
        let Some(recorder) = self.process.as_ref().map(|process| process.recorder.clone()) else { return };
        recorder.take_events();
        for _ in 0..CHANGES {
            if self.rng.bool() {
                self.flap();
            } else {
                self.change_object();
            }
            let pause = Duration::from_millis(self.rng.u64(0..3000));
            self.advance(pause).await;
        }
        self.rest().await;
        let (events, writes) = (recorder.take_events(), self.network.simulator.writes_since(mark));
        let recreated: BTreeSet<VppVip> = events.iter().filter_map(recreate).collect();
        let (published, written) = (count(published(&events, &recreated)), count(written(&writes, &recreated)));
        if !self.has_failed() && published != written {
            self.violate(&format!("events {published:?} differ from VPP's journal {written:?}"));
        }
    }
}

fn recreate(event: &Event) -> Option<VppVip> {
    if let Event::VipRecreate { vip, .. } = event { Some(vip.vip) } else { None }
}

fn count(changes: Vec<String>) -> BTreeMap<String, usize> {
    changes.into_iter().fold(BTreeMap::new(), |mut counts, change| {
        *counts.entry(change).or_default() += 1;
        counts
    })
}

/// The changes in events. A recreate is one event without events of the servers.
fn published(events: &[Event], recreated: &BTreeSet<VppVip>) -> Vec<String> {
    let changes = events.iter().flat_map(|event| match event {
        Event::VipAdded { vip, .. } => vec![format!("add {}", vip.vip)],
        Event::VipRemoved { vip, .. } => vec![format!("remove {}", vip.vip)],
        Event::VipRecreate { vip, .. } => vec![format!("remove {}", vip.vip), format!("add {}", vip.vip)],
        Event::AsAdded { server, weight, .. } if !recreated.contains(&server.vip.vip) => {
            vec![format!("add {} {} {weight}", server.vip.vip, server.address)]
        }
        Event::AsRemoved { server, flush, .. } if !recreated.contains(&server.vip.vip) => {
            vec![format!("remove {} {} {flush}", server.vip.vip, server.address)]
        }
        Event::AsWeightUpdated { server, to, flush, .. } => {
            vec![format!("weigh {} {} {to} {flush}", server.vip.vip, server.address)]
        }
        _ => Vec::new(),
    });
    changes.collect()
}

/// The changes that VPP executed.
fn written(writes: &[RecordedWrite], recreated: &BTreeSet<VppVip>) -> Vec<String> {
    let executed = writes.iter().filter(|written| written.retval == 0);
    let changes = executed.filter_map(|written| match &written.write {
        Write::AddVip(vip, _) => Some(format!("add {vip}")),
        Write::RemoveVip(vip) => Some(format!("remove {vip}")),
        Write::AddAs(vip, address, weight) if !recreated.contains(vip) => Some(format!("add {vip} {address} {weight}")),
        Write::RemoveAs { vip, address, flush } if !recreated.contains(vip) => {
            Some(format!("remove {vip} {address} {flush}"))
        }
        Write::SetWeight { vip, address, weight, flush } => Some(format!("weigh {vip} {address} {weight} {flush}")),
        _ => None,
    });
    changes.collect()
}
