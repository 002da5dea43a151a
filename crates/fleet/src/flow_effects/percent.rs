//! Shares as text.

/// A share with one decimal, such as `12.4 %`. A share above 0 is never shown as 0, and one below 100 never as 100.
pub fn percent_text(percent: f64) -> String {
    match percent {
        percent if percent <= 0.0 => "0 %".to_owned(),
        percent if percent < 0.1 => "< 0.1 %".to_owned(),
        percent if percent >= 100.0 => "100 %".to_owned(),
        percent if percent > 99.9 => "> 99.9 %".to_owned(),
        percent => format!("{percent:.1} %"),
    }
}

/// A share for JSON and YAML, with two decimals.
pub fn rounded_percent(percent: f64) -> f64 {
    (percent * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_and_large_shares_are_not_rounded_away() {
        let texts = [0.0, 0.01, 0.1, 12.44, 99.9, 99.99, 100.0].map(percent_text);
        assert_eq!(texts, ["0 %", "< 0.1 %", "0.1 %", "12.4 %", "99.9 %", "> 99.9 %", "100 %"]);
        assert_eq!(rounded_percent(12.345_6), 12.35);
    }
}
