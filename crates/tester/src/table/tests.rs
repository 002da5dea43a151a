//! Tests of the layout.

use std::time::Duration;

use http::HeaderValue;

use super::*;
use crate::{
    expectation::Percent,
    flow::{Answer, Failure, FinishedFlow},
    vip::Vip,
};

const SIZE: Size = Size { columns: 80, rows: 24 };

fn vip(last: u8, start: Instant, results: Vec<Result<Answer, Failure>>) -> (Arc<Target>, Tally) {
    let vip: Vip = format!("http://203.0.113.{last}/").parse().unwrap();
    let address = ([203, 0, 113, last], 80).into();
    let target =
        Target { vip, address, host: HeaderValue::from_static("a"), server_name: "a.example".try_into().unwrap() };
    let mut tally = Tally::new(start);
    for result in results {
        let ended = start + Duration::from_millis(2);
        tally.add(FinishedFlow { began: start, ended, result }, Timestamp::from_second(1_700_000_000).unwrap());
    }
    (Arc::new(target), tally)
}

fn answered(backend: &str) -> Result<Answer, Failure> {
    Ok(Answer { backend: Some(backend.to_owned()), error: None })
}

fn view<'a>(vips: &'a [(Arc<Target>, Tally)], start: Instant) -> View<'a> {
    View { vips, expectation: None, now: start, seconds: 12, rate: 10.0 }
}

fn texts(lines: &[Line], columns: usize) -> Vec<String> {
    lines.iter().map(|line| line.render(columns, false)).collect()
}

#[test]
fn table_shows_backends_shares_and_errors() {
    let start = Instant::now();
    let failed = Err(Failure::Failed("no connection within 1s".to_owned()));
    let results = vec![answered("web-1"), answered("web-1"), answered("web-2"), failed.clone(), failed];
    let vips = [vip(10, start, results), vip(11, start, vec![])];
    assert_eq!(
        texts(&table(view(&vips, start)), 100),
        [
            "VIP / BACKEND         STATE     FLOWS  FAILED  OK / SHARE     P50     P99",
            "http://203.0.113.10/  degraded      5       2      60.0 %  2.0 ms  2.0 ms",
            "  web-1                             2       0      66.7 %",
            "  web-2                             1       0      33.3 %",
            "  22:13:20.000Z  2 × no connection within 1s",
            "http://203.0.113.11/  pending       0       0           -       -       -",
        ]
    );
    let expectation =
        Expectation::new(vec!["web-1=3".parse().unwrap(), "web-2=1".parse().unwrap()], Percent(5.0)).unwrap();
    let lines = texts(&table(View { expectation: expectation.as_ref(), ..view(&vips, start) }), 100);
    assert!(lines[2].ends_with("66.7 %    75.0 %"), "{lines:#?}");
}

#[test]
fn control_characters_of_answers_are_escaped() {
    let start = Instant::now();
    let failed = Err(Failure::Failed("bad \u{1b}[31m\nanswer".to_owned()));
    let vips = [vip(10, start, vec![answered("a\u{1b}[2J\u{202e}"), failed])];
    for has_colour in [false, true] {
        let lines = table(view(&vips, start));
        let text: Vec<String> = lines.iter().map(|line| line.render(200, has_colour)).collect();
        let text = text.join("\n");
        assert!(text.contains("a\\u{1b}[2J\\u{202e}") && text.contains("bad \\u{1b}[31m\\u{a}answer"), "{text}");
        assert!(!text.contains("\u{1b}[2J"), "{text}");
    }
}

#[test]
fn lines_fit_every_width_and_height() {
    let start = Instant::now();
    let vips: Vec<_> = (0..50).map(|last| vip(last, start, vec![answered("web-1"), answered("web-2")])).collect();
    for columns in [0, 1, 2, 10, 40, 79, 200] {
        for rows in [1, 4, 10, 24, 500] {
            let lines = screen(view(&vips, start), Size { columns, rows });
            assert!(lines.len() <= rows.max(4), "{} lines in {rows} rows", lines.len());
            for text in texts(&lines, columns) {
                assert!(text.chars().count() <= columns, "{columns}: {text:?}");
            }
        }
    }
}

#[test]
fn failed_vips_are_first_if_not_all_fit() {
    let start = Instant::now();
    let mut vips: Vec<_> = (0..50).map(|last| vip(last, start, vec![answered("web-1")])).collect();
    let failed = || Err(Failure::Failed("refused".to_owned()));
    vips.push(vip(99, start, vec![failed(), failed()]));
    let lines = texts(&screen(view(&vips, start), SIZE), 80);
    assert!(lines[3].starts_with("http://203.0.113.99/  failed"), "{lines:#?}");
    assert_eq!(lines.last().unwrap(), "82 more lines");
    assert_eq!(lines.len(), SIZE.rows);
}

#[test]
fn cut_lines_end_with_an_ellipsis_and_close_their_style() {
    let line = Line::new("abcdef", Style::new().bold());
    assert_eq!(line.render(4, false), "abc…");
    assert_eq!(line.render(6, false), "abcdef");
    assert_eq!(line.render(4, true), "\u{1b}[1mabc\u{1b}[0m…");
}
