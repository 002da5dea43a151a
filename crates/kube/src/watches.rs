//! Watches every kind that an agent needs, feeds the index and emits an event for each change.
//!
//! One task holds the index and the watches of all kinds. Called by `bin/maglevd`; the receiver of the `Config` goes to
//! `health` and `agent`. Runs until shutdown: while the API server fails, the last `Config` stays in force.

use std::{collections::BTreeSet, sync::Arc};

use futures::{FutureExt as _, future::BoxFuture, future::join_all};
use kube::Client;
use maglev_net::LogThrottle;
use prometheus::{IntGaugeVec, Opts, Registry};
use tokio::{
    sync::{mpsc, watch},
    task::{JoinError, spawn_blocking},
};
use tokio_util::sync::CancellationToken;

use super::{
    Delays, Error,
    certificates::{Certificates, CertificatesRead},
    demand::{NamespaceDemand, SliceDemand, SliceWatch, watch_slices, watch_while_wanted},
    kind_watch::{KindWatch, RawUpdate},
};
use maglev_index::{Changes, Coverage, Holder, Index, IndexOptions, ObjectProblem};
use maglev_model::{
    Name,
    change::{Change, ConfigDelta, Problems},
    config::{Config, Kind},
    event::{Event, Events},
};

/// Capacity of the queue before the index: each update can be a whole list.
const QUEUE: usize = 16;

#[derive(Clone, Debug)]
pub struct WatchOptions {
    /// The name of the agent's own Node.
    pub node_name: String,
    /// Allows loopback addresses in Frontends and Backends (`--allow-loopback`).
    pub allow_loopback: bool,
    /// A sentence on what this node lacks for ICMP probes; `None` if it lacks nothing.
    pub icmp_missing: Option<String>,
    /// Watches EndpointSlices while pools follow a Service (`--services`).
    pub services: bool,
    pub delays: Delays,
}

/// The watches before they run.
pub struct Watches {
    client: Client,
    options: WatchOptions,
    /// `None` once the watches run.
    index: Option<Index>,
    events: Events,
    objects: Option<IntGaugeVec>,
    config_rx: watch::Receiver<Option<Config>>,
    /// The configuration that mirrors have.
    published: Option<Config>,
    /// Secrets and ConfigMaps to read certificates from.
    holders_tx: watch::Sender<BTreeSet<Holder>>,
    /// The number of the watch of Namespaces; `None` while they are not watched.
    namespaces_tx: watch::Sender<Option<u64>>,
    /// The watch of EndpointSlices; `None` while they are not watched.
    slices_tx: watch::Sender<Option<SliceWatch>>,
}

impl Watches {
    /// The receiver holds `None` until the first list of every kind is complete.
    pub fn new(client: Client, options: WatchOptions, events: Events) -> (Self, watch::Receiver<Option<Config>>) {
        let index = IndexOptions {
            allow_loopback: options.allow_loopback,
            node_name: Some(options.node_name.clone()),
            icmp_missing: options.icmp_missing.clone(),
            services: options.services,
        };
        let (index, config_rx) = Index::new(index);
        let watches = Self {
            client,
            options,
            index: Some(index),
            events,
            objects: None,
            config_rx: config_rx.clone(),
            published: None,
            holders_tx: watch::Sender::default(),
            namespaces_tx: watch::Sender::default(),
            slices_tx: watch::Sender::default(),
        };
        (watches, config_rx)
    }

    /// Registers `maglev_config_objects{kind}`.
    ///
    /// # Errors
    /// If the metric is already registered.
    pub fn register(&mut self, registry: &Registry) -> Result<(), Error> {
        let name = "maglev_config_objects";
        let rejected = |source| Error::Metric { name, source };
        let opts =
            Opts::new(name, "Number of objects of each watched kind, as last seen; absent before the first list.");
        let objects = IntGaugeVec::new(opts, &["kind"]).map_err(rejected)?;
        registry.register(Box::new(objects.clone())).map_err(rejected)?;
        self.objects = Some(objects);
        Ok(())
    }

