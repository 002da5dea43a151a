//! Generates Rust from `proto/`: messages and client, the server, and the descriptors for reflection. Without protoc.

use std::{env, error::Error, fs, path::Path, path::PathBuf};

use prost::Message as _;
use protox::Compiler;

const INCLUDE: &str = "../../proto";
const FILE: &str = "maglev/v1/maglev.proto";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={INCLUDE}");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    let mut compiler = Compiler::new([INCLUDE])?;
    compiler.include_imports(true).include_source_info(true).open_file(FILE)?;
    let descriptors = compiler.file_descriptor_set();
    fs::write(out.join("maglev.v1.descriptors"), descriptors.encode_to_vec())?;

    tonic_prost_build::configure()
        .build_server(false)
        .build_transport(false)
        .out_dir(&out)
        .compile_fds(descriptors.clone())?;

    // The server uses the same messages, except for events, which are encoded once for all watchers, and the state, which
    // is encoded once for all callers.
    let server = out.join("server");
    fs::create_dir_all(&server)?;
    tonic_prost_build::configure()
        .build_client(false)
        .build_transport(false)
        .extern_path(".maglev.v1", "crate::proto")
        .extern_path(".maglev.v1.WatchEventsResponse", "crate::encoded::EncodedResponse")
        .extern_path(".maglev.v1.GetStateResponse", "crate::encoded::EncodedResponse")
        .out_dir(&server)
        .compile_fds(descriptors)?;
    check_written(&server.join("maglev.v1.rs"))
}

/// Checks the output path: with all messages external, the service is the only output.
fn check_written(path: &Path) -> Result<(), Box<dyn Error>> {
    if path.exists() { Ok(()) } else { Err(format!("{} was not generated", path.display()).into()) }
}
