//! The load: transitions of 1,000 backends, each an event and a change of the state.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use maglev_model::{
    Name,
    event::{Event, Events},
    health::{BackendHealth, BackendState, ProbeCode, Transition},
};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

pub const PER_SECOND: u64 = 20_000;
const BACKENDS: u64 = 1000;
const TICK: Duration = Duration::from_millis(1);

/// The number of emitted events.
pub struct Load(Arc<AtomicU64>);

impl Load {
    pub fn start(events: Events, shutdown: CancellationToken) -> Self {
        let emitted = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&emitted);
        tokio::spawn(shutdown.run_until_cancelled_owned(async move {
            let names: Vec<Name> = (0..BACKENDS).map(|n| Name::namespaced("shop", &format!("web-{n}"))).collect();
            let mut ticks = interval(TICK);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
            for name in names.iter().cycle() {
                let done = counter.fetch_add(1, Ordering::Relaxed);
                if done.is_multiple_of(PER_SECOND / 1000) {
                    ticks.tick().await;
                }
                emit(&events, name, (done / BACKENDS).is_multiple_of(2));
            }
        }));
        Self(emitted)
    }

    /// The number of events emitted so far.
    pub fn emitted(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Emits a transition as the health checker does, with a full history.
fn emit(events: &Events, name: &Name, up: bool) {
    let (from, to) = if up { (BackendState::Down, BackendState::Up) } else { (BackendState::Up, BackendState::Down) };
    let code = Some(if up { ProbeCode::L7Ok } else { ProbeCode::L4Timeout });
    let transition = Transition { from, to, at: Timestamp::now(), code };
    let health = BackendHealth {
        address: [10, 0, 0, 1].into(),
        state: to,
        ever_known: true,
        in_doubt: false,
        history: [transition; 5].into(),
    };
    events.emit(Event::BackendTransition { name: name.clone(), from, code, health });
}
