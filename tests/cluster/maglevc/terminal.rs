//! Runs a program on a pseudo-terminal, which `script` of util-linux creates.

use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, Command};

use super::super::harness::{LIMIT, eventually};
use super::super::sandbox::Sandbox;

/// A program on a terminal.
pub struct Terminal {
    child: Child,
    keys: ChildStdin,
    output: Arc<Mutex<Vec<u8>>>,
    /// Number of bytes of the output that [`Terminal::expect`] has consumed.
    consumed: usize,
}

impl Terminal {
    /// Starts the program with these arguments, separated by spaces.
    pub fn start(sandbox: &Sandbox, program: &Path, args: &str, environment: &[(&str, &str)]) -> Self {
        // Without `exec` a shell would get Ctrl-C, too.
        let mut command = Command::new("script");
        command.args(["--quiet", "--flush", "--return", "--command"]).arg(format!("exec {} {args}", program.display()));
        command.arg("/dev/null").env_clear().env("PATH", "/usr/bin:/bin").env("TERM", "xterm-256color");
        command.env("KUBECONFIG", sandbox.dir.join("kubeconfig")).env("HOME", &sandbox.dir);
        command.envs(environment.iter().copied());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit()).kill_on_drop(true);
        let mut child = command.spawn().expect("script is part of util-linux");
        let (keys, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let output: Arc<Mutex<Vec<u8>>> = Arc::default();
        let received = Arc::clone(&output);
        tokio::spawn(async move {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = stdout.read(&mut buffer).await {
                received.lock().unwrap().extend_from_slice(&buffer[..count]);
            }
        });
        Self { child, keys, output, consumed: 0 }
    }

    pub async fn keys(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).await.unwrap();
        self.keys.flush().await.unwrap();
    }

    /// Waits until `text` appears in the output that is not consumed yet. Consumes and returns the output up to its
    /// end.
    pub async fn expect(&mut self, text: &str) -> String {
        let (output, consumed) = (Arc::clone(&self.output), self.consumed);
        let appears = tokio::time::timeout(LIMIT, async {
            loop {
                let raw = output.lock().unwrap()[consumed..].to_vec();
                if plain(&raw).contains(text) {
                    // The text is searched without escape sequences; the consumed bytes include them.
                    let ends: Vec<usize> = (0..=raw.len()).collect();
                    let end = ends.partition_point(|end| !plain(&raw[..*end]).contains(text));
                    return (end, plain(&raw[..end]));
                }
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        });
        let Ok((end, before)) = appears.await else {
            panic!("{text:?} did not appear in {:?}", plain(&self.output.lock().unwrap()[consumed..]))
        };
        self.consumed += end;
        before
    }

    /// The whole output with escape sequences.
    pub fn raw(&self) -> String {
        String::from_utf8_lossy(&self.output.lock().unwrap()).into_owned()
    }

    /// Waits until the program ends, and returns its exit status.
    pub async fn ended(&mut self) -> Option<i32> {
        eventually("the program ends", async || self.child.try_wait().unwrap()).await.code()
    }
}

/// The text without escape sequences.
fn plain(raw: &[u8]) -> String {
    anstream::adapter::strip_bytes(raw).into_vec().iter().map(|byte| char::from(*byte)).collect()
}