    /// Watches until `shutdown`.
    pub fn run(mut self, shutdown: CancellationToken) -> BoxFuture<'static, ()> {
        async move {
            let (updates, updates_rx) = mpsc::channel(QUEUE);
            let throttle = Arc::new(LogThrottle::default());
            let (client, delays) = (self.client.clone(), self.options.delays);
            let watch = {
                let (updates, throttle) = (updates.clone(), Arc::clone(&throttle));
                move |kind| KindWatch::new(client.clone(), kind, delays, Arc::clone(&throttle), updates.clone())
            };
            let on_demand = [Kind::Namespace, Kind::EndpointSlice];
            let always = Kind::ALL.into_iter().filter(|kind| !on_demand.contains(kind));
            let watches: Vec<_> = always.map(|kind| watch(kind).run()).collect();
            let (of_namespaces, of_slices) = (watch.clone(), watch);
            let namespaces = watch_while_wanted(move || of_namespaces(Kind::Namespace), self.namespaces_tx.subscribe());
            let slices = move |slices: SliceWatch| of_slices(Kind::EndpointSlice).of_services(slices.services);
            let slices = watch_slices(slices, self.slices_tx.subscribe());
            drop(updates);
            let (reads, reads_rx) = mpsc::channel(QUEUE);
            let holders_rx = self.holders_tx.subscribe();
            let certificates = Certificates::new(self.client.clone(), self.options.delays, holders_rx, reads, throttle);
            tokio::select! {
                () = shutdown.cancelled() => {}
                _ = join_all(watches) => {}
                () = namespaces => {}
                () = slices => {}
                () = certificates.run() => {}
                () = self.feed(updates_rx, reads_rx) => {}
            }
        }
        .boxed()
    }

    /// Feeds updates to the index; updates that arrive together become one configuration.
    async fn feed(
        &mut self,
        mut updates_rx: mpsc::Receiver<RawUpdate>,
        mut reads_rx: mpsc::Receiver<CertificatesRead>,
    ) {
        let Some(mut index) = self.index.take() else { return };
        let (mut updates, mut reads) = (Vec::new(), Vec::new());
        let (mut namespaces, mut slices) = (NamespaceDemand::default(), SliceDemand::default());
        loop {
            let received = tokio::select! {
                received = updates_rx.recv_many(&mut updates, QUEUE) => received,
                received = reads_rx.recv_many(&mut reads, QUEUE) => received,
            };
            if received == 0 {
                return;
            }
            if let Some(gauge) = &self.objects {
                for RawUpdate { kind, count, .. } in &updates {
                    gauge.with_label_values(&[kind.as_str()]).set(i64::try_from(*count).unwrap_or(i64::MAX));
                }
            }
            let changes;
            (index, changes) = apply(index, std::mem::take(&mut updates), std::mem::take(&mut reads)).await;
            if let Some(number) = namespaces.update(&mut index) {
                self.namespaces_tx.send_replace(number);
            }
            if let Some(watch) = self.options.services.then(|| slices.update(&mut index)).flatten() {
                self.slices_tx.send_replace(watch);
            }
            self.emit_delta(&index, &changes);
            emit_events(&self.events, changes);
            let holders = index.required_certificates();
            self.holders_tx.send_if_modified(|before| {
                let changed = *before != holders;
                *before = holders;
                changed
            });
        }
    }
}

impl Watches {
    /// Emits the difference between the new configuration and the last one published, for mirrors.
    fn emit_delta(&mut self, index: &Index, changes: &Changes) {
        let config = self.config_rx.borrow_and_update().clone();
        let Some(config) = config else { return };
        let mut delta = ConfigDelta::between(self.published.as_ref(), &config);
        let affected: BTreeSet<(Kind, Name)> =
            changes.problems().map(|problem| (problem.kind, problem.name.clone())).collect();
        delta.problems = affected
            .into_iter()
            .map(|(kind, name)| {
                let current = changes.problems().filter(|problem| problem.kind == kind && problem.name == name);
                let problems = Problems {
                    generation: current.map(|problem| problem.generation).last().unwrap_or(0),
                    problems: index.problems(kind, &name).into(),
                };
                ((kind, name), problems)
            })
            .collect();
        self.published = Some(config);
        if !delta.is_empty() {
            self.events.emit_change(Change::Config(Arc::new(delta)));
        }
    }
}

/// Applies updates and reads as one configuration, on a blocking thread: decoding a long list and compiling expressions
/// takes CPU time.
async fn apply(mut index: Index, updates: Vec<RawUpdate>, reads: Vec<CertificatesRead>) -> (Index, Changes) {
    let work = move || {
        let mut batch = index.batch();
        for RawUpdate { kind, services, first, deleted, objects, count: _ } in updates {
            for name in deleted {
                batch.delete(kind, &name);
            }
            if first {
                let objects = objects.iter().map(|raw| raw.object(kind)).collect();
                match services {
                    Some(services) => batch.reset_slices(Coverage::Services(services), objects),
                    None => batch.reset(kind, objects),
                }
            } else {
                objects.iter().for_each(|raw| batch.apply(raw.object(kind)));
            }
        }
        for CertificatesRead { holder, content } in reads {
            batch.apply_certificates(&holder, content);
        }
        let changes = batch.publish();
        (index, changes)
    };
    match spawn_blocking(work).await.map_err(JoinError::try_into_panic) {
        Ok(applied) => applied,
        Err(Ok(panic)) => std::panic::resume_unwind(panic),
        // The runtime shuts down.
        Err(Err(_)) => std::future::pending().await,
    }
}

/// Emits events in the order that `Changes` documents.
fn emit_events(events: &Events, changes: Changes) {
    // A vanished problem has no event of its own: its object has one as applied or removed.
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
    for ObjectProblem { kind, name, generation, problem } in appeared {
        events.emit(Event::ConfigRejected {
            kind,
            name,
            generation,
            field: problem.field,
            reason: problem.reason,
            message: problem.message,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use maglev_model::problem::{Problem, Reason};
    use maglev_testkit::{EventCollector, objects::name};

    #[test]
    fn events_are_in_order_and_the_first_list_is_a_count() {
        let collector = Arc::new(EventCollector::default());
        let (web, api) = (name("shop/web"), name("shop/api"));
        let problem = Problem::new(Reason::BackendNotFound, "spec.pools", "no such Backend");
        emit_events(
            &collector.handle(),
            Changes {
                listed: vec![(Kind::Backend, 3)],
                removed: vec![(Kind::Frontend, api)],
                vanished: Vec::new(),
                applied: vec![(Kind::Frontend, web.clone(), 2)],
                appeared: vec![ObjectProblem { kind: Kind::Frontend, name: web, generation: 2, problem }],
            },
        );
        assert_eq!(
            collector.lines(),
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
