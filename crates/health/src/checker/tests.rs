//! Tests of the scheduling with a scripted prober in virtual time: without sockets and real waiting, and the same seed
//! gives the same run.

mod cadence;
mod changes;
mod fixture;
mod health_metric;
mod sharing;
mod starvation;
mod suspicion;
