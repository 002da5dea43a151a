//! Options for operator changes, from the flags.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use kube::Client;
use maglev_dashboard::{self as dashboard, AdminOptions};
use maglev_kube::{ClientOptions, UserClients};

use crate::flags::{AdminMode, Flags};

/// The options with a connection to the API server.
pub async fn options(
    flags: &Flags,
    client: &Client,
    kubernetes: ClientOptions,
) -> anyhow::Result<Option<AdminOptions>> {
    let mode = match flags.admin_mode {
        AdminMode::Off => return Ok(None),
        AdminMode::Basic => {
            let credentials_dir = flags.admin_credentials_dir.clone().context("--admin-credentials-dir is missing")?;
            dashboard::AdminMode::Basic { credentials_dir, client: client.clone() }
        }
        AdminMode::Token => dashboard::AdminMode::Token(UserClients::new(kubernetes).await?),
    };
    let key_file = flags.admin_key_file.clone().context("--admin-key-file is missing")?;
    Ok(Some(AdminOptions { mode, key_file, clock: Arc::new(jiff::Timestamp::now) }))
}

/// The options without Kubernetes, which allow no changes.
pub fn without_kubernetes(flags: &Flags) -> anyhow::Result<Option<AdminOptions>> {
    if flags.admin_mode != AdminMode::Off {
        bail!("--admin-mode cannot be used with --server: changes are written to the API server");
    }
    Ok(None)
}
