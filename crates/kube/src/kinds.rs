//! API resources, CRD names and watch settings of the watched kinds.

use std::time::Duration;

use kube::{api::ObjectMeta, core::ApiResource, runtime::watcher};

use maglev_crd::{AddressPolicy, Backend, Frontend, HealthCheck, LoadBalancerConfig};
use maglev_model::{Name, config::Kind};

/// Group, version and plural of `kind`.
pub fn resource(kind: Kind) -> ApiResource {
    match kind {
        Kind::HealthCheck => ApiResource::erase::<HealthCheck>(&()),
        Kind::Backend => ApiResource::erase::<Backend>(&()),
        Kind::Frontend => ApiResource::erase::<Frontend>(&()),
        Kind::LoadBalancerConfig => ApiResource::erase::<LoadBalancerConfig>(&()),
        Kind::AddressPolicy => ApiResource::erase::<AddressPolicy>(&()),
        Kind::Node => ApiResource::erase::<k8s_openapi::api::core::v1::Node>(&()),
        Kind::Namespace => ApiResource::erase::<k8s_openapi::api::core::v1::Namespace>(&()),
        Kind::EndpointSlice => ApiResource::erase::<k8s_openapi::api::discovery::v1::EndpointSlice>(&()),
    }
}

/// Name of the CustomResourceDefinition of `kind`; `None` for a built-in kind.
pub fn crd_name(kind: Kind) -> Option<String> {
    let resource = resource(kind);
    (!matches!(kind, Kind::Node | Kind::Namespace | Kind::EndpointSlice))
        .then(|| format!("{}.{}", resource.plural, resource.group))
}

/// Watch settings for all objects. Each watch ends after `duration`, in whole seconds.
pub fn watch_all(duration: Duration) -> watcher::Config {
    // A paged list followed by a watch, instead of a streaming list, in which kube skips undecodable objects. The API
    // server reads a paged list from etcd, so the list is never older than a state that was seen before.
    let seconds = u32::try_from(duration.as_secs()).unwrap_or(u32::MAX).max(1);
    watcher::Config::default().timeout(seconds)
}

/// `namespace/name`, or the bare name of a cluster-scoped object.
pub fn name_of(meta: &ObjectMeta) -> Name {
    let name = meta.name.as_deref().unwrap_or_default();
    match meta.namespace.as_deref() {
        Some(namespace) => Name::namespaced(namespace, name),
        None => Name::cluster(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maglev_kinds_have_a_crd_and_built_in_kinds_have_none() {
        let names: Vec<_> = Kind::ALL.into_iter().map(crd_name).collect();
        let plurals = ["healthchecks", "backends", "frontends", "loadbalancerconfigs", "addresspolicies"];
        let crds = plurals.map(|plural| Some(format!("{plural}.maglev.vpp.io")));
        assert_eq!(names[..5], crds);
        assert_eq!(names[5..], [None, None, None]);
    }
}
