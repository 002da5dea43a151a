//! Parser of the sticky tables in the output of `show lb`.
//!
//! ```text
//! core 1
//!   timeout: 40s
//!   usage: 1705 / 1027
//! ```
//!
//! The second number is not the capacity: because of a wrong macro, VPP prints the number of buckets plus 3, while each
//! bucket has room for 4 flows.

use maglev_model::counters::StickyTable;

/// Flows per bucket (VPP `LBHASH_ENTRY_PER_BUCKET`).
const FLOWS_PER_BUCKET: u64 = 4;

/// Parses the sticky tables in the output of [`super::SHOW_LB`], in the order of the threads. A thread without a table,
/// which has not forwarded a packet to a VIP, is not in the text. Unparsable lines are left out.
pub fn parse_sticky_tables(text: &str) -> Vec<StickyTable> {
    let mut thread = None;
    let mut tables = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let words: [Option<&str>; 5] = std::array::from_fn(|_| words.next());
        match words {
            [Some("core"), Some(number), None, ..] => thread = number.parse().ok(),
            [Some("usage:"), Some(entries), Some("/"), Some(size), None] => {
                tables.extend(thread.take().and_then(|thread| sticky_table(thread, entries, size)));
            }
            _ => {}
        }
    }
    tables
}

fn sticky_table(thread: u32, entries: &str, size: &str) -> Option<StickyTable> {
    let buckets = size.parse::<u64>().ok()?.checked_sub(FLOWS_PER_BUCKET - 1).filter(|buckets| *buckets > 0)?;
    let capacity = buckets.checked_mul(FLOWS_PER_BUCKET)?;
    Some(StickyTable { thread, entries: entries.parse().ok()?, capacity })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCES: &str =
        "lb_main ip4-src-address: 192.0.2.254 \n ip6-src-address: 2001:db8::254 \n #vips: 2\n #ass: 1\n";

    #[test]
    fn capacity_is_four_flows_per_bucket() {
        let text = format!(
            "{SOURCES}core 1\n  timeout: 40s\n  usage: 1705 / 1027\ncore 2\n  timeout: 40s\n  usage: 0 / 65539\n"
        );
        let tables = [
            StickyTable { thread: 1, entries: 1705, capacity: 4096 },
            StickyTable { thread: 2, entries: 0, capacity: 262_144 },
        ];
        assert_eq!(parse_sticky_tables(&text), tables);
        assert_eq!(parse_sticky_tables(SOURCES), [], "no thread has a table yet");
    }

    #[test]
    fn unparsable_tables_are_left_out() {
        for usage in ["usage: many / 1027", "usage: 5 / 3", "usage: 5 of 1027", "usage: 5 / 18446744073709551615"] {
            let text = format!("core 0\n  {usage}\ncore 3\n  usage: 7 / 4\n");
            let table = StickyTable { thread: 3, entries: 7, capacity: 4 };
            assert_eq!(parse_sticky_tables(&text), [table], "{usage}");
        }
        assert_eq!(parse_sticky_tables("  usage: 5 / 1027\ncore x\n  usage: 5 / 1027\n"), []);
    }
}
