//! One session with VPP: the picture of what it has, what is under way, and what is to be done.
//!
//! Everything here ends with the session. The picture is VPP's last dump plus each step that it
//! acknowledged since; requests are numbered, so that a dump is never mistaken for newer or older
//! than a step.

mod outcomes;
mod pass;
mod planning;
mod retries;
mod turns;
mod unread;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};

use futures::{
    FutureExt, StreamExt,
    future::{BoxFuture, OptionFuture},
    stream::FuturesUnordered,
};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use self::{pass::Pass, retries::Retries, turns::Turns};
use super::{
    brain::Brain,
    dataplane::{Answer, Dataplane, DataplaneError, Ended},
    job::{JobDone, Order},
    slice::Slice,
    warmup::Gate,
};
use maglev_model::{
    actual::{Actual, ActualConf, LbDump, VppVip},
    plan::Step,
};

/// Steps under way at once, so that work for an event never waits behind a long pass.
const WINDOW: usize = 64;

/// How long after the last step the verifying dump follows.
const VERIFY_AFTER: Duration = Duration::from_millis(500);

/// How long after a read that failed the next one follows.
const READ_AGAIN: Duration = Duration::from_secs(1);

/// How often VPP is asked for a sign of life.
const PING_EVERY: Duration = Duration::from_secs(10);

/// A session with VPP.
pub struct Connection {
    dataplane: Arc<dyn Dataplane>,
    closed: BoxFuture<'static, Ended>,
    order: Order,
    picture: Option<Picture>,
    reading: Option<Reading>,
    /// The next read, and whether it is for everything.
    read_due: Option<Depth>,
    jobs: FuturesUnordered<BoxFuture<'static, JobDone>>,
    turns: Turns,
    /// Addresses written since they were last read, each with its last step's number.
    unverified: BTreeMap<IpAddr, u64>,
    pass: Option<Pass>,
    /// Addresses with a VIP whose backends are not all known yet, during the warm-up.
    warming: BTreeSet<IpAddr>,
    retries: Retries,
    foreign_told: BTreeSet<VppVip>,
    unread_told: BTreeSet<&'static str>,
    ping: Option<Answer<()>>,
    next_ping: Instant,
    next_pass: Instant,
    verify_at: Option<Instant>,
    /// VPP's own settings were compared with what they should be, and may be relied on.
    conf_settled: bool,
    /// A pass has ended in which not every step failed.
    synced: bool,
}

/// What VPP has.
pub struct Picture {
    conf: ActualConf,
    actual: Actual,
    /// The read's number: steps with a lower one are in it.
    number: u64,
}

struct Reading {
    answer: BoxFuture<'static, Result<(Arc<LbDump>, Actual), DataplaneError>>,
    number: u64,
    depth: Depth,
    /// Steps acknowledged meanwhile that were sent after the read.
    since: Vec<Step>,
}

/// What a read is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Depth {
    /// For the addresses that were written.
    Verify,
    /// For a full pass.
    Pass,
}

/// What happened in a session.
pub enum Happened {
    /// It is over.
    Closed(Ended),
    /// A read was answered.
    Read(Result<(Arc<LbDump>, Actual), DataplaneError>),
    /// A plan was answered.
    Job(Box<JobDone>),
    /// VPP is alive.
    Pong,
}

impl Connection {
    /// A fresh session: everything is read first.
    pub fn new(dataplane: Arc<dyn Dataplane>, now: Instant) -> Self {
        Self {
            closed: dataplane.closed(),
            dataplane,
            order: Order::default(),
            picture: None,
            reading: None,
            read_due: Some(Depth::Pass),
            jobs: FuturesUnordered::new(),
            turns: Turns::default(),
            unverified: BTreeMap::new(),
            pass: None,
            warming: BTreeSet::new(),
            retries: Retries::default(),
            foreign_told: BTreeSet::new(),
            unread_told: BTreeSet::new(),
            ping: None,
            next_ping: now + PING_EVERY,
            next_pass: now,
            verify_at: None,
            conf_settled: false,
            synced: false,
        }
    }

    /// What VPP has, once it was read.
    pub fn actual(&self) -> Option<&Actual> {
        self.picture.as_ref().map(|picture| &picture.actual)
    }

    /// Whether a pass has ended in which not every step failed.
    pub fn synced(&self) -> bool {
        self.synced
    }

    /// Whether the session has had a complete dump.
    pub fn has_read(&self) -> bool {
        self.picture.is_some()
    }

    /// An event touched these addresses.
    pub fn touch(&mut self, addresses: impl IntoIterator<Item = IpAddr>) {
        for address in addresses {
            self.turns.touch(address);
        }
    }

    /// A Frontend changed: what was found out about its VIP under the old spec counts no more.
    pub fn forget_verdicts(&mut self, addresses: &BTreeSet<IpAddr>) {
        self.retries.forget(addresses);
    }

    /// Everything is to be read and planned again, VPP's own settings first.
    pub fn request_pass(&mut self) {
        self.read_due = Some(Depth::Pass);
    }

    /// More may be written than before: what was synced so far is not all.
    pub fn gate_opened(&mut self) {
        self.synced = false;
        self.request_pass();
    }

