//! Services: the latency from a Service and its EndpointSlices to VPP, and an agent with many of them.
//!
//! `cargo bench --bench services` takes three minutes; `-- services/apply`, `services/changes` or `services/scale` runs one
//! part. `latency.rs` and `scale.rs` describe them, and `benches/README.md` contains results.
#![expect(clippy::print_stdout, reason = "prints the results")]

mod latency;
mod scale;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo bench -- FILTER` passes the filter to every benchmark; `cargo test --benches` only has to build them.
    let filter = arguments.iter().find(|argument| !argument.starts_with('-'));
    let is_selected = |part: &str| filter.is_none_or(|filter| part.contains(filter.as_str()));
    if arguments.iter().any(|argument| argument == "--test") {
        return Ok(());
    }
    let (apply, changes) = (is_selected("services/apply"), is_selected("services/changes"));
    if apply || changes {
        latency::run(apply, changes);
    }
    if is_selected("services/scale") {
        scale::run()?;
    }
    Ok(())
}
