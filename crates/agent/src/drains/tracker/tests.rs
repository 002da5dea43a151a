use super::*;
use maglev_model::drain::DrainState as S;

const TIMEOUT: Duration = Duration::from_secs(5);

fn vip(port: u16) -> VppVip {
    VppVip { address: [203, 0, 113, 1].into(), length: 32, protocol: 6, port }
}

/// A backend in one VIP, observed once a second. Each observation has a reading of the counter that was made since the
/// previous one.
struct Scene {
    tracker: Tracker,
    start: Instant,
    second: u64,
    reading: ServerReading,
}

impl Scene {
    fn new() -> Self {
        let vips = vec![VipWeight { vip: vip(80), weight: 0, is_settled: true }];
        let counter = Some(PacketCounter { packets: 1000, read_after: None });
        let flow_timeout = Some(TIMEOUT);
        let reading = ServerReading { vips, flows: Some(7), flushed: false, counter, flow_timeout, is_shared: false };
        Self { tracker: Tracker::default(), start: Instant::now(), second: 0, reading }
    }

    fn now(&self) -> Instant {
        self.start + Duration::from_secs(self.second)
    }

    /// The state a second later, after `packets` more packets.
    fn next(&mut self, packets: u64) -> S {
        let before = self.now();
        self.second += 1;
        if let Some(counter) = &mut self.reading.counter {
            *counter = PacketCounter { packets: counter.packets + packets, read_after: Some(before) };
        }
        self.tracker.observe(self.now(), &Observation::Read(self.reading.clone()))
    }

    fn skip(&mut self, seconds: u64) -> S {
        (0..seconds).map(|_| self.next(0)).last().expect("at least a second")
    }

    fn action(&mut self, conf: DrainConf) -> Option<OnDeadline> {
        let now = self.now();
        self.tracker.take_due_action(now, conf)
    }
}

#[test]
fn quiet_after_the_flow_timeout_without_a_packet_although_vpp_counts_expired_flows() {
    let mut scene = Scene::new();
    for _ in 0..20 {
        assert_eq!(scene.next(3), S::FlowsLeft);
    }
    assert_eq!(scene.skip(5), S::FlowsLeft, "the counter was read up to a second before its observation");
    assert_eq!(scene.next(0), S::Quiet);
    assert_eq!(scene.next(1), S::FlowsLeft, "a packet proves that a flow is left");
    assert_eq!(scene.skip(6), S::Quiet);
}

#[test]
fn not_quiet_while_the_counter_is_not_read_again() {
    let mut scene = Scene::new();
    scene.next(1);
    for _ in 0..60 {
        scene.second += 1;
        let stale = scene.reading.clone();
        assert_eq!(scene.tracker.observe(scene.now(), &Observation::Read(stale)), S::FlowsLeft);
    }
}

#[test]
fn no_tracked_flow_ends_the_drain_at_once() {
    let mut scene = Scene::new();
    scene.reading.flows = Some(0);
    assert_eq!(scene.next(1), S::NoFlows);
    scene.reading.flows = None;
    assert_eq!(scene.next(0), S::FlowsLeft, "an unknown number is not 0");
}

#[test]
fn weight_must_be_read_back_in_every_vip() {
    let mut scene = Scene::new();
    scene.reading.flows = Some(0);
    scene.reading.vips.push(VipWeight { vip: vip(443), weight: 0, is_settled: false });
    assert_eq!(scene.next(0), S::WeightPending);
    scene.reading.vips[0].is_settled = false;
    scene.reading.vips[1].is_settled = true;
    assert_eq!(scene.next(0), S::NoFlows, "steps for other servers of a VIP do not matter once weight 0 was read back");
    scene.reading.vips[1].weight = 10;
    assert_eq!(scene.next(0), S::WeightPending);
    scene.reading.vips[1].weight = 0;
    assert_eq!(scene.next(0), S::WeightPending, "the first VIP was not read back since");
    scene.reading.vips[0].is_settled = true;
    assert_eq!(scene.next(0), S::NoFlows);
}

#[test]
fn weight_above_0_starts_the_silence_again() {
    let mut scene = Scene::new();
    assert_eq!(scene.skip(6), S::FlowsLeft);
    scene.reading.vips[0].weight = 1;
    assert_eq!(scene.next(0), S::WeightPending);
    scene.reading.vips[0].weight = 0;
    assert_eq!(scene.skip(6), S::FlowsLeft);
    assert_eq!(scene.next(0), S::Quiet);
}

#[test]
fn unknown_without_counters_session_or_weights() {
    let mut scene = Scene::new();
    scene.reading.counter = None;
    assert_eq!(scene.skip(60), S::NoCounters);
    let now = scene.now();
    assert_eq!(scene.tracker.observe(now, &Observation::Unread), S::NoCounters);
    assert_eq!(scene.tracker.observe(now, &Observation::Weightless), S::WeightsUnsupported);
    scene.reading.flows = Some(0);
    assert_eq!(scene.next(0), S::NoFlows, "0 flows need no counter");
}

#[test]
fn longest_flow_timeout_of_the_drain_counts() {
    let mut scene = Scene::new();
    scene.next(1);
    scene.reading.flow_timeout = Some(TIMEOUT / 5);
    assert_eq!(scene.skip(5), S::FlowsLeft);
    assert_eq!(scene.next(0), S::Quiet);
}

#[test]
fn flushed_server_is_drained_until_a_packet_proves_the_opposite() {
    let mut scene = Scene::new();
    assert_eq!(scene.next(9), S::FlowsLeft);
    scene.reading.flushed = true;
    assert_eq!(scene.next(9), S::Flushed, "packets before the flush");
    assert_eq!(scene.next(0), S::Flushed);
    assert_eq!(scene.next(1), S::FlowsLeft);
    scene.reading.flushed = false;
    scene.next(0);
    (scene.reading.flushed, scene.reading.is_shared) = (true, true);
    assert_eq!([scene.next(5), scene.next(5)], [S::Flushed; 2], "the packets may be those of another VIP");
}

#[test]
fn deadline_counts_from_weight_0_and_acts_once_for_each_setting() {
    let conf = |seconds, on_deadline| DrainConf { deadline: Some(Duration::from_secs(seconds)), on_deadline };
    let flush = conf(10, OnDeadline::Flush);
    let mut scene = Scene::new();
    scene.reading.vips[0].weight = 10;
    for _ in 0..20 {
        scene.next(1);
    }
    assert_eq!(scene.action(flush), None, "new flows are still admitted");
    scene.reading.vips[0].weight = 0;
    for _ in 0..10 {
        scene.next(1);
        assert_eq!(scene.action(flush), None);
    }
    scene.next(1);
    assert!(scene.tracker.is_overdue(scene.now(), flush));
    assert_eq!([scene.action(flush), scene.action(flush)], [Some(OnDeadline::Flush), None]);
    assert_eq!(scene.action(DrainConf::default()), None);
    assert_eq!(scene.action(conf(100, OnDeadline::Flush)), None);
    assert_eq!(scene.action(conf(5, OnDeadline::Keep)), Some(OnDeadline::Keep));
}

#[test]
fn nothing_is_left_to_do_at_the_deadline_of_a_drain_that_has_ended() {
    let conf = DrainConf { deadline: Some(Duration::from_secs(8)), on_deadline: OnDeadline::Flush };
    let mut scene = Scene::new();
    assert_eq!(scene.skip(12), S::Quiet);
    assert!(!scene.tracker.is_overdue(scene.now(), conf));
    assert_eq!(scene.action(conf), None);
    scene.next(1);
    assert_eq!(scene.action(conf), None, "the action is not made up for");
}
