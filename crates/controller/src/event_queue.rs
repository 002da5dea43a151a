//! The Kubernetes Events that wait to be recorded, one after the other at a limited rate.

use std::collections::VecDeque;

use tokio::{
    task::JoinSet,
    time::{Interval, MissedTickBehavior, interval},
};

use super::{ControllerMetrics, write_queue::WRITE_INTERVAL};
use maglev_kube::{EventNote, EventRecorder, WriteError};

/// Largest number of pending Events; the oldest are dropped.
const MAX_EVENTS: usize = 500;

/// The pending Events of one loop.
pub struct EventQueue {
    recorder: EventRecorder,
    metrics: ControllerMetrics,
    pending: VecDeque<EventNote>,
    /// At most one task.
    publishing: JoinSet<Result<(), WriteError>>,
    ticks: Interval,
}

impl EventQueue {
    pub fn new(recorder: EventRecorder, metrics: ControllerMetrics) -> Self {
        let mut ticks = interval(WRITE_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { recorder, metrics, pending: VecDeque::new(), publishing: JoinSet::new(), ticks }
    }

    /// Adds an Event. It replaces a pending one with the same object and reason.
    pub fn add(&mut self, note: EventNote) {
        let is_same = |pending: &EventNote| {
            (pending.kind, &pending.name, &pending.reason) == (note.kind, &note.name, &note.reason)
        };
        self.pending.retain(|pending| !is_same(pending));
        self.pending.push_back(note);
        if self.pending.len() > MAX_EVENTS {
            self.pending.pop_front();
            self.count("dropped");
        }
    }

    /// Waits for the end of the current recording, or until the next Event may be recorded, and starts that. Has to be called
    /// again and again; nothing is lost if the future is dropped.
    pub async fn publish_next(&mut self) {
        if !self.publishing.is_empty() {
            let result = self.publishing.join_next().await;
            return self.count(if matches!(result, Some(Ok(Ok(())))) { "published" } else { "failed" });
        }
        if self.pending.is_empty() {
            return std::future::pending().await;
        }
        self.ticks.tick().await;
        let Some(note) = self.pending.pop_front() else { return };
        let recorder = self.recorder.clone();
        self.publishing.spawn(async move {
            let result = recorder.publish(&note).await;
            if let Err(error) = &result {
                let (kind, name) = (note.kind.as_str(), note.name.as_str());
                tracing::warn!(kind, name, %error, "cannot record Kubernetes Event");
            }
            result
        });
    }

    fn count(&self, result: &str) {
        self.metrics.events.with_label_values(&[result]).inc();
    }
}
