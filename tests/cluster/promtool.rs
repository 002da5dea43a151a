//! `promtool`, Prometheus' checker of metrics and rules.
//!
//! The program is that of `MAGLEV_PROMTOOL`, else the one on the PATH, else Debian's, which is downloaded once into
//! `target/promtool` without being installed.

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
    let program = PROMTOOL.get_or_init(find_program).await;
    run(Command::new(program).args(args), stdin).await
}

async fn find_program() -> PathBuf {
    if let Some(program) = std::env::var_os("MAGLEV_PROMTOOL") {
        return program.into();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|dir| dir.join("promtool")).find(|file| file.is_file());
    if let Some(program) = on_path {
        return program;
    }
    let target = maglev_testkit::target_directory();
    let unpacked = target.join("promtool");
    let program = unpacked.join("usr/bin/promtool");
    if !program.is_file() {
        download(&unpacked).await.unwrap_or_else(|error| {
            panic!("promtool is not available: install Debian's package prometheus or set MAGLEV_PROMTOOL to its path ({error})")
        });
    }
    program
}

/// Downloads Debian's package and unpacks it into `directory`.
async fn download(directory: &Path) -> Result<(), String> {
    let mut temporary = directory.to_owned();
    temporary.as_mut_os_string().push(format!(".{}", std::process::id()));
    fs::create_dir_all(&temporary).map_err(|error| error.to_string())?;
    if apt(&temporary, &["download", "prometheus"]).await.is_err() {
        // Container images often have no package lists.
        apt(&temporary, &["update"]).await?;
        apt(&temporary, &["download", "prometheus"]).await?;
    }
    let is_package = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "deb");
    let mut files = fs::read_dir(&temporary).map_err(|error| error.to_string())?.flatten().map(|entry| entry.path());
    let package = files.find(is_package).ok_or("apt-get download created no .deb file")?;
    run_to_success(Command::new("dpkg-deb").arg("--extract").arg(&package).arg(&temporary)).await?;
    fs::remove_file(package).map_err(|error| error.to_string())?;
    // Fails if another test process has created the directory meanwhile.
    if fs::rename(&temporary, directory).is_err() {
        let _ = fs::remove_dir_all(&temporary);
    }
    Ok(())
}

async fn apt(directory: &Path, args: &[&str]) -> Result<(), String> {
    run_to_success(Command::new("apt-get").args(["--quiet", "--yes"]).args(args).current_dir(directory)).await
}

async fn run_to_success(command: &mut Command) -> Result<(), String> {
    let output = command.kill_on_drop(true).output().await.map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)))
}
