//! `grpc.health.v1`: the status follows readiness, for the server as a whole and for the service.

use tonic_health::{ServingStatus, server::HealthReporter};

use super::Ready;
use crate::proto::serving::maglev_server::SERVICE_NAME;

/// Publishes each change of readiness. Never returns: the last status stays.
pub async fn publish_readiness(mut ready: Ready, reporter: HealthReporter) {
    loop {
        let serving = ready.borrow_and_update().is_ok();
        let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
        for service in ["", SERVICE_NAME] {
            reporter.set_service_status(service, status).await;
        }
        if ready.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}
