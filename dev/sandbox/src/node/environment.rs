//! A container's environment variables: literals, downward API, ConfigMaps and Secrets, with `$(NAME)` expanded.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Container, EnvFromSource, EnvVarSource};

use super::{
    config_error::ConfigError,
    expansion::expand,
    pod::{Data, RunningPod, present},
};

/// The variables by name.
pub type Environment = BTreeMap<String, String>;

/// Evaluates `envFrom` and `env` in order. Later variables override earlier ones and can refer to them.
///
/// # Errors
/// A reference is missing and not optional, or of an unsupported kind.
pub async fn resolve(pod: &RunningPod, container: &Container) -> Result<Environment, ConfigError> {
    let mut environment = Environment::new();
    for source in container.env_from.iter().flatten() {
        environment.extend(from_object(pod, source).await?);
    }
    for variable in container.env.iter().flatten() {
        let value = match &variable.value_from {
            Some(source) => from_source(pod, source).await?,
            None => {
                let raw = variable.value.as_deref().unwrap_or_default();
                Some(expand(raw, |name| environment.get(name).cloned()))
            }
        };
        if let Some(value) = value {
            environment.insert(variable.name.clone(), value);
        }
    }
    Ok(environment)
}

async fn from_object(pod: &RunningPod, source: &EnvFromSource) -> Result<Environment, ConfigError> {
    let data = match (&source.config_map_ref, &source.secret_ref) {
        (Some(map), _) => pod.config_map(&map.name, map.optional).await?,
        (None, Some(secret)) => pod.secret(&secret.name, secret.optional).await?,
        (None, None) => None,
    };
    let prefix = source.prefix.as_deref().unwrap_or_default();
    let named = |(key, value): (String, Vec<u8>)| (format!("{prefix}{key}"), text(&value));
    Ok(data.into_iter().flatten().map(named).collect())
}

async fn from_source(pod: &RunningPod, source: &EnvVarSource) -> Result<Option<String>, ConfigError> {
    if let Some(field) = &source.field_ref {
        return pod.field(&field.field_path).map(Some);
    }
    if let Some(reference) = &source.config_map_key_ref {
        let data = pod.config_map(&reference.name, reference.optional).await?;
        return required_key(data, "ConfigMap", &reference.name, &reference.key, reference.optional);
    }
    if let Some(reference) = &source.secret_key_ref {
        let data = pod.secret(&reference.name, reference.optional).await?;
        return required_key(data, "Secret", &reference.name, &reference.key, reference.optional);
    }
    Err(ConfigError::Unsupported { what: "env from resourceFieldRef".to_owned() })
}

fn required_key(
    data: Option<Data>,
    kind: &str,
    name: &str,
    key: &str,
    optional: Option<bool>,
) -> Result<Option<String>, ConfigError> {
    let value = data.and_then(|mut data| data.remove(key));
    let value = present(value, optional, || format!("key {key:?} of {kind} {name:?}"))?;
    Ok(value.map(|value| text(&value)))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
