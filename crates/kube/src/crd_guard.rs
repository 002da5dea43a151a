//! Asks whether a kind is really served, before objects that are gone are believed to be gone.
//!
//! Deleting a CustomResourceDefinition deletes every object of its kind, one by one, while a
//! deletionTimestamp stands on it. Such deletions are no one's wish for the VIPs. So before objects
//! that are gone count, their CRD is read: it has to be there, not on its way out, and still the
//! one that was there when the kind was listed.

use std::time::Duration;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, Client};

use super::{causes::describe, kinds};
use maglev_model::config::Kind;

/// For one answer; the objects that are gone wait meanwhile.
const TIMEOUT: Duration = Duration::from_secs(5);

/// What the API server says of a CRD.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Crd {
    /// It is there.
    Present {
        /// Its `metadata.uid`: a CRD that was deleted and created again is another.
        uid: String,
    },
    /// It is not there, or on its way out.
    Absent {
        /// Which of both, for the log.
        why: &'static str,
    },
    /// There is no answer.
    Unknown { error: String },
}

/// Reads the CRD of one kind.
pub struct CrdGuard {
    crds: Api<CustomResourceDefinition>,
    name: String,
}

impl CrdGuard {
    /// The guard of `kind`; `None` for a kind that Kubernetes itself serves.
    pub fn new(client: Client, kind: Kind) -> Option<Self> {
        let name = kinds::crd_name(kind)?;
        Some(Self { crds: Api::all(client), name })
    }

    /// The CRD's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the API server says now.
    pub async fn ask(&self) -> Crd {
        match tokio::time::timeout(TIMEOUT, self.crds.get_metadata_opt(&self.name)).await {
            Err(_) => Crd::Unknown { error: format!("no answer within {} s", TIMEOUT.as_secs()) },
            Ok(Err(error)) => Crd::Unknown { error: describe(&error) },
            Ok(Ok(None)) => Crd::Absent { why: "it is missing" },
            Ok(Ok(Some(crd))) if crd.metadata.deletion_timestamp.is_some() => {
                Crd::Absent { why: "it is being deleted" }
            }
            Ok(Ok(Some(crd))) => Crd::Present { uid: crd.metadata.uid.unwrap_or_default() },
        }
    }
}
