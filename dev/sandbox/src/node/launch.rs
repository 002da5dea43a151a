//! Turns a container's spec into a process to start: binary, arguments and environment, with paths rewritten.

use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::Container;
use serde_json::json;

use super::{
    config_error::ConfigError,
    container::Slot,
    environment,
    expansion::expand,
    pod::RunningPod,
    probe::{Prober, Purpose},
    volumes::{Mounts, write_file},
};
use crate::processes::Launch;

/// The usual value in images.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Parameters for starting and probing the process.
#[derive(Debug)]
pub struct Prepared {
    binary: PathBuf,
    args: Vec<String>,
    env: Vec<(String, String)>,
    pub probers: Vec<Prober>,
}

/// Evaluates the container's spec.
///
/// # Errors
/// The reason of the container's waiting state.
pub async fn prepare(pod: &RunningPod, mounts: &Mounts, spec: &Container, slot: Slot) -> Result<Prepared, ConfigError> {
    if matches!(slot, Slot::Init(_)) && spec.restart_policy.is_some() {
        return Err(ConfigError::Unsupported { what: "init containers with a restartPolicy (sidecars)".to_owned() });
    }
    let environment = environment::resolve(pod, spec).await?;
    let paths = mounts.path_map(spec)?;
    let word = |text: &String| paths.rewrite(&expand(text, |name| environment.get(name).cloned()));
    let command: Vec<&String> = spec.command.iter().flatten().collect();
    let (program, rest) = command.split_first().ok_or(ConfigError::NoCommand)?;
    let binary = find_binary(&pod.node.binaries, program)?;
    let args = rest.iter().copied().chain(spec.args.iter().flatten()).map(word).collect();
    let mut env = default_env(pod, mounts, spec)?;
    env.extend(environment.iter().map(|(name, value)| (name.clone(), paths.rewrite(value))));
    Ok(Prepared { binary, args, env, probers: probers(pod, spec)? })
}

impl Prepared {
    /// The process, with the pipe `log` as its output.
    pub fn launch(&self, pod: &RunningPod, container: &str, log: &Path) -> Launch {
        let name = format!("{}/{}/{container}", pod.namespace(), pod.name());
        let launch = match &pod.namespace {
            None => Launch::new(name, &self.binary, log),
            // Replaces itself by the binary.
            Some(namespace) => Launch::new(name, "ip", log).args(["netns", "exec", namespace.name()]).arg(&self.binary),
        };
        let mut launch = launch.args(&self.args).clear_env().dir(pod.dir());
        for (name, value) in &self.env {
            launch = launch.env(name, value);
        }
        launch
    }
}

/// The binary with the same file name as `program`, whose directory is that of an image.
fn find_binary(binaries: &Path, program: &str) -> Result<PathBuf, ConfigError> {
    let name = Path::new(program).file_name().unwrap_or_default();
    let binary = binaries.join(name);
    if name.is_empty() || !binary.is_file() {
        return Err(ConfigError::NoBinary { name: program.to_owned(), dir: binaries.to_owned() });
    }
    Ok(binary)
}

/// Variables of every container; the spec's variables override them.
fn default_env(pod: &RunningPod, mounts: &Mounts, spec: &Container) -> Result<Vec<(String, String)>, ConfigError> {
    let hostname = if pod.host_network() { pod.node.name.clone() } else { pod.name() };
    let mut env = vec![("PATH".to_owned(), PATH.to_owned()), ("HOSTNAME".to_owned(), hostname)];
    if let Some(token) = mounts.token_file(spec) {
        let kubeconfig = write_kubeconfig(pod, &token)?;
        env.push(("KUBECONFIG".to_owned(), kubeconfig.to_string_lossy().into_owned()));
    }
    Ok(env)
}

/// Replaces the in-cluster configuration, whose paths are fixed. Refers to the token file, so that clients read renewed tokens.
fn write_kubeconfig(pod: &RunningPod, token: &Path) -> Result<PathBuf, ConfigError> {
    let authority = k8s_openapi::ByteString(pod.node.authority_pem.clone().into_bytes());
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "sandbox", "cluster": {"server": pod.node.server, "certificate-authority-data": authority}}],
        "users": [{"name": "pod", "user": {"tokenFile": token}}],
        "contexts": [{"name": "pod", "context": {"cluster": "sandbox", "user": "pod", "namespace": pod.namespace()}}],
        "current-context": "pod",
    });
    let path = pod.dir().join("kubeconfig");
    write_file(&path, config.to_string().as_bytes())?;
    Ok(path)
}

fn probers(pod: &RunningPod, spec: &Container) -> Result<Vec<Prober>, ConfigError> {
    let all = [
        (Purpose::Startup, &spec.startup_probe),
        (Purpose::Readiness, &spec.readiness_probe),
        (Purpose::Liveness, &spec.liveness_probe),
    ];
    let probes = all.into_iter().filter_map(|(purpose, probe)| Some((purpose, probe.as_ref()?)));
    let prober =
        |(purpose, probe)| Ok(Prober::new(purpose, probe, spec, pod.ip_addr())?.in_namespace(pod.namespace.clone()));
    probes.map(prober).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_binaries_of_the_directory_can_run() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("maglevd"), "").unwrap();
        assert_eq!(find_binary(dir.path(), "/usr/local/bin/maglevd").unwrap(), dir.path().join("maglevd"));
        assert_eq!(find_binary(dir.path(), "maglevd").unwrap(), dir.path().join("maglevd"));
        for program in ["/bin/sh", "", "/", ".."] {
            assert_eq!(find_binary(dir.path(), program).unwrap_err().reason(), "ErrImagePull", "{program}");
        }
    }
}
