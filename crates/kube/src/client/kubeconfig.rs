//! Kubeconfigs, read as kubectl reads them, and the client configuration of one of their contexts.

use std::{env, ffi::OsStr, io::ErrorKind, path::PathBuf};

use kube::{
    Config,
    config::{AuthInfo, Cluster, ExecAuthCluster, Kubeconfig, KubeconfigError},
};
use rustls::pki_types::{CertificateDer, pem, pem::PemObject as _};

use super::proxy::{self, Environment, ProxyError};

/// An error of a kubeconfig's content.
#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    #[error(transparent)]
    Kubeconfig(#[from] KubeconfigError),
    #[error("cannot parse the certificate authority of cluster {cluster}")]
    CertificateAuthority {
        cluster: String,
        #[source]
        source: pem::Error,
    },
    #[error(transparent)]
    Proxy(#[from] ProxyError),
}

/// The files that are read without `--kubeconfig`: those of `KUBECONFIG`, else `~/.kube/config`.
pub fn default_paths() -> Vec<PathBuf> {
    let listed = env::var_os("KUBECONFIG").map(|value| split(&value)).unwrap_or_default();
    let default = || env::home_dir().map(|home| home.join(".kube/config")).into_iter().collect();
    if listed.is_empty() { default() } else { listed }
}

fn split(value: &OsStr) -> Vec<PathBuf> {
    env::split_paths(value).filter(|path| !path.as_os_str().is_empty()).collect()
}

/// Merges the files that exist; the first file that sets a value wins. `None` if no file exists, or all are empty.
pub fn read_existing(paths: &[PathBuf]) -> Result<Option<Kubeconfig>, (PathBuf, KubeconfigError)> {
    let mut merged: Option<Kubeconfig> = None;
    for path in paths {
        let read = match Kubeconfig::read_from(path) {
            Err(KubeconfigError::ReadConfig(error, _)) if error.kind() == ErrorKind::NotFound => continue,
            read => read,
        };
        let read = read.and_then(|next| merged.take().unwrap_or_default().merge(next));
        merged = Some(read.map_err(|error| (path.clone(), error))?);
    }
    Ok(merged.filter(|config| !config.contexts.is_empty() || !config.clusters.is_empty()))
}

/// The client configuration of the context, by default the current context.
pub fn context_config(
    kubeconfig: &Kubeconfig,
    context: Option<&str>,
    env: Environment<'_>,
) -> Result<Config, ContextError> {
    let current = kubeconfig.current_context.as_deref().filter(|name| !name.is_empty());
    let name = context.or(current).ok_or(KubeconfigError::CurrentContextNotSet)?;
    let context = kubeconfig.contexts.iter().find(|named| named.name == name);
    let context = context.and_then(|named| named.context.as_ref());
    let context = context.ok_or_else(|| KubeconfigError::LoadContext(name.to_owned()))?;
    let cluster = kubeconfig.clusters.iter().find(|named| named.name == context.cluster);
    let cluster = cluster.and_then(|named| named.cluster.as_ref());
    let cluster = cluster.ok_or_else(|| KubeconfigError::LoadClusterOfContext(context.cluster.clone()))?;
    let server = cluster.server.as_deref().ok_or(KubeconfigError::MissingClusterUrl)?;

    let mut config = Config::new(server.parse().map_err(KubeconfigError::ParseClusterUrl)?);
    config.default_namespace =
        context.namespace.clone().filter(|name| !name.is_empty()).unwrap_or("default".to_owned());
    config.root_cert = certificate_authority(&context.cluster, cluster)?;
    config.accept_invalid_certs = cluster.insecure_skip_tls_verify.unwrap_or(false);
    config.disable_compression = cluster.disable_compression.unwrap_or(false);
    config.tls_server_name = cluster.tls_server_name.clone();
    config.proxy_url = proxy::select(cluster.proxy_url.as_deref(), &config.cluster_url, env)?;
    config.auth_info = user(kubeconfig, context.user.as_deref(), cluster)?;
    Ok(config)
}

/// The user's credentials; like client-go, none if the user is not listed.
fn user(kubeconfig: &Kubeconfig, name: Option<&str>, cluster: &Cluster) -> Result<AuthInfo, KubeconfigError> {
    let named = kubeconfig.auth_infos.iter().find(|named| Some(&*named.name) == name);
    let mut user = named.and_then(|named| named.auth_info.clone()).unwrap_or_default();
    if let Some(exec) = user.exec.as_mut().filter(|exec| exec.provide_cluster_info) {
        exec.cluster = Some(cluster.try_into()?);
    }
    Ok(user)
}

/// The CA certificates of the cluster in DER.
fn certificate_authority(name: &str, cluster: &Cluster) -> Result<Option<Vec<Vec<u8>>>, ContextError> {
    let Some(text) = ExecAuthCluster::try_from(cluster)?.certificate_authority_data else { return Ok(None) };
    let certificates = CertificateDer::pem_slice_iter(&text).map(|certificate| Ok(certificate?.to_vec()));
    let invalid = |source| ContextError::CertificateAuthority { cluster: name.to_owned(), source };
    certificates.collect::<Result<_, _>>().map(Some).map_err(invalid)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn kubeconfig(name: &str, more: &str) -> String {
        format!(
            "current-context: {name}\n\
             contexts: [{{name: {name}, context: {{cluster: {name}, user: nobody, namespace: ''}}}}]\n\
             clusters: [{{name: {name}, cluster: {{server: 'https://{name}.example:6443'{more}}}}}]\n"
        )
    }

    #[test]
    fn missing_files_are_skipped_and_the_first_value_wins() {
        let dir = tempfile::tempdir().unwrap();
        let [missing, first, second, empty] = ["missing", "first", "second", "empty"].map(|name| dir.path().join(name));
        fs::write(&first, kubeconfig("first", "")).unwrap();
        fs::write(&second, kubeconfig("second", "")).unwrap();
        fs::write(&empty, "").unwrap();
        let read = read_existing(&[missing.clone(), first, empty.clone(), second]).unwrap().unwrap();
        let servers = [None, Some("second")]
            .map(|context| context_config(&read, context, &|_| None).unwrap().cluster_url.to_string());
        assert_eq!(servers, ["https://first.example:6443/", "https://second.example:6443/"]);
        assert!(read_existing(&[missing.clone(), empty]).unwrap().is_none());
        assert!(read_existing(&[missing]).unwrap().is_none());
    }

    #[test]
    fn unreadable_and_malformed_files_are_errors_that_name_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let malformed = dir.path().join("malformed");
        fs::write(&malformed, "contexts: 1").unwrap();
        for path in [malformed, dir.path().to_owned(), dir.path().join("malformed/below")] {
            let (named, _) = read_existing(&["/nonexistent".into(), path.clone()]).unwrap_err();
            assert_eq!(named, path);
        }
    }

    #[test]
    fn cluster_settings_reach_the_configuration() {
        let authority = rcgen::generate_simple_self_signed(["authority".to_owned()]).unwrap().cert;
        let data = serde_json::to_string(&k8s_openapi::ByteString(authority.pem().into_bytes())).unwrap();
        let more = format!(
            ", certificate-authority-data: {data}, tls-server-name: inner, proxy-url: 'socks5://proxy:9', \
             disable-compression: true"
        );
        let read = Kubeconfig::from_yaml(&kubeconfig("one", &more)).unwrap();
        let config = context_config(&read, None, &|_| None).unwrap();
        assert_eq!(config.root_cert, Some(vec![authority.der().to_vec()]));
        assert_eq!(config.tls_server_name.as_deref(), Some("inner"));
        assert_eq!(config.proxy_url.unwrap().to_string(), "socks5://proxy:9/");
        assert_eq!(config.default_namespace, "default");
        assert!(config.disable_compression && !config.accept_invalid_certs);
        let broken_no_proxy = |name: &str| (name == "NO_PROXY").then(|| ",a/b,".to_owned());
        assert!(context_config(&read, None, &broken_no_proxy).is_ok());
        let error = context_config(&read, Some("two"), &|_| None).unwrap_err();
        assert_eq!(error.to_string(), "failed to load current context: two");
    }
}
