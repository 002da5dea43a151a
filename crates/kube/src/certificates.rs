//! Reads the Secrets and ConfigMaps that HealthChecks refer to for certificates, each by its name, and again now and
//! then: rotated certificates take effect without a restart.
//!
//! No list and no watch, for the agent's role names each object. What was read stays in force while
//! the API server does not tell; that an object is gone, or forbidden, is an answer.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures::{FutureExt as _, StreamExt as _, future::BoxFuture};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{Api, Client};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until, timeout},
};

use super::{
    causes::{Causes, describe},
    kind_watch::Delays,
};
use maglev_index::{HOLDER_KEYS, Held, Holder, HolderKind};

/// For one answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Read at once; each answer is small, but a burst is a burden on the API server.
const AT_ONCE: usize = 8;

/// An object and what was read of it.
pub type Read = (Holder, Held);

/// Reads what is wanted, for ever or until nobody takes it.
pub struct Certificates {
    client: Client,
    delays: Delays,
    wanted_rx: watch::Receiver<BTreeSet<Holder>>,
    reads: mpsc::Sender<Read>,
    causes: Arc<Causes>,
    /// When each is read next, and whether it was found the last time.
    due: BTreeMap<Holder, Due>,
}

#[derive(Clone, Copy, Debug)]
struct Due {
    at: Instant,
    answered: bool,
}

impl Certificates {
    pub fn new(
        client: Client,
        delays: Delays,
        wanted_rx: watch::Receiver<BTreeSet<Holder>>,
        reads: mpsc::Sender<Read>,
        causes: Arc<Causes>,
    ) -> Self {
        Self { client, delays, wanted_rx, reads, causes, due: BTreeMap::new() }
    }

    pub fn run(mut self) -> BoxFuture<'static, ()> {
        async move {
            loop {
                self.take_wanted();
                let next = self.due.values().map(|due| due.at).min();
                tokio::select! {
                    changed = self.wanted_rx.changed() => if changed.is_err() { return },
                    () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {
                        if self.read_due().await.is_none() {
                            return;
                        }
                    }
                }
            }
        }
        .boxed()
    }

    fn take_wanted(&mut self) {
        let wanted = self.wanted_rx.borrow_and_update();
        self.due.retain(|holder, _| wanted.contains(holder));
        let now = Due { at: Instant::now(), answered: false };
        for holder in wanted.iter() {
            self.due.entry(holder.clone()).or_insert(now);
        }
    }

    /// Reads what is due. `None` when nobody takes it any more.
    async fn read_due(&mut self) -> Option<()> {
        let now = Instant::now();
        let due: Vec<Holder> =
            self.due.iter().filter(|(_, due)| due.at <= now).map(|(holder, _)| holder.clone()).collect();
        let reading = due.into_iter().map(async |holder| {
            let held = read_certificates(self.client.clone(), &holder).await;
            (holder, held)
        });
        let read: Vec<_> = futures::stream::iter(reading).buffer_unordered(AT_ONCE).collect().await;
        for (holder, held) in read {
            let Some(due) = self.due.get_mut(&holder) else { continue };
            let wait = if matches!(held, Held::Found(_)) {
                self.delays.certificates
            } else {
                self.delays.certificates_missing
            };
            // Spread, so that a cluster's agents do not ask all at once.
            due.at = Instant::now() + wait.mul_f64(0.8 + 0.4 * fastrand::f64());
            if let Held::Failed(err) = &held {
                if self.causes.is_news(err) {
                    tracing::warn!(object = %holder, kept = due.answered, err, "certificates-unknown");
                }
                // What is not known is what it was.
                if due.answered {
                    continue;
                }
            } else {
                due.answered = true;
            }
            self.reads.send((holder, held)).await.ok()?;
        }
        Some(())
    }
}

/// Reads one object, once.
pub async fn read_certificates(client: Client, holder: &Holder) -> Held {
    let (namespace, name) = (holder.name.namespace(), holder.name.name());
    let data = async {
        Ok(match holder.kind {
            HolderKind::Secret => {
                let secret = Api::<Secret>::namespaced(client, namespace).get_opt(name).await?;
                secret.map(|secret| secret.data.into_iter().flatten().map(|(key, value)| (key, value.0)).collect())
            }
            HolderKind::ConfigMap => {
                let map = Api::<ConfigMap>::namespaced(client, namespace).get_opt(name).await?;
                map.map(|map| {
                    let text = map.data.into_iter().flatten().map(|(key, value)| (key, value.into_bytes()));
                    let binary = map.binary_data.into_iter().flatten().map(|(key, value)| (key, value.0));
                    text.chain(binary).collect()
                })
            }
        })
    };
    match timeout(TIMEOUT, data).await {
        Err(_) => Held::Failed(format!("no answer within {} s", TIMEOUT.as_secs())),
        Ok(answer) => held(answer),
    }
}

fn held(answer: Result<Option<BTreeMap<String, Vec<u8>>>, kube::Error>) -> Held {
    match answer {
        Ok(Some(mut data)) => {
            data.retain(|key, _| HOLDER_KEYS.contains(&key.as_str()));
            Held::Found(data)
        }
        Ok(None) => Held::Missing,
        Err(kube::Error::Api(status)) if status.code == 403 => Held::Forbidden,
        Err(error) => Held::Failed(describe(&error)),
    }
}
