//! Timing of watches and of the reading of certificates.

use std::time::Duration;

use maglev_net::Backoff;

#[derive(Clone, Copy, Debug)]
pub struct Delays {
    /// Requested duration of one watch; the next one resumes where it ended. A connection that died silently is
    /// detected 5 s after this time, so within three minutes.
    pub watch: Duration,
    /// Deletions within this time of the first one are confirmed together.
    pub coalesce: Duration,
    /// Delay before the first retry of a failed request; doubles with each further failure.
    pub retry_min: Duration,
    /// Upper limit of the delay before a retry.
    pub retry_max: Duration,
    /// Interval between two reads of a Secret or ConfigMap with certificates.
    pub certificates: Duration,
    /// The same interval for an object that could not be used.
    pub certificates_missing: Duration,
}

impl Default for Delays {
    fn default() -> Self {
        Self {
            watch: Duration::from_secs(170),
            coalesce: Duration::from_millis(150),
            retry_min: Duration::from_millis(500),
            retry_max: Duration::from_secs(15),
            certificates: Duration::from_mins(1),
            certificates_missing: Duration::from_secs(10),
        }
    }
}

impl Delays {
    /// Delays between failed requests, with jitter. They start over after a minute without a failure.
    pub fn backoff(&self) -> Backoff {
        let pause = self.retry_max + Duration::from_mins(1);
        Backoff::new(self.retry_min, self.retry_max).with_jitter().reset_after(pause)
    }
}
