//! How long ago something was, as kubectl says it.

use jiff::Timestamp;

/// `12s`, `5m`, `3h20m`, `4d`: the larger of units, and the next one while that matters.
pub fn age(since: Timestamp, now: Timestamp) -> String {
    let seconds = now.as_second().saturating_sub(since.as_second()).max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..600 if seconds % 60 > 0 => format!("{minutes}m{}s", seconds % 60),
        120..10_800 => format!("{minutes}m"),
        10_800..28_800 if minutes % 60 > 0 => format!("{hours}h{}m", minutes % 60),
        10_800..172_800 => format!("{hours}h"),
        _ => format!("{days}d"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_get_coarser_as_they_grow() {
        let of = |seconds: i64| {
            let now = Timestamp::from_second(1_000_000_000).unwrap();
            age(Timestamp::from_second(1_000_000_000 - seconds).unwrap(), now)
        };
        let ages = [0, 59, 119, 120, 121, 600, 601, 10_799, 10_800, 10_860, 28_800, 172_799, 172_800].map(of);
        let wanted = ["0s", "59s", "119s", "2m", "2m1s", "10m", "10m", "179m", "3h", "3h1m", "8h", "47h", "2d"];
        assert_eq!(ages, wanted);
        assert_eq!(of(-5), "0s", "a clock that runs ahead makes nobody younger");
    }
}
