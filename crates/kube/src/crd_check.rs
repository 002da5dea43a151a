//! Looks whether the CustomResourceDefinitions are there and fit, and says the command that mends it.

use std::{sync::Arc, time::Duration};

use futures::{FutureExt as _, future::BoxFuture};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, Client, ResourceExt};
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;

use super::causes::{Causes, describe};
use maglev_crd as crd;

/// Between two looks.
const EVERY: Duration = Duration::from_secs(30);
/// The same while something is wrong: whoever mends it is waiting.
const SOON: Duration = Duration::from_secs(3);
/// For one answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What installs the definitions of this very build.
pub const INSTALL: &str = "maglev-controller crds | kubectl apply --server-side --force-conflicts -f -";

/// The check before it runs.
pub struct CrdCheck {
    crds: Api<CustomResourceDefinition>,
    faults: watch::Sender<Option<Arc<[String]>>>,
    causes: Causes,
}

impl CrdCheck {
    /// A check through `client`, and what is wrong: `None` before the first look, empty where nothing is.
    pub fn new(client: Client) -> (Self, watch::Receiver<Option<Arc<[String]>>>) {
        let (faults, faults_rx) = watch::channel(None);
        (Self { crds: Api::all(client), faults, causes: Causes::default() }, faults_rx)
    }

    /// Looks now and then until `shutdown`.
    pub fn run(self, shutdown: CancellationToken) -> BoxFuture<'static, ()> {
        async move {
            let looks = async {
                loop {
                    let faults = self.look().await;
                    for fault in faults.iter().filter(|fault| self.causes.is_news(fault)) {
                        tracing::error!(err = fault, "crd-unfit");
                    }
                    let wait = if faults.is_empty() { EVERY } else { SOON };
                    self.faults.send_replace(Some(faults.into()));
                    tokio::time::sleep(wait).await;
                }
            };
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = looks => {}
            }
        }
        .boxed()
    }

    async fn look(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for name in crd::all().iter().map(ResourceExt::name_any) {
            match timeout(TIMEOUT, self.crds.get_opt(&name)).await {
                Ok(Ok(found)) => faults.extend(fault(&name, found.as_ref())),
                // What cannot be asked is not known to be wrong.
                Ok(Err(error)) => self.warn(&name, &describe(&error)),
                Err(_) => self.warn(&name, "no answer in time"),
            }
        }
        faults
    }

    fn warn(&self, name: &str, err: &str) {
        if self.causes.is_news(err) {
            tracing::warn!(name, err, "crd-unknown");
        }
    }
}

/// What is wrong with the definition `name`, and what mends it.
fn fault(name: &str, found: Option<&CustomResourceDefinition>) -> Option<String> {
    let wrong = |what: &str| Some(format!("CustomResourceDefinition {name} {what}; install it with: {INSTALL}"));
    let Some(found) = found.filter(|found| found.metadata.deletion_timestamp.is_none()) else {
        return wrong("is missing");
    };
    let Some(version) = found.spec.versions.iter().find(|of| of.name == crd::VERSION && of.served) else {
        return wrong(&format!("does not serve version {}", crd::VERSION));
    };
    if version.subresources.as_ref().and_then(|of| of.status.as_ref()).is_none() {
        return wrong("has no status subresource, so no status can be written");
    }
    None
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;

    #[test]
    fn what_is_missing_is_said_with_the_command_that_installs_it() {
        for good in crd::all() {
            let name = good.name_any();
            assert_eq!(fault(&name, Some(&good)), None);
            let says = |found: Option<&CustomResourceDefinition>, what: &str| {
                let said = fault(&name, found).expect("something is wrong");
                assert!(said.contains(&name) && said.contains(what) && said.ends_with(INSTALL), "{said}");
            };
            says(None, "is missing");
            let mut bad = good.clone();
            bad.spec.versions[0].subresources = None;
            says(Some(&bad), "no status subresource");
            bad.spec.versions[0].served = false;
            says(Some(&bad), "does not serve version v1alpha1");
            let mut leaving = good.clone();
            leaving.metadata.deletion_timestamp = Some(Time(k8s_openapi::jiff::Timestamp::UNIX_EPOCH));
            says(Some(&leaving), "is missing");
        }
    }
}
