//! Values of manifests and flags: addresses, durations and ranges of statuses.

use std::{fmt::Debug, str::FromStr};

use maglev_crd as crd;
use maglev_telemetry::server::parse_address;

use crate::{allocated::allocated, corpus::each_input};

const CASES: usize = 30_000;
/// From 0 to a day.
type Duration = crd::Duration<0, 86_400_000>;

/// A value of which the text parses to the same value.
fn round_trip<T: FromStr + Debug + PartialEq>(text: &str, format: impl Fn(T) -> String) -> Option<String> {
    let formatted = format(text.parse().ok()?);
    assert_eq!(formatted.parse().ok(), text.parse::<T>().ok(), "{text:?} is formatted as {formatted:?}");
    Some(formatted)
}

#[test]
fn values_of_manifests_are_parsed_in_bounded_memory_and_survive_the_round_trip() {
    each_input("value", CASES, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        // An error quotes the text.
        let (_, bytes) = allocated(|| text.parse::<crd::Address>().is_ok());
        assert!(bytes <= 256 + 2 * text.len(), "{bytes} bytes for {}", text.len());
        if let Some(address) = round_trip::<crd::Address>(&text, String::from) {
            assert_eq!(address, text, "only the canonical spelling is accepted");
        }
        round_trip::<crd::StatusRange>(&text, |range| range.to_string());
        round_trip::<Duration>(&text, |duration| duration.to_string());
        if let Ok(address) = parse_address(&text) {
            assert_eq!(parse_address(&address.to_string()), Ok(address));
        }
    });
}
