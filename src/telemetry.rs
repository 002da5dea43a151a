//! Log, event bus and metrics.
