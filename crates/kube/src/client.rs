//! The client of the API server. Called by the binaries, once.

use std::{path::PathBuf, time::Duration};

use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};

use super::Error;

/// For a TCP connection and TLS handshake with the API server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Without a byte for so long, a connection is given up: a little more than the 175 s after which
/// kube's watcher gives up a watch by itself, so it ends only answers that hang.
const READ_TIMEOUT: Duration = Duration::from_secs(180);

/// Where the API server is.
#[derive(Clone, Debug, Default)]
pub struct ClientOptions {
    /// A kubeconfig to use; without it `KUBECONFIG`, `~/.kube/config` and the pod's ServiceAccount
    /// are tried, in this order.
    pub kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig; without it its current one.
    pub context: Option<String>,
}

/// A client, made without asking the API server anything.
///
/// # Errors
/// If there is no usable configuration.
pub async fn client(options: ClientOptions) -> Result<Client, Error> {
    let config = bounded(options).await?;
    tracing::info!(url = %config.cluster_url, "kubernetes-client");
    connect(config)
}

/// The configuration that leads there, with our limits.
pub(crate) async fn bounded(options: ClientOptions) -> Result<Config, Error> {
    let mut config = config(options).await?;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.read_timeout = Some(READ_TIMEOUT);
    // The time a pooled connection sat idle must not count against the next answer on it.
    config.reset_reader_on_write = true;
    Ok(config)
}

pub(crate) fn connect(config: Config) -> Result<Client, Error> {
    install_tls_provider();
    let url = config.cluster_url.to_string();
    Client::try_from(config).map_err(|source| Error::Client { url, source: Box::new(source) })
}

async fn config(options: ClientOptions) -> Result<Config, Error> {
    let ClientOptions { kubeconfig, context } = options;
    let place = kubeconfig.as_ref().map_or_else(|| "in use".to_owned(), |path| path.display().to_string());
    let unreadable = |source| Error::Kubeconfig { path: place.clone(), source };
    let read = match (kubeconfig, &context) {
        (Some(path), _) => Kubeconfig::read_from(&path),
        (None, Some(_)) => Kubeconfig::read(),
        (None, None) => return Config::infer().await.map_err(Error::NoConfig),
    };
    let options = KubeConfigOptions { context, ..KubeConfigOptions::default() };
    Config::from_custom_kubeconfig(read.map_err(unreadable)?, &options).await.map_err(unreadable)
}

/// Makes ring the process's TLS provider; a second call changes nothing. rustls panics where it has
/// to choose one of several, or finds none.
pub fn install_tls_provider() {
    // An error says that there is one already: ours, for no other is in the build.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_kubeconfig_that_is_not_there_is_named() {
        let options = ClientOptions { kubeconfig: Some("/nonexistent/kubeconfig".into()), context: None };
        let Err(error) = client(options).await else { panic!("there is no such file") };
        assert_eq!(error.to_string(), "cannot read the kubeconfig /nonexistent/kubeconfig");
        assert_eq!(error.reason(), "KubeconfigUnreadable");
    }
}
