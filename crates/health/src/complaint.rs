//! A warning that may be due thousands of times a second and is worth one line a minute.

use std::time::Duration;

use tokio::time::Instant;

/// The least time between two lines.
const PERIOD: Duration = Duration::from_mins(1);

/// Decides when to say the same thing again.
#[derive(Debug, Default)]
pub struct Complaint {
    said: Option<Instant>,
    unsaid: u64,
}

impl Complaint {
    /// `Some` with the number of times that went unsaid meanwhile, when it is time to say it.
    pub fn raise(&mut self, now: Instant) -> Option<u64> {
        if self.said.is_some_and(|said| now < said + PERIOD) {
            self.unsaid += 1;
            return None;
        }
        self.said = Some(now);
        Some(std::mem::take(&mut self.unsaid))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_is_said_once_a_minute_with_what_went_unsaid() {
        let mut complaint = Complaint::default();
        let start = Instant::now();
        assert_eq!(complaint.raise(start), Some(0));
        assert_eq!(complaint.raise(start + Duration::from_secs(1)), None);
        assert_eq!(complaint.raise(start + Duration::from_secs(59)), None);
        assert_eq!(complaint.raise(start + Duration::from_secs(60)), Some(2));
        assert_eq!(complaint.raise(start + Duration::from_secs(120)), Some(0));
    }
}
