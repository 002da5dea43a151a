//! A slow or half-dead API server withdraws nothing, is not flooded by an agent, and takes effect once it is healthy again.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use maglev_kube::{Delays, WatchOptions, Watches, client::pace_watches};
use maglev_model::config::Config;
use maglev_testkit::EventCollector;
use serde_json::json;
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::faulty_api::{Fault, FaultyApi};

/// Time of each fault.
const OUTAGE: Duration = Duration::from_mins(30);
/// Time after an outage within which changes are in effect.
const HEALING: Duration = Duration::from_mins(3);
/// Requests of an agent in a minute: two per second.
const MAX_PER_MINUTE: usize = 120;

/// The watches of an agent with the delays of maglevd.
struct Agent {
    config_rx: watch::Receiver<Option<Config>>,
    events: Arc<EventCollector>,
    _shutdown: DropGuard,
}

impl Agent {
    fn start(api: &FaultyApi) -> Self {
        let events = Arc::new(EventCollector::default());
        let options = WatchOptions {
            node_name: "node".to_owned(),
            allow_loopback: false,
            icmp_missing: None,
            services: true,
            delays: Delays::default(),
        };
        let (watches, config_rx) = Watches::new(pace_watches(api.client()), options, events.handle());
        let shutdown = CancellationToken::new();
        tokio::spawn(watches.run(shutdown.clone()));
        Self { config_rx, events, _shutdown: shutdown.drop_guard() }
    }

    /// Waits until the configuration has exactly these Backends. Returns the time it took.
    async fn until_backends(&mut self, expected: &[(&str, &str)]) -> Duration {
        let begin = Instant::now();
        let expected: BTreeMap<String, String> =
            expected.iter().map(|(name, address)| ((*name).to_owned(), (*address).to_owned())).collect();
        let is_expected = |config: &Option<Config>| config.as_ref().is_some_and(|config| backends(config) == expected);
        let waited = timeout(HEALING, self.config_rx.wait_for(is_expected)).await;
        waited.unwrap_or_else(|_| panic!("not {expected:?}: {:?}", self.events.lines())).unwrap();
        begin.elapsed()
    }

    fn current(&self) -> Option<BTreeMap<String, String>> {
        self.config_rx.borrow().as_ref().map(backends)
    }
}

fn backends(config: &Config) -> BTreeMap<String, String> {
    config.backends.iter().map(|(name, backend)| (name.name().to_owned(), backend.address.to_string())).collect()
}

/// The most requests in one minute after `begin`.
fn busiest_minute(api: &FaultyApi, begin: Instant) -> usize {
    let requests: Vec<Instant> = api.requests().into_iter().filter(|at| *at >= begin).collect();
    let within = |(index, first): (usize, &Instant)| {
        requests[index..].iter().take_while(|at| at.duration_since(*first) < Duration::from_mins(1)).count()
    };
    requests.iter().enumerate().map(within).max().unwrap_or(0)
}

#[tokio::test(start_paused = true)]
async fn slow_or_half_dead_api_server_withdraws_nothing_and_is_not_flooded() {
    for fault in Fault::ALL {
        let api = FaultyApi::start("node");
        for (name, address) in [("deleted", "192.0.2.1"), ("edited", "192.0.2.2")] {
            api.apply("backends", name, &json!({"address": address}));
        }
        let mut agent = Agent::start(&api);
        agent.until_backends(&[("deleted", "192.0.2.1"), ("edited", "192.0.2.2")]).await;

        api.set_fault(fault);
        let begin = Instant::now();
        api.apply("backends", "edited", &json!({"address": "192.0.2.3"}));
        api.apply("backends", "created", &json!({"address": "192.0.2.4"}));
        if fault != Fault::EndedWatches {
            api.delete("backends", "deleted");
        }
        let mut started = Agent::start(&api);
        sleep(OUTAGE).await;
        let config = agent.current().unwrap();
        assert!(config.contains_key("deleted") && config.contains_key("edited"), "{fault:?}: {config:?}");
        assert!(!agent.events.lines().iter().any(|line| line.starts_with("config-removed")), "{fault:?}");
        // Two agents.
        let (busiest, total) = (busiest_minute(&api, begin), api.requests().iter().filter(|at| **at >= begin).count());
        println!("{fault:?}: {total} requests of two agents in {OUTAGE:?}, at most {busiest} in a minute");
        assert!(busiest <= 2 * MAX_PER_MINUTE, "{fault:?}: {busiest}");

        api.set_fault(Fault::None);
        if fault == Fault::EndedWatches {
            api.delete("backends", "deleted");
        }
        let after = [("created", "192.0.2.4"), ("edited", "192.0.2.3")];
        for agent in [&mut agent, &mut started] {
            println!("{fault:?}: in effect {:?} after the end of the fault", agent.until_backends(&after).await);
        }
    }
}
