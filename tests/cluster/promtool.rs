//! Prometheus' own judgement: `promtool`.
//!
//! `MAGLEV_PROMTOOL` names one; else one on the PATH is taken; else Debian's is fetched once into `target/promtool`,
//! which installs nothing.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
};

use tokio::{process::Command, sync::OnceCell};

use super::harness::run;

static PROMTOOL: OnceCell<PathBuf> = OnceCell::const_new();

/// Runs `promtool` with `stdin` as its input.
pub async fn promtool(args: &[&str], stdin: &str) -> Output {
    let program = PROMTOOL.get_or_init(find).await;
    run(Command::new(program).args(args), stdin).await
}

async fn find() -> PathBuf {
    if let Some(named) = std::env::var_os("MAGLEV_PROMTOOL") {
        return named.into();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|dir| dir.join("promtool")).find(|file| file.is_file());
    if let Some(found) = on_path {
        return found;
    }
    let target = maglev_testkit::target_directory();
    let unpacked = target.join("promtool");
    let program = unpacked.join("usr/bin/promtool");
    if !program.is_file() {
        fetch(&unpacked).await.unwrap_or_else(|error| {
            panic!("promtool is needed: install Debian's package prometheus, or name it in MAGLEV_PROMTOOL ({error})")
        });
    }
    program
}

/// Unpacks Debian's package into `directory`.
async fn fetch(directory: &Path) -> Result<(), String> {
    let mut making = directory.to_owned();
    making.as_mut_os_string().push(format!(".{}", std::process::id()));
    fs::create_dir_all(&making).map_err(|error| error.to_string())?;
    if apt(&making, &["download", "prometheus"]).await.is_err() {
        // A machine that was made for one task often has no lists.
        apt(&making, &["update"]).await?;
        apt(&making, &["download", "prometheus"]).await?;
    }
    let is_package = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "deb");
    let mut files = fs::read_dir(&making).map_err(|error| error.to_string())?.flatten().map(|entry| entry.path());
    let package = files.find(is_package).ok_or("apt-get has downloaded nothing")?;
    done(Command::new("dpkg-deb").arg("--extract").arg(&package).arg(&making)).await?;
    fs::remove_file(package).map_err(|error| error.to_string())?;
    // Another test process may have been faster.
    if fs::rename(&making, directory).is_err() {
        let _ = fs::remove_dir_all(&making);
    }
    Ok(())
}

async fn apt(directory: &Path, args: &[&str]) -> Result<(), String> {
    done(Command::new("apt-get").args(["--quiet", "--yes"]).args(args).current_dir(directory)).await
}

async fn done(command: &mut Command) -> Result<(), String> {
    let output = command.kill_on_drop(true).output().await.map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)))
}
