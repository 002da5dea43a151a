//! A pod's volumes as plain directories: hostPath below the node's root, all other volumes below the pod's directory.
//! `/run/netns` is the machine's own, because the sandbox's nodes share its network namespaces.
//!
//! ServiceAccount tokens are renewed before they expire; the files of Secrets and ConfigMaps follow their objects. Processes have no mount namespace; `path_map` rewrites their paths.

use std::{
    collections::BTreeMap,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use k8s_openapi::api::{
    authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec},
    core::v1::{
        ConfigMapProjection, Container, DownwardAPIProjection, HostPathVolumeSource, KeyToPath, ProjectedVolumeSource,
        SecretProjection, ServiceAccount, ServiceAccountTokenProjection, Volume, VolumeProjection,
    },
};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;

use super::{
    config_error::ConfigError,
    path_map::PathMap,
    pod::{Data, RunningPod, present},
};

/// The mount path of a pod's credentials.
const SERVICE_ACCOUNT_MOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// The directory in which `ip netns` keeps the network namespaces.
const NETWORK_NAMESPACES: &str = "/run/netns";

/// The real paths of a pod's volumes by name.
#[derive(Debug, Default)]
pub struct Mounts {
    real: BTreeMap<String, PathBuf>,
}

/// The volumes with files that the node renews.
#[derive(Debug, Default)]
pub struct Renewal {
    projected: Vec<Projected>,
}

/// A volume with files that the node writes.
#[derive(Debug)]
struct Projected {
    dir: PathBuf,
    sources: Vec<VolumeProjection>,
    /// Time of the token's renewal.
    renew_at: Option<Timestamp>,
    /// Files with data of Secrets and ConfigMaps, as written.
    data: BTreeMap<PathBuf, Vec<u8>>,
}

/// Creates all volumes of the pod.
///
/// # Errors
/// A reference is missing, or the kind of a volume is not supported.
pub async fn prepare(pod: &RunningPod) -> Result<(Mounts, Renewal), ConfigError> {
    let (mut mounts, mut renewal) = (Mounts::default(), Renewal::default());
    make_dir(&pod.dir())?;
    for volume in pod.spec().volumes.iter().flatten() {
        let real = match &volume.host_path {
            Some(source) => host_path(pod, source)?,
            None => renewal.create_dir(pod, volume).await?,
        };
        mounts.real.insert(volume.name.clone(), real);
    }
    Ok((mounts, renewal))
}

impl Mounts {
    /// The path rewriting of a container.
    ///
    /// # Errors
    /// A mount refers to an unknown volume.
    pub fn path_map(&self, container: &Container) -> Result<PathMap, ConfigError> {
        let mut map = PathMap::default();
        for mount in container.volume_mounts.iter().flatten() {
            let volume =
                self.real.get(&mount.name).ok_or_else(|| ConfigError::NoVolume { name: mount.name.clone() })?;
            let real = match mount.sub_path.as_deref() {
                None | Some("") => volume.clone(),
                Some(inside) => volume.join(inside),
            };
            map.mount(&mount.mount_path, &real.to_string_lossy());
        }
        Ok(map)
    }

    /// The file with the ServiceAccount token, if mounted into the container.
    pub fn token_file(&self, container: &Container) -> Option<PathBuf> {
        let mut mounts = container.volume_mounts.iter().flatten();
        let mount = mounts.find(|mount| mount.mount_path.trim_end_matches('/') == SERVICE_ACCOUNT_MOUNT)?;
        Some(self.real.get(&mount.name)?.join("token"))
    }
}

impl Renewal {
    async fn create_dir(&mut self, pod: &RunningPod, volume: &Volume) -> Result<PathBuf, ConfigError> {
        let dir = pod.dir().join("volumes").join(&volume.name);
        make_dir(&dir)?;
        if volume.empty_dir.is_none() {
            let sources = projections(volume)?;
            let mut projected = Projected { dir: dir.clone(), sources, renew_at: None, data: BTreeMap::new() };
            projected.write(pod).await?;
            self.projected.push(projected);
        }
        Ok(dir)
    }

