//! Who may change things, from the flags.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use kube::Client;
use maglev_dashboard::{self as dashboard, AdminOptions};
use maglev_kube::{ClientOptions, UserClients};

use crate::flags::{AdminMode, Flags};

/// Where Kubernetes is asked.
pub async fn options(
    flags: &Flags,
    client: &Client,
    kubernetes: ClientOptions,
) -> anyhow::Result<Option<AdminOptions>> {
    let mode = match flags.admin_mode {
        AdminMode::Off => return Ok(None),
        AdminMode::Basic => {
            let credentials_dir = flags.admin_credentials_dir.clone().context("--admin-credentials-dir is absent")?;
            dashboard::AdminMode::Basic { credentials_dir, client: client.clone() }
        }
        AdminMode::Token => dashboard::AdminMode::Token(UserClients::new(kubernetes).await?),
    };
    let key_file = flags.admin_key_file.clone().context("--admin-key-file is absent")?;
    Ok(Some(AdminOptions { mode, key_file, clock: Arc::new(jiff::Timestamp::now) }))
}

/// Where it is not.
pub fn without_kubernetes(flags: &Flags) -> anyhow::Result<Option<AdminOptions>> {
    if flags.admin_mode != AdminMode::Off {
        bail!("changes are written to the API server: --admin-mode needs --server to be left out");
    }
    Ok(None)
}
