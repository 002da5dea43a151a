//! Parts that all probes of one prober share.

use std::sync::Arc;

use rustls::RootCertStore;

use maglev_model::config::ConnectionMode;

use super::kept_connection::ConnectionKeeper;

#[derive(Debug)]
pub struct ProbeContext {
    pub(crate) user_agent: String,
    /// The authorities that are trusted if a HealthCheck has none.
    pub(crate) roots: Arc<RootCertStore>,
    pub(crate) keeper: ConnectionKeeper,
}

impl ProbeContext {
    /// The keeper of the connections of a HealthCheck; `None` if each of its probes opens one.
    pub fn keeper(&self, mode: ConnectionMode) -> Option<ConnectionKeeper> {
        match mode {
            ConnectionMode::New => None,
            ConnectionMode::Reuse => Some(self.keeper.clone()),
        }
    }
}
