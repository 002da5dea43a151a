//! Checks that the API server serves a kind before deletions of its objects take effect.
//!
//! Deleting a CustomResourceDefinition deletes every object of its kind, one by one, while the CRD has a
//! deletionTimestamp. Such deletions do not express a decision about the VIPs. So the CRD is read first: it must exist,
//! not be in deletion, and have the uid that it had when the kind was listed.

use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, Client};
use maglev_net::error_chain;

use super::kinds;
use maglev_model::config::Kind;

/// Timeout of one read; deletions wait meanwhile.
const TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CrdState {
    Present {
        /// `metadata.uid`: differs after the CRD was deleted and created again.
        uid: String,
    },
    /// The CRD is missing or in deletion.
    Absent {
        /// Predicate for the log, as in "is missing".
        why: &'static str,
    },
    /// The CRD could not be read.
    Unknown { error: String },
}

/// Reads the CRD of one kind.
pub struct CrdGuard {
    crds: Api<CustomResourceDefinition>,
    name: String,
}

impl CrdGuard {
    /// Returns `None` for a built-in kind.
    pub fn new(client: Client, kind: Kind) -> Option<Self> {
        let name = kinds::crd_name(kind)?;
        Some(Self { crds: Api::all(client), name })
    }

    /// The CRD's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub async fn read(&self) -> CrdState {
        match tokio::time::timeout(TIMEOUT, self.crds.get_metadata_opt(&self.name)).await {
            Err(_) => CrdState::Unknown { error: format!("no answer within {} s", TIMEOUT.as_secs()) },
            Ok(Err(error)) => CrdState::Unknown { error: error_chain(&error) },
            Ok(Ok(None)) => CrdState::Absent { why: "is missing" },
            Ok(Ok(Some(crd))) if crd.metadata.deletion_timestamp.is_some() => {
                CrdState::Absent { why: "is being deleted" }
            }
            Ok(Ok(Some(crd))) => CrdState::Present { uid: crd.metadata.uid.unwrap_or_default() },
        }
    }
}
