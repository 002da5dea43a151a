//! Watches every kind that an agent needs, feeds the index and tells what changed.
//!
//! One task holds the index and the watches of all kinds. Called by `bin/maglevd`; the receiver of
//! the `Config` goes on to `health` and `agent`. It never ends by itself: whatever the API server
//! does, the last `Config` stands.

use std::{collections::BTreeSet, sync::Arc};

use futures::{FutureExt as _, future::BoxFuture, future::join_all};
use kube::Client;
use prometheus::{IntGaugeVec, Opts, Registry};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

pub use super::kind_watch::Delays;
use super::{
    Error,
    causes::Causes,
    certificates::{Certificates, Read},
    kind_watch::{KindWatch, Update},
};
use maglev_index::{Changes, Holder, Index, IndexOptions};
use maglev_model::{
    Name,
    change::{Change, ConfigDelta, Problems},
    config::{Config, Kind},
    event::{Event, Events},
};

/// Updates that may wait for the index: each can be a whole list.
const QUEUE: usize = 16;

/// What the watches are told at their start.
#[derive(Clone, Debug)]
pub struct WatchOptions {
    /// The name of the agent's own Node.
    pub node_name: String,
    /// Whether Frontends and Backends may have loopback addresses (`--allow-loopback`).
    pub allow_loopback: bool,
    /// What this node lacks for probing by ICMP, as a sentence; `None` where it can.
    pub icmp_missing: Option<String>,
    /// How long a watch waits for what.
    pub delays: Delays,
}

/// The watches before they run.
pub struct Watches {
    client: Client,
    options: WatchOptions,
    index: Index,
    events: Events,
    objects: Option<IntGaugeVec>,
    config_rx: watch::Receiver<Option<Config>>,
    /// The configuration that mirrors have.
    told: Option<Config>,
    /// The objects with certificates that are to be read.
    wanted_tx: watch::Sender<BTreeSet<Holder>>,
}

impl Watches {
    /// Watches through `client`, and where the configuration appears: `None` until every kind had
    /// its first complete list.
    pub fn new(client: Client, options: WatchOptions, events: Events) -> (Self, watch::Receiver<Option<Config>>) {
        let index = IndexOptions {
            allow_loopback: options.allow_loopback,
            node_name: Some(options.node_name.clone()),
            icmp_missing: options.icmp_missing.clone(),
        };
        let (index, config_rx) = Index::new(index);
        let watches = Self {
            client,
            options,
            index,
            events,
            objects: None,
            config_rx: config_rx.clone(),
            told: None,
            wanted_tx: watch::Sender::default(),
        };
        (watches, config_rx)
    }

    /// Registers `maglev_config_objects{kind}`.
    ///
    /// # Errors
    /// If the registry has it already.
    pub fn register(&mut self, registry: &Registry) -> Result<(), Error> {
        let name = "maglev_config_objects";
        let rejected = |source| Error::Metric { name, source };
        let opts = Opts::new(name, "Objects of each watched kind, as last seen; absent before the first list.");
        let objects = IntGaugeVec::new(opts, &["kind"]).map_err(rejected)?;
        registry.register(Box::new(objects.clone())).map_err(rejected)?;
        self.objects = Some(objects);
        Ok(())
    }

    /// Watches until `shutdown`.
    pub fn run(mut self, shutdown: CancellationToken) -> BoxFuture<'static, ()> {
        async move {
            let (updates, updates_rx) = mpsc::channel(QUEUE);
            let causes = Arc::new(Causes::default());
            let watches = Kind::ALL.map(|kind| {
                let of = (kind, Some(self.options.node_name.as_str()));
                KindWatch::new(self.client.clone(), of, self.options.delays, Arc::clone(&causes), updates.clone()).run()
            });
            drop(updates);
            let (reads, reads_rx) = mpsc::channel(QUEUE);
            let wanted_rx = self.wanted_tx.subscribe();
            let certificates = Certificates::new(self.client.clone(), self.options.delays, wanted_rx, reads, causes);
            tokio::select! {
                () = shutdown.cancelled() => {}
                _ = join_all(watches) => {}
                () = certificates.run() => {}
                () = self.feed(updates_rx, reads_rx) => {}
            }
        }
        .boxed()
    }

    /// Gives what was read to the index; what came together becomes one configuration.
    async fn feed(&mut self, mut updates_rx: mpsc::Receiver<Update>, mut reads_rx: mpsc::Receiver<Read>) {
        let (mut updates, mut reads) = (Vec::with_capacity(QUEUE), Vec::with_capacity(QUEUE));
        loop {
            let received = tokio::select! {
                received = updates_rx.recv_many(&mut updates, QUEUE) => received,
                received = reads_rx.recv_many(&mut reads, QUEUE) => received,
            };
            if received == 0 {
                return;
            }
            let mut batch = self.index.batch();
            for Update { kind, first, gone, objects, count } in updates.drain(..) {
                if let Some(gauge) = &self.objects {
                    gauge.with_label_values(&[kind.as_str()]).set(i64::try_from(count).unwrap_or(i64::MAX));
                }
                for name in gone {
                    batch.delete(kind, &name);
                }
                if first {
                    batch.reset(kind, objects.iter().map(|raw| raw.object(kind)).collect());
                } else {
                    objects.iter().for_each(|raw| batch.apply(raw.object(kind)));
                }
            }
            for (holder, held) in reads.drain(..) {
                batch.apply_certificates(&holder, held);
            }
            let changes = batch.publish();
            self.tell_change(&changes);
            tell(&self.events, changes);
            let wanted = self.index.certificates_wanted();
            self.wanted_tx.send_if_modified(|before| {
                let changed = *before != wanted;
                *before = wanted;
                changed
            });
        }
    }
}

