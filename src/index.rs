//! Custom resources in, `model::Config` and per-object problems out; synchronous.
