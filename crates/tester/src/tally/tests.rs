//! Tests of counting and of the state.

use super::*;

const MS: Duration = Duration::from_millis(1);

/// A tally with a clock that the test sets.
struct Fixture {
    start: Instant,
    tally: Tally,
}

impl Fixture {
    fn new() -> Self {
        let start = Instant::now();
        Self { start, tally: Tally::new(start) }
    }

    /// Adds a flow with these milliseconds of its start and end.
    fn add(&mut self, began: u32, ended: u32, result: Result<Answer, Failure>) -> Option<Change> {
        let (began, ended) = (self.start + MS * began, self.start + MS * ended);
        self.tally.add(FinishedFlow { began, ended, result }, Timestamp::from_second(1).unwrap())
    }

    fn state(&self, at: u32) -> State {
        self.tally.state(self.start + MS * at)
    }
}

fn answered(backend: &str) -> Result<Answer, Failure> {
    Ok(Answer { backend: Some(backend.to_owned()), error: None })
}

fn failed(error: &str) -> Result<Answer, Failure> {
    Err(Failure::Failed(error.to_owned()))
}

#[test]
fn flows_are_counted_by_backend() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.state(0), State::Pending);
    fixture.add(0, 1, answered("web-1"));
    fixture.add(0, 2, answered("web-2"));
    fixture.add(0, 3, Ok(Answer { backend: Some("web-1".to_owned()), error: Some("status 503".to_owned()) }));
    fixture.add(0, 4, Ok(Answer::default()));
    fixture.add(0, 5, Err(Failure::NotSent("no ports".to_owned())));
    let tally = &fixture.tally;
    assert_eq!((tally.succeeded, tally.failed, tally.not_sent, tally.unnamed, tally.named()), (3, 1, 1, 1, 3));
    assert_eq!(tally.backends["web-1"], BackendFlows { flows: 2, failed: 1 });
    assert_eq!(tally.success_percent(), Some(75.0));
    assert_eq!(tally.errors[0].error, "status 503 from web-1");
    assert_eq!(fixture.state(6), State::Degraded);
    assert_eq!(fixture.state(10_006), State::Ok);
}

#[test]
fn silent_vip_fails_after_a_second_and_recovers_with_the_first_success() {
    let mut fixture = Fixture::new();
    fixture.add(0, 1, answered("web-1"));
    // Every 100 ms a flow that times out after a second.
    assert_eq!(fixture.add(100, 1100, failed("no connection")), None);
    assert_eq!(fixture.add(200, 1200, failed("no connection")), None);
    let change = fixture.add(300, 1300, failed("no connection")).unwrap();
    assert_eq!(change, Change { has_failed: true, after: MS * 1200, error: "no connection".to_owned() });
    assert_eq!(fixture.add(400, 1400, failed("no connection")), None, "it is reported once");
    assert_eq!(fixture.state(1400), State::Failed);
    let change = fixture.add(1500, 1501, answered("web-1")).unwrap();
    assert!(!change.has_failed && change.after == MS * 1401, "{change:?}");
    assert_eq!(fixture.state(1501), State::Degraded);
}

#[test]
fn broken_backend_among_others_degrades_the_vip() {
    let mut fixture = Fixture::new();
    for flow in 0..100 {
        let at = flow * 100;
        let result = if flow % 4 == 0 { answered("web-1") } else { failed("refused") };
        assert_eq!(fixture.add(at, at + 1, result), None);
    }
    assert_eq!(fixture.state(10_000), State::Degraded);
}

#[test]
fn vip_without_any_success_has_failed() {
    let mut fixture = Fixture::new();
    fixture.add(0, 1, failed("refused"));
    assert_eq!(fixture.state(1), State::Failed);
}

#[test]
fn errors_and_backends_are_bounded() {
    let mut fixture = Fixture::new();
    for flow in 0..1000 {
        fixture.add(0, 1, failed(&format!("error {}", flow % 400)));
        fixture.add(0, 1, answered(&format!("web-{flow}")));
    }
    assert_eq!(fixture.tally.errors.len(), KEPT_ERRORS);
    assert_eq!(fixture.tally.errors.last().unwrap().error, "error 199");
    assert_eq!(fixture.tally.backends.len(), MAX_BACKENDS + 1);
    assert_eq!(fixture.tally.backends[OTHER_BACKENDS].flows, 1000 - MAX_BACKENDS as u64);
    fixture.add(0, 1, failed("error 199"));
    assert_eq!(fixture.tally.errors.last().unwrap().count, 2);
}

#[test]
fn latencies_are_those_of_successful_flows() {
    let mut fixture = Fixture::new();
    assert_eq!(fixture.tally.latency(0.5), None);
    for flow in 1..=100 {
        fixture.add(0, flow, answered("web-1"));
    }
    fixture.add(0, 5000, failed("no answer"));
    let [median, p99] = [0.5, 0.99].map(|quantile| fixture.tally.latency(quantile).unwrap());
    assert!((49.0..=51.0).contains(&median) && (98.0..=100.5).contains(&p99), "{median} {p99}");
}
