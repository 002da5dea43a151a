//! The stats segment: recorded from a real VPP, damaged copies, and the simulator's, read by this client and by an
//! independent client.

mod broken;
mod independent;
mod recorded;
mod simulated;

use std::collections::BTreeMap;

use maglev_vpp::stats::{Counter, StatsError, Value, View};
use serde_json::{Value as Json, json};

/// A value in the notation of `vpp_papi`, which the expectations use.
fn plain(value: Value) -> Json {
    let pair = |counter: Counter| json!([counter.packets, counter.bytes]);
    let pairs = |counters: Vec<Counter>| counters.into_iter().map(pair).collect::<Json>();
    match value {
        Value::Scalar(number) => json!(number),
        Value::Simple(threads) => json!(threads),
        Value::Combined(threads) => threads.into_iter().map(pairs).collect(),
        Value::Names(names) => json!(names),
        Value::SimpleColumn(threads) => json!(threads),
        Value::CombinedColumn(threads) => pairs(threads),
        Value::Empty | Value::Unknown(_) => Json::Null,
    }
}

/// All values of the directory by name.
fn everything(view: &View<'_>) -> Result<BTreeMap<String, Json>, StatsError> {
    view.entries().map(|(name, entry)| Ok((name, plain(view.value(entry)?)))).collect()
}