    /// Renews tokens before they expire, and follows Secrets and ConfigMaps; never returns.
    pub async fn run(mut self, pod: &RunningPod) {
        let now = Timestamp::now();
        let mut due: Vec<_> = self.projected.iter().map(|projected| projected.due(now, pod)).collect();
        loop {
            let next = due.iter().enumerate().filter_map(|(index, due)| Some(((*due)?, index))).min();
            let Some((at, index)) = next else { return std::future::pending().await };
            let wait = at.duration_since(Timestamp::now()).as_secs_f64();
            tokio::time::sleep(Duration::try_from_secs_f64(wait).unwrap_or_default()).await;
            if let Err(error) = self.projected[index].write(pod).await {
                tracing::warn!(pod = pod.name(), %error, "cannot renew the files of a volume");
                tokio::time::sleep(pod.node.timings.retry).await;
            }
            due[index] = self.projected[index].due(Timestamp::now(), pod);
        }
    }
}

impl Projected {
    /// Time of the next write, after one at `now`.
    fn due(&self, now: Timestamp, pod: &RunningPod) -> Option<Timestamp> {
        let has_data = self.sources.iter().any(|source| source.config_map.is_some() || source.secret.is_some());
        let refresh = has_data.then(|| now + pod.node.timings.refresh);
        self.renew_at.into_iter().chain(refresh).min()
    }

    async fn write(&mut self, pod: &RunningPod) -> Result<(), ConfigError> {
        let mut data = BTreeMap::new();
        for source in &self.sources {
            if let Some(token) = &source.service_account_token {
                if self.renew_at.is_none_or(|at| at <= Timestamp::now()) {
                    self.renew_at = Some(write_token(pod, &self.dir, token).await?);
                }
            } else if let Some(map) = &source.config_map {
                let content = pod.config_map(&map.name, map.optional).await?;
                data.extend(files(content, map.items.as_deref(), map.optional)?);
            } else if let Some(secret) = &source.secret {
                let content = pod.secret(&secret.name, secret.optional).await?;
                data.extend(files(content, secret.items.as_deref(), secret.optional)?);
            } else if let Some(fields) = &source.downward_api {
                write_fields(pod, &self.dir, fields)?;
            } else {
                return Err(ConfigError::Unsupported { what: "a projected clusterTrustBundle".to_owned() });
            }
        }
        self.replace_data(data)
    }

    /// Writes the files that differ and removes those without a key.
    fn replace_data(&mut self, data: BTreeMap<PathBuf, Vec<u8>>) -> Result<(), ConfigError> {
        for (path, value) in data.iter().filter(|(path, value)| self.data.get(*path) != Some(*value)) {
            write_file(&self.dir.join(path), value)?;
        }
        for path in self.data.keys().filter(|path| !data.contains_key(*path)) {
            let path = self.dir.join(path);
            std::fs::remove_file(&path).map_err(|source| ConfigError::File { path, source })?;
        }
        self.data = data;
        Ok(())
    }
}

/// The sources of a volume with files, as those of a projected volume.
fn projections(volume: &Volume) -> Result<Vec<VolumeProjection>, ConfigError> {
    if let Some(ProjectedVolumeSource { sources, .. }) = &volume.projected {
        return Ok(sources.clone().unwrap_or_default());
    }
    let mut source = VolumeProjection::default();
    if let Some(map) = &volume.config_map {
        let (name, items, optional) = (map.name.clone(), map.items.clone(), map.optional);
        source.config_map = Some(ConfigMapProjection { name, items, optional });
    } else if let Some(secret) = &volume.secret {
        let (items, optional) = (secret.items.clone(), secret.optional);
        let name = secret.secret_name.clone().unwrap_or_default();
        source.secret = Some(SecretProjection { name, items, optional });
    } else if let Some(fields) = &volume.downward_api {
        source.downward_api = Some(DownwardAPIProjection { items: fields.items.clone() });
    } else {
        return Err(ConfigError::Unsupported { what: format!("the kind of volume {:?}", volume.name) });
    }
    Ok(vec![source])
}

