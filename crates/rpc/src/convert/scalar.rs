//! Times, durations, addresses and checked numbers.

use std::{net::IpAddr, num::NonZeroU16, time::Duration};

use jiff::Timestamp;

use super::Malformed;

const NANOSECONDS: i32 = 1_000_000_000;

pub fn time(time: Timestamp) -> prost_types::Timestamp {
    // Before 1970 both parts are negative in jiff; in messages nanoseconds are never negative.
    let (seconds, nanos) = (time.as_second(), time.subsec_nanosecond());
    match nanos < 0 {
        true => prost_types::Timestamp { seconds: seconds - 1, nanos: nanos + NANOSECONDS },
        false => prost_types::Timestamp { seconds, nanos },
    }
}

pub fn read_time(time: Option<prost_types::Timestamp>, field: &'static str) -> Result<Timestamp, Malformed> {
    let prost_types::Timestamp { seconds, nanos } = time.ok_or(Malformed::missing(field))?;
    Timestamp::new(seconds, nanos).map_err(|_| Malformed::new(field, format!("{seconds} s and {nanos} ns")))
}

pub fn duration(duration: Duration) -> Option<prost_types::Duration> {
    let seconds = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    Some(prost_types::Duration { seconds, nanos: i32::try_from(duration.subsec_nanos()).unwrap_or(0) })
}

pub fn read_duration(duration: Option<prost_types::Duration>, field: &'static str) -> Result<Duration, Malformed> {
    let prost_types::Duration { seconds, nanos } = duration.ok_or(Malformed::missing(field))?;
    let checked = u64::try_from(seconds).ok().zip(u32::try_from(nanos).ok().filter(|nanos| *nanos < 1_000_000_000));
    let (seconds, nanos) = checked.ok_or_else(|| Malformed::new(field, format!("{seconds} s and {nanos} ns")))?;
    Ok(Duration::new(seconds, nanos))
}

pub fn read_address(address: &str, field: &'static str) -> Result<IpAddr, Malformed> {
    address.parse().map_err(|_| Malformed::new(field, address))
}

/// An address of one family; empty = none.
pub fn read_optional_address<A: std::str::FromStr>(address: &str, field: &'static str) -> Result<Option<A>, Malformed> {
    (!address.is_empty()).then(|| address.parse().map_err(|_| Malformed::new(field, address))).transpose()
}

/// Empty without an address.
pub fn text(address: Option<impl ToString>) -> String {
    address.map(|address| address.to_string()).unwrap_or_default()
}

pub fn number<N: TryFrom<u32>>(number: u32, field: &'static str) -> Result<N, Malformed> {
    N::try_from(number).map_err(|_| Malformed::new(field, number.to_string()))
}

pub fn port(port: u32, field: &'static str) -> Result<NonZeroU16, Malformed> {
    NonZeroU16::new(number(port, field)?).ok_or_else(|| Malformed::new(field, "0"))
}
