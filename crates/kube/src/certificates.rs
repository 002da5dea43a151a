//! Reads the Secrets and ConfigMaps that HealthChecks refer to for certificates and values of headers, each by its name,
//! and periodically, so that rotated ones take effect without a restart.
//!
//! No list and no watch, because the agent's role names each object. The last certificates stay in force while the API
//! server does not answer; "not found" and "forbidden" are answers.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures::{FutureExt as _, StreamExt as _, future::BoxFuture};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::{Api, Client};
use maglev_net::{LogThrottle, error_chain};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until, timeout},
};

use super::Delays;
use maglev_index::{Holder, HolderContent, HolderKind};

/// Timeout of one request.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Concurrent requests, to spare the API server bursts.
const MAX_CONCURRENT: usize = 8;

/// An object, and the certificates or the value of a header in it.
pub struct CertificatesRead {
    pub holder: Holder,
    pub content: HolderContent,
}

/// Reads the requested objects until the receiver is dropped.
pub struct Certificates {
    client: Client,
    delays: Delays,
    /// The objects to read.
    holders_rx: watch::Receiver<BTreeSet<Holder>>,
    reads: mpsc::Sender<CertificatesRead>,
    throttle: Arc<LogThrottle>,
    due: BTreeMap<Holder, Due>,
}

#[derive(Clone, Copy, Debug)]
struct Due {
    /// Time of the next read.
    at: Instant,
    /// Set once the API server answered, even if with "not found".
    answered: bool,
}

impl Certificates {
    pub fn new(
        client: Client,
        delays: Delays,
        holders_rx: watch::Receiver<BTreeSet<Holder>>,
        reads: mpsc::Sender<CertificatesRead>,
        throttle: Arc<LogThrottle>,
    ) -> Self {
        Self { client, delays, holders_rx, reads, throttle, due: BTreeMap::new() }
    }

    pub fn run(mut self) -> BoxFuture<'static, ()> {
        async move {
            loop {
                self.update_schedule();
                let next = self.due.values().map(|due| due.at).min();
                tokio::select! {
                    changed = self.holders_rx.changed() => if changed.is_err() { return },
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

    fn update_schedule(&mut self) {
        let holders = self.holders_rx.borrow_and_update();
        self.due.retain(|holder, _| holders.contains(holder));
        let now = Due { at: Instant::now(), answered: false };
        for holder in holders.iter() {
            self.due.entry(holder.clone()).or_insert(now);
        }
    }

    /// Reads the due objects. Returns `None` once the receiver is dropped.
    async fn read_due(&mut self) -> Option<()> {
        let now = Instant::now();
        let due: Vec<Holder> =
            self.due.iter().filter(|(_, due)| due.at <= now).map(|(holder, _)| holder.clone()).collect();
        let reading = due.into_iter().map(async |holder| {
            let content = read_certificates(self.client.clone(), &holder).await;
            (holder, content)
        });
        let answers: Vec<_> = futures::stream::iter(reading).buffer_unordered(MAX_CONCURRENT).collect().await;
        for (holder, content) in answers {
            let Some(due) = self.due.get_mut(&holder) else { continue };
            let wait = if matches!(content, HolderContent::Found(_)) {
                self.delays.certificates
            } else {
                self.delays.certificates_missing
            };
            // Jitter, so that the agents of a cluster do not read all at once.
            due.at = Instant::now() + wait.mul_f64(0.8 + 0.4 * fastrand::f64());
            if let HolderContent::Failed(error) = &content {
                if self.throttle.admit(error).is_some() {
                    let last_in_force = due.answered;
                    tracing::warn!(object = %holder, last_in_force, error, "cannot read certificates");
                }
                // The last certificates stay in force.
                if due.answered {
                    continue;
                }
            } else {
                due.answered = true;
            }
            self.reads.send(CertificatesRead { holder, content }).await.ok()?;
        }
        Some(())
    }
}

/// Reads one object, once.
pub async fn read_certificates(client: Client, holder: &Holder) -> HolderContent {
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
        Err(_) => HolderContent::Failed(format!("no answer within {} s", TIMEOUT.as_secs())),
        Ok(answer) => holder_content(answer, holder),
    }
}

fn holder_content(answer: Result<Option<BTreeMap<String, Vec<u8>>>, kube::Error>, holder: &Holder) -> HolderContent {
    let keys = holder.keys();
    match answer {
        Ok(Some(mut data)) => {
            data.retain(|key, _| keys.contains(&key.as_str()));
            HolderContent::Found(data)
        }
        Ok(None) => HolderContent::Missing,
        Err(kube::Error::Api(status)) if status.code == 403 => HolderContent::Forbidden,
        Err(error) => HolderContent::Failed(error_chain(&error)),
    }
}
