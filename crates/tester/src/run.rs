//! The loop of a run: starts flows at their times, adds results to the tallies, reports.

use std::{io, sync::Arc, time::Duration};

use http::HeaderValue;
use jiff::Timestamp;
use tokio::{
    task::JoinSet,
    time::{Instant, MissedTickBehavior},
};
use tokio_util::sync::CancellationToken;

use super::{
    answer::BackendMatcher,
    expectation::{Expectation, Percent},
    flow::{Failure, FinishedFlow, FlowClient, Target, TlsSettings},
    output::{End, Format, Output},
    pacer::Pacer,
    table::View,
    tally::Tally,
    target::{TargetError, resolve},
    verdict::Conditions,
    vip::Vip,
};

/// The maximum number of flows at a time. Well below the 28,000 ephemeral ports of Linux's default.
const MAX_IN_FLIGHT: u64 = 8192;
/// File descriptors beside those of flows.
const OTHER_FILES: u64 = 64;

/// The settings of a run.
#[derive(Clone, Debug)]
pub struct Options {
    pub vips: Vec<Vip>,
    /// New flows per second and VIP.
    pub rate: f64,
    /// Flows to each VIP after which the run ends.
    pub count: Option<u64>,
    /// Time after which the run ends.
    pub duration: Option<Duration>,
    /// Time limit of a flow.
    pub timeout: Duration,
    pub matcher: BackendMatcher,
    pub tls: TlsSettings,
    /// Name for the header `Host` and for certificates.
    pub host: Option<String>,
    /// Sent to TCP and UDP servers.
    pub payload: Option<Vec<u8>>,
    pub min_success: Percent,
    pub expectation: Option<Expectation>,
    pub format: Format,
    /// Interval between two reports as JSON.
    pub report_every: Duration,
    pub user_agent: HeaderValue,
}

/// Errors that end a run without a result.
#[derive(Debug, thiserror::Error)]
pub enum TesterError {
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error("cannot write the results")]
    Output(#[from] io::Error),
}

/// Tests the VIPs until the end of the run or `shutdown`. Returns true if every VIP has passed.
///
/// # Errors
/// The name of a VIP cannot be resolved, or standard output is closed.
pub async fn run(options: Options, shutdown: CancellationToken) -> Result<bool, TesterError> {
    let mut targets = Vec::with_capacity(options.vips.len());
    for vip in options.vips.clone() {
        targets.push(resolve(vip, options.host.as_deref()).await?);
    }
    let output = Output::new(options.format)?;
    let mut run = Run::new(options, targets);
    run.until_end(&output, &shutdown).await?;
    run.finish(output)
}

struct Run {
    options: Options,
    client: Arc<FlowClient>,
    /// The targets are shared with their flows.
    vips: Vec<(Arc<Target>, Tally)>,
    pacer: Pacer,
    flows: JoinSet<(usize, FinishedFlow)>,
    max_in_flight: usize,
    start: Instant,
}

impl Run {
    fn new(options: Options, targets: Vec<Target>) -> Self {
        let start = Instant::now();
        let client = FlowClient {
            matcher: options.matcher.clone(),
            tls: options.tls.clone(),
            timeout: options.timeout,
            payload: options.payload.clone(),
            user_agent: options.user_agent.clone(),
        };
        let files = maglev_net::descriptors::raise_limit(MAX_IN_FLIGHT + OTHER_FILES);
        let max_in_flight = files.saturating_sub(OTHER_FILES).clamp(1, MAX_IN_FLIGHT);
        Self {
            pacer: Pacer::new(targets.len(), options.rate, options.count, start),
            client: Arc::new(client),
            vips: targets.into_iter().map(|target| (Arc::new(target), Tally::new(start))).collect(),
            flows: JoinSet::new(),
            max_in_flight: usize::try_from(max_in_flight).unwrap_or(usize::MAX),
            start,
            options,
        }
    }

    /// Runs until the last flow has ended. Flows in flight at the shutdown are given up and not counted.
    async fn until_end(&mut self, output: &Output, shutdown: &CancellationToken) -> io::Result<()> {
        let mut reports = tokio::time::interval(output.interval(self.options.report_every));
        reports.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first tick is immediate; nothing has happened yet.
        reports.tick().await;
        let end = self.options.duration.map(|duration| self.start + duration);
        while self.pacer.next().is_some() || !self.flows.is_empty() {
            let next = self.pacer.next();
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                Some(Ok((index, flow))) = self.flows.join_next() => self.add(index, flow, output)?,
                () = maglev_net::sleep_until_some(next) => self.start_flow(),
                () = maglev_net::sleep_until_some(end.filter(|_| next.is_some())) => self.pacer.stop(),
                _ = reports.tick() => output.progress(self.view(), Timestamp::now())?,
            }
        }
        Ok(())
    }

    fn start_flow(&mut self) {
        let now = Instant::now();
        let index = self.pacer.take(now);
        if self.flows.len() >= self.max_in_flight {
            let failure = Failure::NotSent(format!("{} flows are waiting for an answer", self.max_in_flight));
            let flow = FinishedFlow { began: now, ended: now, result: Err(failure) };
            // Not sending is no change of the state.
            let _ = self.vips[index].1.add(flow, Timestamp::now());
            return;
        }
        let (client, target) = (Arc::clone(&self.client), Arc::clone(&self.vips[index].0));
        self.flows.spawn(async move { (index, client.run(&target).await) });
    }

    fn add(&mut self, index: usize, flow: FinishedFlow, output: &Output) -> io::Result<()> {
        let time = Timestamp::now();
        let (target, tally) = &mut self.vips[index];
        match tally.add(flow, time) {
            Some(change) => output.change(target, &change, time),
            None => Ok(()),
        }
    }

    fn view(&self) -> View<'_> {
        View {
            vips: &self.vips,
            expectation: self.options.expectation.as_ref(),
            now: Instant::now(),
            seconds: self.start.elapsed().as_secs(),
            rate: self.options.rate,
        }
    }

    fn finish(self, output: Output) -> Result<bool, TesterError> {
        let conditions =
            Conditions { min_success: self.options.min_success, expectation: self.options.expectation.clone() };
        let view = self.view();
        let problems: Vec<Vec<String>> =
            self.vips.iter().map(|(_, tally)| conditions.problems(tally, view.now)).collect();
        let end = End { view, problems: &problems, time: Timestamp::now(), elapsed: self.start.elapsed() };
        output.finish(&end)?;
        Ok(problems.iter().all(Vec::is_empty))
    }
}
