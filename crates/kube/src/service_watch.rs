//! Watches everything that the controller computes the Frontends of Services from: Services, Frontends, and the objects
//! that decide on addresses. Beside `cluster_watch`, so that the status of objects and the Frontends of Services do not
//! delay each other. Called by `controller`.

use std::sync::Arc;

use futures::{FutureExt as _, future::BoxFuture, future::join_all};
use k8s_openapi::api::core::v1::Service;
use kube::{Api, Client, core::ApiResource};
use maglev_net::LogThrottle;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::{
    Delays,
    demand::watch_while_wanted,
    kind_watch::{KindWatch, RawUpdate},
    raw_object::RawObject,
    reflector::{Listed, Reflector},
    service_objects::{FrontendObject, ServiceObject},
};
use maglev_index::{AddressGrants, Object};
use maglev_model::{Name, config::Kind};

/// Capacity of the queue before the controller: each update can be a whole list.
const QUEUE: usize = 16;

/// An update of one kind. To be applied in the order of the fields.
#[derive(Debug)]
pub enum ServicesUpdate {
    Frontends {
        /// True for the first complete list.
        first: bool,
        deleted: Vec<Name>,
        /// New and changed objects.
        objects: Vec<FrontendObject>,
    },
    /// A kind of [`AddressGrants::KINDS`], or Namespaces.
    Grants {
        kind: Kind,
        /// True for the first complete list.
        first: bool,
        deleted: Vec<Name>,
        /// New and changed objects.
        objects: Vec<Object>,
    },
}

/// Receivers of the watched state.
pub struct ServiceReceivers {
    pub updates: mpsc::Receiver<ServicesUpdate>,
    pub services: watch::Receiver<Listed<ServiceObject>>,
    /// The number of the watch of Namespaces; `None` to not watch them.
    pub namespaces: watch::Sender<Option<u64>>,
}

/// The watches before they run.
pub struct ServiceWatch {
    client: Client,
    delays: Delays,
    updates: mpsc::Sender<ServicesUpdate>,
    services: Reflector<RawObject, ServiceObject>,
    namespaces: watch::Receiver<Option<u64>>,
}

impl ServiceWatch {
    /// Watches all namespaces.
    pub fn new(client: Client, delays: Delays) -> (Self, ServiceReceivers) {
        let (updates, updates_rx) = mpsc::channel(QUEUE);
        let services = Api::all_with(client.clone(), &ApiResource::erase::<Service>(&()));
        let (services, services_rx) = Reflector::new(services, "Service", None, delays, ServiceObject::read);
        let (namespaces_tx, namespaces) = watch::channel(None);
        let receivers = ServiceReceivers { updates: updates_rx, services: services_rx, namespaces: namespaces_tx };
        (Self { client, delays, updates, services, namespaces }, receivers)
    }

    /// Watches until `shutdown`, or until the receiver of the updates is dropped.
    pub fn run(self, shutdown: CancellationToken) -> BoxFuture<'static, ()> {
        async move {
            let (updates, updates_rx) = mpsc::channel(QUEUE);
            let throttle = Arc::new(LogThrottle::default());
            let (client, delays) = (self.client, self.delays);
            let watch = {
                let updates = updates.clone();
                move |kind| KindWatch::new(client.clone(), kind, delays, Arc::clone(&throttle), updates.clone())
            };
            let kinds = AddressGrants::KINDS.into_iter().chain([Kind::Frontend]);
            let watches: Vec<_> = kinds.map(|kind| watch(kind).run()).collect();
            let namespaces = watch_while_wanted(move || watch(Kind::Namespace), self.namespaces);
            drop(updates);
            tokio::select! {
                () = shutdown.cancelled() => {}
                _ = join_all(watches) => {}
                () = namespaces => {}
                () = forward(updates_rx, self.updates) => {}
                () = self.services.run(shutdown.clone()) => {}
            }
        }
        .boxed()
    }
}

async fn forward(mut updates_rx: mpsc::Receiver<RawUpdate>, updates: mpsc::Sender<ServicesUpdate>) {
    while let Some(RawUpdate { kind, first, deleted, objects, .. }) = updates_rx.recv().await {
        let update = if kind == Kind::Frontend {
            let objects = objects.iter().map(FrontendObject::read).collect();
            ServicesUpdate::Frontends { first, deleted, objects }
        } else {
            let objects = objects.iter().map(|raw| raw.object(kind)).collect();
            ServicesUpdate::Grants { kind, first, deleted, objects }
        };
        if updates.send(update).await.is_err() {
            return;
        }
    }
}
