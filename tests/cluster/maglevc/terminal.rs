//! A program on a terminal of its own: `script`, of util-linux, makes the terminal.

use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, Command};

use super::super::harness::{LIMIT, eventually};
use super::super::up::Sandbox;

/// A person at a terminal.
pub struct Terminal {
    child: Child,
    keys: ChildStdin,
    screen: Arc<Mutex<Vec<u8>>>,
    /// So much of what was printed has been looked at.
    seen: usize,
}

impl Terminal {
    /// Starts the program with these arguments.
    pub fn start(sandbox: &Sandbox, program: &Path, args: &str, environment: &[(&str, &str)]) -> Self {
        // Without `exec` a shell stands between, which hears of Ctrl-C as well.
        let mut command = Command::new("script");
        command.args(["--quiet", "--flush", "--return", "--command"]).arg(format!("exec {} {args}", program.display()));
        command.arg("/dev/null").env_clear().env("PATH", "/usr/bin:/bin").env("TERM", "xterm-256color");
        command.env("KUBECONFIG", sandbox.dir.join("kubeconfig")).env("HOME", &sandbox.dir);
        command.envs(environment.iter().copied());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).kill_on_drop(true);
        let mut child = command.spawn().expect("script is part of util-linux");
        let (keys, mut printed) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let screen: Arc<Mutex<Vec<u8>>> = Arc::default();
        let copy = Arc::clone(&screen);
        tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = printed.read(&mut buffer).await {
                copy.lock().unwrap().extend_from_slice(&buffer[..count]);
            }
        });
        Self { child, keys, screen, seen: 0 }
    }

    /// Types these keys.
    pub async fn keys(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).await.unwrap();
        self.keys.flush().await.unwrap();
    }

    /// Waits until `text` appears after what was waited for before, and returns what came up to it.
    pub async fn expect(&mut self, text: &str) -> String {
        let (screen, seen) = (Arc::clone(&self.screen), self.seen);
        let found = tokio::time::timeout(LIMIT, async {
            loop {
                let raw = screen.lock().unwrap()[seen..].to_vec();
                if plain(&raw).contains(text) {
                    // What is seen is searched, what was sent is counted.
                    let ends: Vec<usize> = (0..=raw.len()).collect();
                    let end = ends.partition_point(|end| !plain(&raw[..*end]).contains(text));
                    return (end, plain(&raw[..end]));
                }
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        });
        let Ok((end, before)) = found.await else {
            panic!("{text:?} did not appear in {:?}", plain(&self.screen.lock().unwrap()[seen..]))
        };
        self.seen += end;
        before
    }

    /// Everything printed, escapes and all.
    pub fn raw(&self) -> String {
        String::from_utf8_lossy(&self.screen.lock().unwrap()).into_owned()
    }

    /// Its exit status, once it has ended by itself.
    pub async fn ended(&mut self) -> Option<i32> {
        eventually("the program ends", async || self.child.try_wait().unwrap()).await.code()
    }
}

/// Without escapes.
fn plain(raw: &[u8]) -> String {
    anstream::adapter::strip_bytes(raw).into_vec().iter().map(|byte| char::from(*byte)).collect()
}
