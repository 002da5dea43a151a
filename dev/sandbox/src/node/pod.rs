//! State shared by the parts of one running pod, and the downward API.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    sync::Arc,
};

use k8s_openapi::{
    NamespaceResourceScope,
    api::core::v1::{ConfigMap, Pod, PodSpec, Secret},
};
use kube::{Api, Resource, ResourceExt};

use super::{config_error::ConfigError, context::Context};
use crate::packets::Namespace;

/// A pod as first received (its spec hardly changes), with the IP address that the node allocated.
pub struct RunningPod {
    pub node: Arc<Context>,
    pub object: Arc<Pod>,
    pub ip: Ipv4Addr,
    /// The network namespace with the address; `None` for the host's.
    pub namespace: Option<Namespace>,
}

impl RunningPod {
    pub fn name(&self) -> String {
        self.object.name_any()
    }

    pub fn namespace(&self) -> String {
        self.object.namespace().expect("pods are namespaced")
    }

    pub fn uid(&self) -> String {
        self.object.uid().expect("objects of the API server have a uid")
    }

    pub fn spec(&self) -> &PodSpec {
        self.object.spec.as_ref().expect("the API server accepts no pod without a spec")
    }

    pub fn host_network(&self) -> bool {
        self.spec().host_network.unwrap_or(false)
    }

    pub fn ip_addr(&self) -> IpAddr {
        self.ip.into()
    }

    /// The pod's directory with volumes and kubeconfig.
    pub fn dir(&self) -> PathBuf {
        self.node.root.join("pods").join(self.uid())
    }

    /// The directory of a container's logs.
    pub fn log_dir(&self, container: &str) -> PathBuf {
        let pod = format!("{}_{}_{}", self.namespace(), self.name(), self.uid());
        self.node.logs.join(pod).join(container)
    }

    /// A client for the pod's namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.node.client.clone(), &self.namespace())
    }

    /// The value of a `fieldRef`.
    pub fn field(&self, path: &str) -> Result<String, ConfigError> {
        let text = |value: Option<&String>| value.cloned().unwrap_or_default();
        let meta = &self.object.metadata;
        Ok(match path {
            "metadata.name" => self.name(),
            "metadata.namespace" => self.namespace(),
            "metadata.uid" => self.uid(),
            "metadata.labels" => map_lines(self.object.labels()),
            "metadata.annotations" => map_lines(self.object.annotations()),
            "spec.nodeName" => self.node.name.clone(),
            "spec.serviceAccountName" => text(self.spec().service_account_name.as_ref()),
            "status.podIP" | "status.podIPs" => self.ip.to_string(),
            "status.hostIP" | "status.hostIPs" => self.node.address.to_string(),
            _ => match subscript(path) {
                Some(("metadata.labels", key)) => text(meta.labels.as_ref().and_then(|labels| labels.get(key))),
                Some(("metadata.annotations", key)) => text(meta.annotations.as_ref().and_then(|all| all.get(key))),
                _ => return Err(ConfigError::Unsupported { what: format!("the field {path:?}") }),
            },
        })
    }

    /// The data of a ConfigMap; `None` if it is missing and optional.
    pub async fn config_map(&self, name: &str, optional: Option<bool>) -> Result<Option<Data>, ConfigError> {
        let map = self.api::<ConfigMap>().get_opt(name).await;
        let map = map.map_err(|source| read_error("ConfigMap", name, source))?;
        let map = present(map, optional, || format!("ConfigMap {name:?}"))?;
        Ok(map.map(|map| {
            let text = map.data.into_iter().flatten().map(|(key, value)| (key, value.into_bytes()));
            let binary = map.binary_data.into_iter().flatten().map(|(key, value)| (key, value.0));
            text.chain(binary).collect()
        }))
    }

    /// The data of a Secret; `None` if it is missing and optional.
    pub async fn secret(&self, name: &str, optional: Option<bool>) -> Result<Option<Data>, ConfigError> {
        let secret = self.api::<Secret>().get_opt(name).await.map_err(|source| read_error("Secret", name, source))?;
        let secret = present(secret, optional, || format!("Secret {name:?}"))?;
        Ok(secret.map(|secret| secret.data.into_iter().flatten().map(|(key, value)| (key, value.0)).collect()))
    }
}

/// The data of a ConfigMap or Secret.
pub type Data = BTreeMap<String, Vec<u8>>;

/// Returns an error for a missing value unless it is optional.
pub fn present<T>(
    value: Option<T>,
    optional: Option<bool>,
    what: impl FnOnce() -> String,
) -> Result<Option<T>, ConfigError> {
    if value.is_none() && !optional.unwrap_or(false) {
        return Err(ConfigError::Missing { what: what() });
    }
    Ok(value)
}

fn read_error(kind: &str, name: &str, source: kube::Error) -> ConfigError {
    ConfigError::Api { what: format!("read {kind} {name:?}"), source: Box::new(source) }
}

/// Splits `metadata.labels['x']` into map and key.
fn subscript(path: &str) -> Option<(&str, &str)> {
    let (map, key) = path.strip_suffix("']")?.split_once("['")?;
    Some((map, key))
}

fn map_lines(map: &BTreeMap<String, String>) -> String {
    map.iter().map(|(key, value)| format!("{key}={value:?}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subscript_selects_one_key() {
        assert_eq!(subscript("metadata.labels['a.b/c']"), Some(("metadata.labels", "a.b/c")));
        assert_eq!(subscript("metadata.labels"), None);
        let map = BTreeMap::from([("a".to_owned(), "1".to_owned()), ("b".to_owned(), "say \"x\"".to_owned())]);
        assert_eq!(map_lines(&map), "a=\"1\"\nb=\"say \\\"x\\\"\"");
    }
}
