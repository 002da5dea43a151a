//! Checks periodically that the CustomResourceDefinitions are installed and usable; a fault names the command that
//! repairs it.

use std::{sync::Arc, time::Duration};

use futures::{FutureExt as _, future::BoxFuture};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, Client, ResourceExt};
use maglev_net::{LogThrottle, error_chain};
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;

/// Interval between checks.
const CHECK_INTERVAL: Duration = Duration::from_secs(30);
/// The interval while there is a fault: the operator who repairs it is waiting.
const FAULT_CHECK_INTERVAL: Duration = Duration::from_secs(3);
/// Timeout of one request.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The command that installs the definitions of this build.
pub const INSTALL: &str = "maglev-controller crds | kubectl apply --server-side --force-conflicts -f -";

/// The check before it runs.
pub struct CrdCheck {
    crds: Api<CustomResourceDefinition>,
    faults: watch::Sender<Option<Arc<[String]>>>,
    throttle: LogThrottle,
}

impl CrdCheck {
    /// The receiver holds the faults: `None` before the first check, empty if there are none.
    pub fn new(client: Client) -> (Self, watch::Receiver<Option<Arc<[String]>>>) {
        let (faults, faults_rx) = watch::channel(None);
        (Self { crds: Api::all(client), faults, throttle: LogThrottle::default() }, faults_rx)
    }

    /// Checks periodically until `shutdown`.
    pub fn run(self, shutdown: CancellationToken) -> BoxFuture<'static, ()> {
        async move {
            let checks = async {
                loop {
                    let faults = self.check().await;
                    for fault in faults.iter().filter(|fault| self.throttle.admit(fault).is_some()) {
                        tracing::error!(error = fault, "crd is unusable");
                    }
                    let wait = if faults.is_empty() { CHECK_INTERVAL } else { FAULT_CHECK_INTERVAL };
                    self.faults.send_replace(Some(faults.into()));
                    tokio::time::sleep(wait).await;
                }
            };
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = checks => {}
            }
        }
        .boxed()
    }

    async fn check(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for name in maglev_crd::all().iter().map(ResourceExt::name_any) {
            match timeout(TIMEOUT, self.crds.get_opt(&name)).await {
                Ok(Ok(crd)) => faults.extend(fault(&name, crd.as_ref())),
                // A CRD that cannot be read may be usable.
                Ok(Err(error)) => self.warn(&name, &error_chain(&error)),
                Err(_) => self.warn(&name, &format!("no answer within {} s", TIMEOUT.as_secs())),
            }
        }
        faults
    }

    fn warn(&self, name: &str, error: &str) {
        if self.throttle.admit(error).is_some() {
            tracing::warn!(name, error, "cannot read crd");
        }
    }
}

/// A sentence on the fault of the definition `name` and on its repair.
fn fault(name: &str, crd: Option<&CustomResourceDefinition>) -> Option<String> {
    let fault =
        |predicate: &str| Some(format!("CustomResourceDefinition {name} {predicate}; install it with: {INSTALL}"));
    let Some(crd) = crd.filter(|crd| crd.metadata.deletion_timestamp.is_none()) else {
        return fault("is missing");
    };
    let Some(version) = crd.spec.versions.iter().find(|version| version.name == maglev_crd::VERSION && version.served)
    else {
        return fault(&format!("does not serve version {}", maglev_crd::VERSION));
    };
    if version.subresources.as_ref().and_then(|subresources| subresources.status.as_ref()).is_none() {
        return fault("has no status subresource, so no status can be written");
    }
    None
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;

    #[test]
    fn fault_names_the_command_that_repairs_it() {
        for good in maglev_crd::all() {
            let name = good.name_any();
            assert_eq!(fault(&name, Some(&good)), None);
            let check = |crd: Option<&_>, predicate: &str| {
                let text = fault(&name, crd).expect("there is a fault");
                assert!(text.contains(&name) && text.contains(predicate) && text.ends_with(INSTALL), "{text}");
            };
            check(None, "is missing");
            let mut bad = good.clone();
            bad.spec.versions[0].subresources = None;
            check(Some(&bad), "no status subresource");
            bad.spec.versions[0].served = false;
            check(Some(&bad), "does not serve version v1alpha1");
            let mut terminating = good.clone();
            terminating.metadata.deletion_timestamp = Some(Time(jiff::Timestamp::UNIX_EPOCH));
            check(Some(&terminating), "is missing");
        }
    }
}
