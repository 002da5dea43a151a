//! The program `vpp` and the directory of its plugins.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::SandboxError;

/// The plugins that are enabled: the load balancer, and the driver of the interface.
pub const PLUGINS: [&str; 2] = ["lb_plugin.so", "af_packet_plugin.so"];

/// A VPP that is installed, or in its build directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VppProgram {
    binary: PathBuf,
    plugins: PathBuf,
}

impl VppProgram {
    /// Finds the program and its plugins. The directory of the plugins, unless given, is `../lib/vpp_plugins` or
    /// `../lib/*/vpp_plugins` as seen from the directory of the program, such as `/usr/lib/x86_64-linux-gnu/vpp_plugins`.
    ///
    /// # Errors
    /// The program, the directory or a plugin does not exist.
    pub fn find(binary: &Path, plugins: Option<&Path>) -> Result<Self, SandboxError> {
        let usage = |message| SandboxError::Usage { message };
        let binary = binary.canonicalize().map_err(SandboxError::file("find", binary))?;
        if !binary.is_file() {
            return Err(usage(format!("{} is not a program", binary.display())));
        }
        let directory = match plugins {
            Some(given) => given.canonicalize().map_err(SandboxError::file("find", given))?,
            None => directory_of_plugins(&binary).ok_or_else(|| {
                usage(format!("no plugins found for {}: set --vpp-plugins DIR (vpp_plugins)", binary.display()))
            })?,
        };
        match PLUGINS.iter().find(|plugin| !directory.join(plugin).is_file()) {
            None => Ok(Self { binary, plugins: directory }),
            Some(plugin) => Err(usage(format!(
                "{} lacks {plugin}: install VPP's plugins, or set --vpp-plugins DIR",
                directory.display()
            ))),
        }
    }

    pub fn binary(&self) -> &Path {
        &self.binary
    }

    pub fn plugins(&self) -> &Path {
        &self.plugins
    }
}

fn directory_of_plugins(binary: &Path) -> Option<PathBuf> {
    let root = binary.parent()?.parent()?;
    let libraries = ["lib", "lib64"].map(|name| root.join(name));
    let nested = libraries.iter().filter_map(|library| fs::read_dir(library).ok()).flatten().flatten();
    let candidates = libraries.iter().cloned().chain(nested.map(|entry| entry.path()));
    candidates.map(|library| library.join("vpp_plugins")).find(|directory| directory.is_dir())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: PathBuf) -> PathBuf {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, "").unwrap();
        path
    }

    #[test]
    fn plugins_are_found_beside_the_program_and_required() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let binary = file(root.join("bin/vpp"));
        let refusal = |plugins| VppProgram::find(&binary, plugins).unwrap_err().to_string();
        assert!(refusal(None).starts_with("no plugins found for "), "{}", refusal(None));
        let plugins = root.join("lib/x86_64-linux-gnu/vpp_plugins");
        file(plugins.join("af_packet_plugin.so"));
        assert!(refusal(None).contains("vpp_plugins lacks lb_plugin.so: "), "{}", refusal(None));
        file(plugins.join("lb_plugin.so"));
        assert_eq!(VppProgram::find(&binary, None).unwrap().plugins(), plugins);
        assert_eq!(VppProgram::find(&binary, Some(&plugins)).unwrap().binary(), binary);
        assert!(refusal(Some(&root)).contains("lacks lb_plugin.so"));
        let missing = VppProgram::find(&root.join("bin/none"), None).unwrap_err().to_string();
        assert!(missing.starts_with("cannot find ") && missing.ends_with("bin/none"), "{missing}");
    }
}
