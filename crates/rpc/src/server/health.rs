//! `grpc.health.v1`: serving follows readiness, for the server as a whole and for the service.

use tonic_health::{ServingStatus, server::HealthReporter};

use super::Ready;
use crate::proto::serving::maglev_server::SERVICE_NAME;

/// Tells `reporter` whether the node is ready, whenever that changes. Never ends: what is last known stays.
pub async fn follow(mut ready: Ready, reporter: HealthReporter) {
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
