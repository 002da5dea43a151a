//! The stats segment: a real VPP's, broken copies of it, and the simulator's, with an independent
//! client on the other side.

mod broken;
mod independent;
mod recorded;
mod simulated;

use std::collections::BTreeMap;

use maglev_vpp::stats::{Counter, StatsError, Value, View};
use serde_json::{Value as Json, json};

/// A value as `vpp_papi` prints it, which is how the expectations were written down.
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

/// The whole directory by name.
fn everything(view: &View<'_>) -> Result<BTreeMap<String, Json>, StatsError> {
    view.entries().map(|(name, entry)| Ok((name, plain(view.value(entry)?)))).collect()
}
