//! The client of the API server. Called by the binaries, once.
//!
//! The configuration is read as kubectl reads it. A pod's ServiceAccount connects directly, without a proxy.

mod kubeconfig;
mod proxy;
mod watch_pace;

use std::{path::PathBuf, time::Duration};

use kube::{Client, Config, config::Kubeconfig};

pub use kubeconfig::ContextError;
pub use watch_pace::pace_watches;

use super::Error;

/// Limit of the TCP connection and TLS handshake with the API server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection without a byte for this time is closed. A little more than the 175 s after which kube's watcher gives
/// up a watch, so the limit ends only answers that hang.
const READ_TIMEOUT: Duration = Duration::from_secs(180);

/// The address of the API server, and its credentials.
#[derive(Clone, Debug, Default)]
pub struct ClientOptions {
    /// Path of a kubeconfig. Without it `KUBECONFIG`, `~/.kube/config` and the pod's ServiceAccount are tried, in this
    /// order. Files of `KUBECONFIG` that do not exist are skipped.
    pub kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig; by default its current context.
    pub context: Option<String>,
    /// The use of the client.
    pub purpose: ClientPurpose,
}

/// The use of a client, which decides on requests that the API server refuses for now, and on the pace of watches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientPurpose {
    /// Single requests. kube repeats a request that is refused for now (status 429, 503 or 504).
    #[default]
    Requests,
    /// Watches, and requests that are repeated like those of `Requests`. The starts of each watch are paced.
    Service,
    /// Watches of an agent, one of many. Every request is repeated by its watch only, with the watch's backoff: kube's
    /// repetitions would multiply the requests of all agents at an API server that is overloaded.
    Agent,
}

/// Creates a client without sending a request.
///
/// # Errors
/// If there is no usable configuration.
pub async fn client(options: ClientOptions) -> Result<Client, Error> {
    let purpose = options.purpose;
    let mut config = config_with_timeouts(options).await?;
    config.default_retry &= purpose != ClientPurpose::Agent;
    let proxy = config.proxy_url.as_ref().and_then(|proxy| proxy.host()).map(tracing::field::display);
    tracing::info!(url = %config.cluster_url, proxy, "kubernetes client configured");
    let client = connect(config)?;
    Ok(if purpose == ClientPurpose::Requests { client } else { pace_watches(client) })
}

/// The client's configuration with this crate's timeouts.
pub(crate) async fn config_with_timeouts(options: ClientOptions) -> Result<Config, Error> {
    let mut config = config(options).await?;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    config.read_timeout = Some(READ_TIMEOUT);
    // The idle time of a pooled connection must not count towards the timeout of its next answer.
    config.reset_reader_on_write = true;
    Ok(config)
}

pub(crate) fn connect(config: Config) -> Result<Client, Error> {
    install_tls_provider();
    let url = config.cluster_url.to_string();
    Client::try_from(config).map_err(|source| Error::Client { url, source: Box::new(source) })
}

async fn config(options: ClientOptions) -> Result<Config, Error> {
    let ClientOptions { kubeconfig, context, .. } = options;
    let paths = kubeconfig.as_ref().map_or_else(kubeconfig::default_paths, |path| vec![path.clone()]);
    let listed = list(&paths);
    let read = match &kubeconfig {
        Some(path) => Kubeconfig::read_from(path).map(Some).map_err(|error| (path.clone(), error)),
        None => kubeconfig::read_existing(&paths),
    };
    let read = read.map_err(|(path, error)| Error::Kubeconfig { path: list(&[path]), source: error.into() })?;
    let env = |name: &str| std::env::var(name).ok();
    let mut config = match (read, &context) {
        (None, None) => Config::incluster().map_err(|source| Error::NoConfig { paths: listed, source })?,
        (read, _) => kubeconfig::context_config(&read.unwrap_or_default(), context.as_deref(), &env)
            .map_err(|source| Error::Kubeconfig { path: listed, source })?,
    };
    config.apply_debug_overrides();
    Ok(config)
}

fn list(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// Makes ring the TLS provider of the process; a second call changes nothing. rustls panics if it has to choose one of
/// several providers, or has none.
pub fn install_tls_provider() {
    // An error means that a provider is installed already: ring, since the build has no other.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn missing_kubeconfig_is_named_in_the_error() {
        let options = ClientOptions { kubeconfig: Some("/nonexistent/kubeconfig".into()), ..ClientOptions::default() };
        let Err(error) = client(options).await else { panic!("there is no such file") };
        assert_eq!(error.to_string(), "cannot read the kubeconfig /nonexistent/kubeconfig");
        assert_eq!(error.reason(), "KubeconfigUnreadable");
    }
}
