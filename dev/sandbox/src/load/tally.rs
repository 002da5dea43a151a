//! The results of all flows.

use std::{cell::RefCell, collections::BTreeMap, fmt::Write as _, time::Duration};

use super::latency::Latencies;

/// The results of a load so far.
#[derive(Debug, Default)]
pub struct Tally(RefCell<Counts>);

#[derive(Debug, Default)]
struct Counts {
    requests: u64,
    /// Responses with another status than 200.
    errors: u64,
    /// Connections that could not be opened, or that broke before the first response.
    failed_opens: u64,
    last_failure: Option<String>,
    latencies: Latencies,
    backends: BTreeMap<String, BackendCounts>,
}

#[derive(Debug, Default)]
struct BackendCounts {
    /// Connections whose first response came from this backend.
    flows: u64,
    requests: u64,
    errors: u64,
    broken: u64,
}

impl Tally {
    /// A response of `backend`, the first one of its flow or a later one.
    pub fn response(&self, backend: &str, is_first: bool, is_ok: bool, latency: Duration) {
        let counts = &mut *self.0.borrow_mut();
        counts.requests += 1;
        counts.errors += u64::from(!is_ok);
        counts.latencies.add(latency);
        let backend = counts.backends.entry(backend.to_owned()).or_default();
        backend.requests += 1;
        backend.flows += u64::from(is_first);
        backend.errors += u64::from(!is_ok);
    }

    /// A flow of `backend` has broken; one without a backend could not be opened.
    pub fn broken(&self, backend: Option<&str>, error: String) {
        let counts = &mut *self.0.borrow_mut();
        match backend {
            Some(backend) => counts.backends.entry(backend.to_owned()).or_default().broken += 1,
            None => counts.failed_opens += 1,
        }
        counts.last_failure = Some(error);
    }

    /// A line with the totals so far.
    pub fn progress(&self, elapsed: Duration) -> String {
        format!("{:>5.0}s  {}", elapsed.as_secs_f64(), self.0.borrow().totals())
    }

    /// The totals and a table of the backends.
    pub fn summary(&self, elapsed: Duration) -> String {
        let counts = self.0.borrow();
        let mut text = format!("\n{:.1}s  {}\n\n", elapsed.as_secs_f64(), counts.totals());
        let flows: u64 = counts.backends.values().map(|backend| backend.flows).sum();
        let row = format!(
            "{:<12} {:>8} {:>8} {:>10} {:>8} {:>8}",
            "BACKEND", "FLOWS", "SHARE", "REQUESTS", "ERRORS", "BROKEN"
        );
        text.push_str(&row);
        for (name, backend) in &counts.backends {
            let BackendCounts { flows: own, requests, errors, broken } = backend;
            let share = format!("{}.{} %", own * 100 / flows.max(1), own * 1000 / flows.max(1) % 10);
            // Writing to a string cannot fail.
            let _ = write!(text, "\n{name:<12} {own:>8} {share:>8} {requests:>10} {errors:>8} {broken:>8}");
        }
        if let Some(failure) = &counts.last_failure {
            let _ = write!(text, "\n\nlast failure: {failure}");
        }
        text
    }
}

impl Counts {
    fn totals(&self) -> String {
        let broken: u64 = self.backends.values().map(|backend| backend.broken).sum();
        let millis = |part| self.latencies.quantile(part).as_secs_f64() * 1000.0;
        format!(
            "requests {}  errors {}  broken flows {broken}  failed opens {}  p50 {:.1} ms  p99 {:.1} ms",
            self.requests,
            self.errors,
            self.failed_opens,
            millis(0.5),
            millis(0.99)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn summary_has_totals_shares_and_the_last_failure() {
        let tally = Tally::default();
        tally.response("web-1", true, true, Duration::from_millis(2));
        tally.response("web-1", false, false, Duration::from_millis(2));
        tally.response("web-2", true, true, Duration::from_millis(2));
        tally.response("web-2", true, true, Duration::from_millis(2));
        tally.broken(Some("web-1"), "connection reset".to_owned());
        tally.broken(None, "connection refused".to_owned());
        let summary = tally.summary(Duration::from_secs(3));
        let lines: Vec<_> = summary.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(lines[1], "3.0s requests 4 errors 1 broken flows 1 failed opens 1 p50 2.0 ms p99 2.0 ms");
        assert_eq!(lines[4..6], ["web-1 1 33.3 % 2 1 1", "web-2 2 66.6 % 2 0 0"]);
        assert_eq!(lines.last().unwrap(), "last failure: connection refused");
    }
}
