//! Fills and renews the objects with the agents' certificates, while this replica leads. `auth::rotation` decides.
//!
//! The chart creates the objects without data: nobody needs the right to create Secrets, and `helm upgrade` leaves the
//! data alone. A missing object is reported and everything else goes on: agents keep the certificate that they have.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures::{FutureExt as _, future::BoxFuture};
use k8s_openapi::{
    ByteString,
    api::core::v1::{ConfigMap, Secret},
};
use kube::{Api, Client, api::PostParams};
use maglev_auth::{
    CertificateError, Clock, agent_name,
    rotation::{Action, Data, Object, Stored},
};
use maglev_net::{Backoff, LogThrottle, error_chain};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::lease::Leadership;

/// Interval of looking at the objects.
const INTERVAL: Duration = Duration::from_mins(1);
/// Delays between failed attempts.
const RETRY: (Duration, Duration) = (Duration::from_secs(2), Duration::from_mins(1));
/// Time limit of one attempt.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Limit of changes in one attempt; a rotation has four.
const MAX_ACTIONS: usize = 10;

const AUTHORITY: &str = "maglev-ca";
const LEAF: &str = "maglevd-tls";
const BUNDLE: &str = "maglev-ca";

/// The loop that renews the certificates of the agents in one namespace.
pub struct AgentCertificates {
    secrets: Api<Secret>,
    config_maps: Api<ConfigMap>,
    name: String,
    clock: Clock,
    throttle: LogThrottle,
}

#[derive(Debug, thiserror::Error)]
enum RotationError {
    #[error("{kind} {name} does not exist: run helm upgrade, which creates it")]
    Missing { kind: &'static str, name: &'static str },
    #[error("cannot {verb} {kind} {name}")]
    Api {
        verb: &'static str,
        kind: &'static str,
        name: &'static str,
        #[source]
        source: Box<kube::Error>,
    },
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    #[error("the API server did not answer in time")]
    Late,
    #[error("the changes do not end")]
    Endless,
}

/// The objects as read, with their versions.
struct Objects {
    authority: Secret,
    leaf: Secret,
    bundle: ConfigMap,
}

impl AgentCertificates {
    /// Renews the certificates of the agents in `namespace`.
    pub fn new(client: Client, namespace: &str, clock: Clock) -> Self {
        Self {
            secrets: Api::namespaced(client.clone(), namespace),
            config_maps: Api::namespaced(client, namespace),
            name: agent_name(namespace),
            clock,
            throttle: LogThrottle::default(),
        }
    }

    /// Looks at the objects every minute until `end`, and writes them only while `leadership` holds.
    pub fn run(self, leadership: Arc<Leadership>, end: CancellationToken) -> BoxFuture<'static, ()> {
        async move {
            tokio::select! {
                () = self.run_forever(&leadership) => {}
                () = end.cancelled() => {}
            }
        }
        .boxed()
    }

    async fn run_forever(&self, leadership: &Leadership) {
        let mut backoff = Backoff::new(RETRY.0, RETRY.1).with_jitter();
        loop {
            let settled = timeout(TIMEOUT, self.settle(leadership)).await.unwrap_or(Err(RotationError::Late));
            let delay = match settled {
                Ok(()) => {
                    backoff.reset();
                    self.throttle.reset();
                    INTERVAL
                }
                Err(error) => {
                    let error = error_chain(&error);
                    if let Some(suppressed) = self.throttle.admit(&error) {
                        tracing::warn!(error, suppressed, "the certificates of agents are not renewed");
                    }
                    backoff.next_delay()
                }
            };
            sleep(delay).await;
        }
    }

    /// Carries out everything that is due.
    async fn settle(&self, leadership: &Leadership) -> Result<(), RotationError> {
        let mut objects = self.read().await?;
        for _ in 0..MAX_ACTIONS {
            let (mut stored, now) = (objects.stored(), (self.clock)());
            let Some(action) = stored.next_action(&self.name, now) else { return Ok(()) };
            stored.apply(action, &self.name, now)?;
            if !leadership.holds() {
                return Ok(());
            }
            self.write(&mut objects, action, stored).await?;
            tracing::info!(?action, name = self.name, "certificates of agents renewed");
        }
        Err(RotationError::Endless)
    }

    async fn read(&self) -> Result<Objects, RotationError> {
        let secret = async |name| {
            let read = self.secrets.get_opt(name).await;
            let read = read.map_err(|source| RotationError::api("read", "Secret", name, source))?;
            read.ok_or(RotationError::Missing { kind: "Secret", name })
        };
        let bundle = self.config_maps.get_opt(BUNDLE).await;
        let bundle = bundle.map_err(|source| RotationError::api("read", "ConfigMap", BUNDLE, source))?;
        Ok(Objects {
            authority: secret(AUTHORITY).await?,
            leaf: secret(LEAF).await?,
            bundle: bundle.ok_or(RotationError::Missing { kind: "ConfigMap", name: BUNDLE })?,
        })
    }

    /// Replaces the version that the change was computed from, so that no other writer's change is lost.
    async fn write(&self, objects: &mut Objects, action: Action, stored: Stored) -> Result<(), RotationError> {
        let params = PostParams { field_manager: Some("maglev-controller".to_owned()), ..PostParams::default() };
        match action.object() {
            Object::Authority | Object::Leaf => {
                let (name, secret, data) = match action.object() {
                    Object::Authority => (AUTHORITY, &mut objects.authority, stored.authority),
                    _ => (LEAF, &mut objects.leaf, stored.leaf),
                };
                secret.data = Some(data.into_iter().map(|(key, value)| (key, ByteString(value))).collect());
                let written = self.secrets.replace(name, &params, secret).await;
                *secret = written.map_err(|source| RotationError::api("write", "Secret", name, source))?;
            }
            Object::Bundle => {
                let text = |(key, value): (String, Vec<u8>)| (key, String::from_utf8_lossy(&value).into_owned());
                objects.bundle.data = Some(stored.bundle.into_iter().map(text).collect());
                let written = self.config_maps.replace(BUNDLE, &params, &objects.bundle).await;
                objects.bundle = written.map_err(|source| RotationError::api("write", "ConfigMap", BUNDLE, source))?;
            }
        }
        Ok(())
    }
}

impl RotationError {
    fn api(verb: &'static str, kind: &'static str, name: &'static str, source: kube::Error) -> Self {
        Self::Api { verb, kind, name, source: Box::new(source) }
    }
}

impl Objects {
    fn stored(&self) -> Stored {
        let data = |secret: &Secret| -> Data {
            secret.data.iter().flatten().map(|(key, value)| (key.clone(), value.0.clone())).collect()
        };
        let text = |map: &BTreeMap<String, String>| -> Data {
            map.iter().map(|(key, value)| (key.clone(), value.clone().into_bytes())).collect()
        };
        Stored {
            authority: data(&self.authority),
            leaf: data(&self.leaf),
            bundle: self.bundle.data.as_ref().map(text).unwrap_or_default(),
        }
    }
}