    /// Waits for the next thing to happen. Safe to drop at any time.
    pub async fn wait(&mut self) -> Happened {
        let reading = OptionFuture::from(self.reading.as_mut().map(|reading| &mut reading.answer));
        let ping = OptionFuture::from(self.ping.as_mut());
        tokio::select! {
            ended = &mut self.closed => Happened::Closed(ended),
            Some(job) = self.jobs.next(), if !self.jobs.is_empty() => Happened::Job(Box::new(job)),
            Some(read) = reading => Happened::Read(read),
            Some(_) = ping => Happened::Pong,
        }
    }

    /// When [`Self::pump`] has something to do, whatever happens.
    pub fn next_timer(&self) -> Instant {
        let mut next = self.next_ping.min(self.next_pass);
        for at in [self.verify_at, self.retries.next()].into_iter().flatten() {
            next = next.min(at);
        }
        next
    }

    /// Looks at the timers.
    fn tick(&mut self, brain: &Brain, now: Instant) {
        if now >= self.next_ping {
            self.next_ping = now + PING_EVERY;
            if self.ping.is_none() {
                self.ping = Some(self.dataplane.ping());
            }
        }
        if now >= self.next_pass {
            self.next_pass = now + brain.sync_interval();
            self.request_pass();
        }
        if self.verify_at.is_some_and(|at| now >= at) {
            self.verify_at = None;
            self.read_due = self.read_due.max(Some(Depth::Verify));
        }
        let due = self.retries.due(now);
        self.touch(due);
    }

    /// The ping was answered.
    pub fn pong(&mut self) {
        self.ping = None;
    }

    /// Starts what can be started now, as much of it as `slice` allows.
    pub fn pump(&mut self, brain: &mut Brain, now: Instant, slice: &mut Slice) {
        self.tick(brain, now);
        self.start_reading(brain);
        if self.picture.is_none() || !self.conf_settled || brain.gate(now) == Gate::Closed {
            return;
        }
        self.touch(brain.recreates.next());
        while slice.has_room()
            && let Some(address) = self.turns.next()
        {
            self.start(brain, now, address, Cause::Event, slice);
        }
        while slice.has_room()
            && self.turns.steps() < WINDOW
            && let Some(address) = self.pass.as_mut().and_then(Pass::next)
        {
            if self.turns.is_busy(address) {
                self.turns.touch(address);
            } else {
                self.start(brain, now, address, Cause::Pass, slice);
            }
        }
        self.finish_pass(brain, now);
        if self.synced && self.warming.is_empty() && !self.turns.is_awaited() {
            brain.warmup.finish();
        }
        brain.save_ours();
    }

    fn start_reading(&mut self, brain: &Brain) {
        if self.reading.is_some() || self.pass.is_some() {
            return;
        }
        if let Some(depth) = self.read_due.take() {
            let number = self.order.next();
            let (conf, actual) = (self.dataplane.conf(), self.dataplane.read());
            // In a task of its own: to take thousands of servers apart must not keep a transition waiting.
            let clock = brain.clock;
            let read = tokio::spawn(async move {
                let (conf, actual) = (conf.await?, actual.await?);
                let dump = Arc::new(LbDump { at: clock(), conf, actual: actual.clone() });
                Ok((dump, actual))
            });
            let read = AbortOnDropHandle::new(read);
            let lost = |error: tokio::task::JoinError| Err(DataplaneError::Swallowed(format!("read: {error}")));
            let answer = async move { read.await.unwrap_or_else(lost) }.boxed();
            self.reading = Some(Reading { answer, number, depth, since: Vec::new() });
        }
    }

    /// A read was answered.
    pub async fn read(
        &mut self,
        brain: &mut Brain,
        answer: Result<(Arc<LbDump>, Actual), DataplaneError>,
        now: Instant,
    ) {
        let Some(reading) = self.reading.take() else { return };
        let (dump, mut actual) = match answer {
            Ok(read) => read,
            // The session is over, which is told apart.
            Err(DataplaneError::Closed(_)) => return,
            // Read again, but not in a hurry: the same may be swallowed every time.
            Err(error) => {
                brain.sync_error(None, "read", &error.to_string());
                match reading.depth {
                    Depth::Pass => self.next_pass = now + READ_AGAIN,
                    Depth::Verify => self.verify_at = Some(now + READ_AGAIN),
                }
                return;
            }
        };
        let conf = dump.conf;
        brain.dump.send_replace(Some(dump));
        for step in &reading.since {
            actual.apply(step);
        }
        let before = self.picture.replace(Picture { conf, actual, number: reading.number });
        self.tell_state(brain, before.as_ref());
        self.tell_unread(brain);
        self.push_conf(brain, now).await;
        let read = self.take_verified(brain, reading.number);
        match reading.depth {
            Depth::Pass => self.begin_pass(brain, now),
            // What failed waits for its retry.
            Depth::Verify => {
                let rest = read.into_iter().filter(|address| !self.retries.waits(*address)).collect::<Vec<_>>();
                self.touch(rest);
            }
        }
    }

    /// The addresses that were written before the read `number`, and are at rest.
    fn take_verified(&mut self, brain: &mut Brain, number: u64) -> BTreeSet<IpAddr> {
        let (verified, rest) = std::mem::take(&mut self.unverified)
            .into_iter()
            .partition(|(address, last)| *last < number && !self.turns.is_busy(*address));
        self.unverified = rest;
        let verified = BTreeMap::into_keys(verified).collect();
        brain.recreates.read_back(&verified);
        verified
    }
}

/// Why an address is planned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Something about it changed, a retry is due, or it was written and read back.
    Event,
    /// A pass over everything.
    Pass,
}
