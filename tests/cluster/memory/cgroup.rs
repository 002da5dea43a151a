//! A memory cgroup for one process, of version 1 or 2.

use std::{fs, io, path::PathBuf, process::Command};

const ROOT: &str = "/sys/fs/cgroup";

/// The names of a version's files.
#[derive(Debug)]
struct Files {
    limit: &'static str,
    /// Limit of memory and swap (version 1), or of swap (version 2). Missing if the kernel does not count swap.
    swap: &'static str,
    usage: &'static str,
    /// Makes the kernel free what it can, above all the page cache, when written.
    reclaim: &'static str,
    peak: &'static str,
    /// Has a line `oom_kill` with the number of killed processes.
    events: &'static str,
}

const V1: Files = Files {
    limit: "memory.limit_in_bytes",
    swap: "memory.memsw.limit_in_bytes",
    usage: "memory.usage_in_bytes",
    reclaim: "memory.force_empty",
    peak: "memory.max_usage_in_bytes",
    events: "memory.oom_control",
};
const V2: Files = Files {
    limit: "memory.max",
    swap: "memory.swap.max",
    usage: "memory.current",
    reclaim: "memory.reclaim",
    peak: "memory.peak",
    events: "memory.events",
};

/// A cgroup below the one of the test, removed when dropped. Its processes must have ended then.
#[derive(Debug)]
pub struct MemoryCgroup {
    dir: PathBuf,
    files: &'static Files,
}

impl MemoryCgroup {
    /// A cgroup without a limit. The error is the reason why this machine allows none.
    pub fn create(name: &str) -> Result<Self, String> {
        let file_name = format!("maglev-{name}-{}", std::process::id());
        let groups = fs::read_to_string("/proc/self/cgroup").map_err(|error| format!("/proc/self/cgroup: {error}"))?;
        let group = |is_own: fn(&str) -> bool| {
            groups.lines().find_map(|line| {
                let (_, line) = line.split_once(':')?;
                let (controllers, path) = line.split_once(':')?;
                is_own(controllers).then(|| path.trim_start_matches('/').to_owned())
            })
        };
        let (parents, files) = match group(|controllers| controllers.split(',').any(|name| name == "memory")) {
            Some(own) => (vec![PathBuf::from(ROOT).join("memory").join(own), PathBuf::from(ROOT).join("memory")], &V1),
            None => {
                let own = group(str::is_empty).unwrap_or_default();
                (vec![PathBuf::from(ROOT).join(own), PathBuf::from(ROOT)], &V2)
            }
        };
        let mut reason = String::from("the kernel has no memory cgroups");
        for parent in parents {
            let dir = parent.join(&file_name);
            match prepare(&parent, &dir, files) {
                Ok(()) => return Ok(Self { dir, files }),
                Err(error) => reason = format!("{}: {error}", dir.display()),
            }
        }
        Err(reason)
    }

    /// A command that starts `program` in the cgroup.
    pub fn command(&self, program: &str) -> tokio::process::Command {
        let mut command = Command::new("sh");
        let enter = r#"echo $$ > "$0" && exec "$@""#;
        command.args(["-c", enter]).arg(self.dir.join("cgroup.procs")).arg(program);
        command.into()
    }

    /// Sets the limit of memory, without swap.
    pub fn set_limit(&self, bytes: u64) {
        let swap = if self.files.swap == V1.swap { bytes } else { 0 };
        // Missing if the kernel does not count swap. In version 1 this limit is never below the other one, so it is raised
        // before and lowered after that.
        let set_swap = || drop(fs::write(self.dir.join(self.files.swap), swap.to_string()));
        set_swap();
        fs::write(self.dir.join(self.files.limit), bytes.to_string()).unwrap();
        set_swap();
    }

    /// Sets the limit to `room` above the present use.
    pub fn limit_growth(&self, room: u64) {
        // Fails if not all of it can be freed, and in old kernels.
        let _ = fs::write(self.dir.join(self.files.reclaim), self.usage().to_string());
        self.set_limit(self.usage() + room);
    }

    /// Bytes in use, the page cache included.
    pub fn usage(&self) -> u64 {
        self.number(self.files.usage)
    }

    /// The highest use so far.
    pub fn peak(&self) -> u64 {
        self.number(self.files.peak)
    }

    /// Number of processes that the kernel killed because of the limit.
    pub fn kills(&self) -> u64 {
        let text = fs::read_to_string(self.dir.join(self.files.events)).unwrap();
        text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.parse().ok()).expect("the kernel counts kills")
    }

    fn number(&self, file: &str) -> u64 {
        fs::read_to_string(self.dir.join(file)).unwrap().trim().parse().unwrap()
    }
}

/// Creates the directory `dir`, and checks that it has limits.
fn prepare(parent: &std::path::Path, dir: &std::path::Path, files: &Files) -> io::Result<()> {
    if files.limit == V2.limit {
        // Fails if the controller is enabled already by another owner, or cannot be: the check below decides.
        let _ = fs::write(parent.join("cgroup.subtree_control"), "+memory");
    }
    fs::create_dir(dir)?;
    let has_limit = fs::OpenOptions::new().write(true).open(dir.join(files.limit));
    has_limit.map(drop).inspect_err(|_| {
        let _ = fs::remove_dir(dir);
    })
}

impl Drop for MemoryCgroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.dir);
    }
}
