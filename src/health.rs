//! Probes, one file per protocol, and their scheduling.