impl Watches {
    /// Changes what others mirror by what the new configuration differs from the last one told.
    fn tell_change(&mut self, changes: &Changes) {
        let config = self.config_rx.borrow_and_update().clone();
        let Some(config) = config else { return };
        let mut delta = ConfigDelta::between(self.told.as_ref(), &config);
        let concerned: BTreeSet<(Kind, Name)> = changes.problems().map(|of| (of.kind, of.name.clone())).collect();
        delta.problems = concerned
            .into_iter()
            .map(|(kind, name)| {
                let generation =
                    changes.problems().filter(|of| of.kind == kind && of.name == name).map(|of| of.generation);
                let problems = Problems {
                    generation: generation.last().unwrap_or(0),
                    problems: self.index.problems(kind, &name).into(),
                };
                ((kind, name), problems)
            })
            .collect();
        self.told = Some(config);
        if !delta.is_empty() {
            self.events.change(Change::Config(Arc::new(delta)));
        }
    }
}

/// Tells what changed, in the order that `Changes` asks for.
fn tell(events: &Events, changes: Changes) {
    // A problem that is gone has no event of its own: its object is told of as applied, or removed.
    let Changes { listed, removed, vanished: _, applied, appeared } = changes;
    for (kind, count) in listed {
        events.emit(Event::ConfigListed { kind, count });
    }
    for (kind, name) in removed {
        events.emit(Event::ConfigRemoved { kind, name });
    }
    for (kind, name, generation) in applied {
        events.emit(Event::ConfigApplied { kind, name, generation });
    }
    for found in appeared {
        let problem = found.problem;
        events.emit(Event::ConfigRejected {
            kind: found.kind,
            name: found.name,
            generation: found.generation,
            field: problem.field,
            reason: problem.reason,
            message: problem.message,
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use maglev_index::ObjectProblem;
    use maglev_model::{
        Name,
        event::EventSink,
        problem::{Problem, Reason},
    };

    #[derive(Default)]
    struct Names(Mutex<Vec<String>>);

    impl EventSink for Names {
        fn wants_probes(&self) -> bool {
            false
        }

        fn publish(&self, event: Event) {
            let mut text = event.name().to_owned();
            event.fields(&mut |key, value| text.push_str(&format!(" {key}={value}")));
            self.0.lock().expect("no test panics here").push(text);
        }
    }

    #[test]
    fn changes_are_told_in_order_and_the_first_list_as_a_number() {
        let sink = Arc::new(Names::default());
        let (web, api) = (Name::namespaced("shop", "web"), Name::namespaced("shop", "api"));
        let problem = Problem::new(Reason::BackendNotFound, "spec.pools", "no such Backend");
        tell(
            &Events::new(sink.clone()),
            Changes {
                listed: vec![(Kind::Backend, 3)],
                removed: vec![(Kind::Frontend, api)],
                vanished: Vec::new(),
                applied: vec![(Kind::Frontend, web.clone(), 2)],
                appeared: vec![ObjectProblem { kind: Kind::Frontend, name: web, generation: 2, problem }],
            },
        );
        let told = sink.0.lock().expect("no test panics here");
        assert_eq!(
            *told,
            [
                "config-applied kind=Backend count=3",
                "config-removed kind=Frontend name=shop/api",
                "config-applied kind=Frontend name=shop/web generation=2",
                "config-rejected kind=Frontend name=shop/web generation=2 field=spec.pools reason=BackendNotFound \
                 message=no such Backend",
            ]
        );
    }
}
