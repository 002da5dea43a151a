//! Options of sign-in, from the flags.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use kube::Client;
use maglev_dashboard::{SignInMode, SignInOptions};
use maglev_kube::{ClientOptions, UserClients};

use crate::flags::{AdminMode, AuthMode, Flags};

/// The options with a connection to the API server; `None` if nobody signs in.
pub async fn options(
    flags: &Flags,
    client: &Client,
    kubernetes: ClientOptions,
) -> anyhow::Result<Option<SignInOptions>> {
    let mode = match (flags.auth_mode, flags.admin_mode) {
        (AuthMode::None, AdminMode::Off) => return Ok(None),
        (AuthMode::None, AdminMode::Basic) => {
            let credentials_dir = flags.admin_credentials_dir.clone().context("--admin-credentials-dir is missing")?;
            SignInMode::Basic { credentials_dir, client: client.clone() }
        }
        (AuthMode::Token, AdminMode::Basic) => bail!(
            "--auth-mode=token cannot be used with --admin-mode=basic: one sign-in serves reading and changes, so use \
             --admin-mode=token or off"
        ),
        (auth, admin) => {
            let (to_read, to_change) = (auth == AuthMode::Token, admin == AdminMode::Token);
            SignInMode::Token { clients: UserClients::new(kubernetes).await?, to_read, to_change }
        }
    };
    let key_file = flags.admin_key_file.clone().context("--admin-key-file is missing")?;
    Ok(Some(SignInOptions { mode, key_file, clock: Arc::new(jiff::Timestamp::now) }))
}

/// Checks that nobody has to sign in, which requires Kubernetes.
pub fn refuse_without_kubernetes(flags: &Flags) -> anyhow::Result<()> {
    if flags.auth_mode != AuthMode::None {
        bail!("--auth-mode=token cannot be used with --server: the API server decides who may read");
    }
    if flags.admin_mode != AdminMode::Off {
        bail!("--admin-mode cannot be used with --server: changes are written to the API server");
    }
    Ok(())
}
