//! The line of an application server in the output of [`SHOW_VIPS`](super::SHOW_VIPS).

use super::CliAs;

/// Reads each word once: a node may have hundreds of thousands of these lines.
pub fn application_server(line: &str) -> Option<CliAs> {
    let mut words = line.split_ascii_whitespace();
    let mut last = words.next()?;
    let address = last.parse().ok()?;
    let (mut weight, mut buckets, mut flows, mut dpo) = (None, Number::default(), Number::default(), None);
    for word in words {
        match word.split_once(':') {
            Some(("weight", value)) => weight = weight.or(Some(value)),
            Some(("buckets", value)) => buckets.after = buckets.after.or(Some(value)),
            Some(("flows", value)) => flows.after = flows.after.or(Some(value)),
            Some(("dpo", value)) => dpo = dpo.or(Some(value)),
            None if word == "buckets" => buckets.before = buckets.before.or(Some(last)),
            None if word == "flows" => flows.before = flows.before.or(Some(last)),
            _ => {}
        }
        last = word;
    }
    let removed = match last {
        "used" => false,
        "removed" => true,
        _ => return None,
    };
    Some(CliAs {
        address,
        weight: weight.and_then(|weight| weight.parse().ok()),
        buckets: buckets.value()?,
        flows: flows.value(),
        dpo: dpo.and_then(|dpo| dpo.parse().ok()),
        removed,
    })
}

/// A number in `buckets:317` or, up to 26.06, in `317 buckets`: the first word of each form.
#[derive(Clone, Copy, Debug, Default)]
struct Number<'t> {
    after: Option<&'t str>,
    before: Option<&'t str>,
}

impl Number<'_> {
    fn value(self) -> Option<u32> {
        let value = |word: Option<&str>| word?.parse().ok();
        value(self.after).or_else(|| value(self.before))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::cli::field;

    /// The same, value by value.
    fn application_server_by_value(line: &str) -> Option<CliAs> {
        let number = |unit: &str| -> Option<u32> {
            let (words, units) = (line.split_whitespace(), line.split_whitespace().skip(1));
            let before_unit = || words.zip(units).find(|(_, word)| *word == unit)?.0.parse().ok();
            field(line, &format!("{unit}:")).or_else(before_unit)
        };
        let address = line.split_whitespace().next()?.parse().ok()?;
        let buckets = number("buckets")?;
        let removed = match line.split_whitespace().next_back()? {
            "used" => false,
            "removed" => true,
            _ => return None,
        };
        let (weight, dpo) = (field(line, "weight:"), field(line, "dpo:"));
        Some(CliAs { address, weight, buckets, flows: number("flows"), dpo, removed })
    }

    proptest! {
        #[test]
        fn line_of_a_server_is_parsed_as_value_by_value(
            words in prop::collection::vec(
                prop::sample::select(vec![
                    "weight:7", "weight:300", "buckets:317", "buckets:x", "512", "buckets", "flows:1", "flows", "9", "dpo:18",
                    "dpo:y", "dpo", "used", "removed", "buckets:", ":", "12 buckets", "3 flows",
                ]),
                0..8,
            ),
            last in prop::sample::select(vec!["used", "removed", ""]),
        ) {
            let line = format!("  192.0.2.1 {} {last}", words.join("  "));
            prop_assert_eq!(application_server(&line), application_server_by_value(&line));
        }
    }
}