fn host_path(pod: &RunningPod, source: &HostPathVolumeSource) -> Result<PathBuf, ConfigError> {
    let path = source.path.trim_end_matches('/');
    let of_machine = path == NETWORK_NAMESPACES || path == "/var/run/netns";
    let real = if of_machine { NETWORK_NAMESPACES.into() } else { pod.node.root.join(path.trim_start_matches('/')) };
    let kind = source.type_.as_deref().unwrap_or_default();
    let matches_type = match kind {
        "Directory" => real.is_dir(),
        "File" => real.is_file(),
        "Socket" | "CharDevice" | "BlockDevice" => real.exists(),
        "FileOrCreate" if real.exists() => true,
        "FileOrCreate" => write_file(&real, &[]).map(|()| true)?,
        // Without a type, a kubelet checks nothing and the runtime creates the directory.
        _ if real.exists() => true,
        _ => make_dir(&real).map(|()| true)?,
    };
    if matches_type {
        return Ok(real);
    }
    Err(ConfigError::HostPath { path: source.path.clone(), kind: kind.to_owned(), real })
}

/// Writes a new token. Returns the time of its renewal, after 80 % of its lifetime as in a kubelet.
async fn write_token(
    pod: &RunningPod,
    dir: &Path,
    projection: &ServiceAccountTokenProjection,
) -> Result<Timestamp, ConfigError> {
    let account = pod.spec().service_account_name.clone().unwrap_or_else(|| "default".to_owned());
    let bound = BoundObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        name: Some(pod.name()),
        uid: Some(pod.uid()),
    };
    let spec = TokenRequestSpec {
        audiences: projection.audience.iter().cloned().collect(),
        bound_object_ref: Some(bound),
        expiration_seconds: projection.expiration_seconds,
    };
    let request = TokenRequest { spec, ..TokenRequest::default() };
    let what = || format!("get a token of ServiceAccount {account:?}");
    let response = pod.api::<ServiceAccount>().create_token_request(&account, &PostParams::default(), &request).await;
    let response = response.map_err(|source| ConfigError::Api { what: what(), source: Box::new(source) })?;
    let status = response.status.ok_or_else(|| ConfigError::Missing { what: what() })?;
    write_file(&dir.join(&projection.path), status.token.as_bytes())?;
    let now = Timestamp::now();
    let lifetime = status.expiration_timestamp.0.duration_since(now);
    Ok(now + lifetime * 4 / 5)
}

/// The files of a Secret or ConfigMap.
fn files(
    data: Option<Data>,
    items: Option<&[KeyToPath]>,
    optional: Option<bool>,
) -> Result<BTreeMap<PathBuf, Vec<u8>>, ConfigError> {
    let Some(mut data) = data else { return Ok(BTreeMap::new()) };
    let Some(items) = items else {
        return Ok(data.into_iter().map(|(key, value)| (key.into(), value)).collect());
    };
    let mut files = BTreeMap::new();
    for item in items {
        let value = present(data.remove(&item.key), optional, || format!("key {:?}", item.key))?;
        files.extend(value.map(|value| (PathBuf::from(&item.path), value)));
    }
    Ok(files)
}

fn write_fields(pod: &RunningPod, dir: &Path, fields: &DownwardAPIProjection) -> Result<(), ConfigError> {
    for item in fields.items.iter().flatten() {
        let Some(field) = &item.field_ref else {
            return Err(ConfigError::Unsupported { what: "a file from resourceFieldRef".to_owned() });
        };
        write_file(&dir.join(&item.path), pod.field(&field.field_path)?.as_bytes())?;
    }
    Ok(())
}

pub fn make_dir(path: &Path) -> Result<(), ConfigError> {
    std::fs::create_dir_all(path).map_err(|source| ConfigError::File { path: path.to_owned(), source })
}

/// Writes a file atomically, readable by its owner only.
pub fn write_file(path: &Path, content: &[u8]) -> Result<(), ConfigError> {
    let fail = |source| ConfigError::File { path: path.to_owned(), source };
    let dir = path.parent().expect("files are written into directories");
    let mut hidden = std::ffi::OsString::from(".new-");
    hidden.push(path.file_name().unwrap_or_default());
    let new = dir.join(hidden);
    let write = || {
        std::fs::create_dir_all(dir)?;
        let mut options = std::fs::OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600).open(&new)?.write_all(content)?;
        std::fs::rename(&new, path)
    };
    write().map_err(fail)
}
