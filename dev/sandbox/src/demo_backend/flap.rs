//! `--flap`: backends come and go at random, but never all at once, and repeatably for one seed.

use std::time::Duration;

use futures::{FutureExt, future::BoxFuture};
use tokio_util::sync::CancellationToken;

use super::{DemoBackends, Mode};

/// How wildly backends come and go.
#[derive(Clone, Debug)]
pub struct Flap {
    /// The same seed makes the same choices.
    pub seed: u64,
    /// Shortest and longest pause between two changes.
    pub pause: (Duration, Duration),
    /// How many backends may be away at the same time.
    pub max_away: usize,
}

impl Flap {
    /// A change every 3 to 10 seconds, at most three backends away.
    pub const fn standard(seed: u64) -> Self {
        Self { seed, pause: (Duration::from_secs(3), Duration::from_secs(10)), max_away: 3 }
    }

    /// Changes one backend after the other until `shutdown`.
    pub(crate) fn run(self, backends: DemoBackends, shutdown: CancellationToken) -> BoxFuture<'static, ()> {
        async move {
            let mut random = fastrand::Rng::with_seed(self.seed);
            loop {
                let (shortest, longest) = self.pause;
                let pause = shortest + longest.saturating_sub(shortest).mul_f64(random.f64());
                tokio::select! {
                    () = shutdown.cancelled() => return,
                    () = tokio::time::sleep(pause) => {}
                }
                let modes: Vec<Mode> = backends.list().iter().map(|(.., mode)| *mode).collect();
                let Some((index, to)) = self.choose(&modes, &mut random) else { continue };
                let backend = &backends.backends[index];
                let from = backend.mode.send_replace(to);
                tracing::info!(backend = backend.name, %from, %to, "demo backend flaps");
            }
        }
        .boxed()
    }

    /// The next change: one that is away returns, or one that is well goes.
    fn choose(&self, modes: &[Mode], random: &mut fastrand::Rng) -> Option<(usize, Mode)> {
        let which = |well: bool| (0..modes.len()).filter(|i| (modes[*i] == Mode::Ok) == well).collect::<Vec<_>>();
        let (well, away) = (which(true), which(false));
        let may_go = !well.is_empty() && away.len() < self.max_away;
        if may_go && (away.is_empty() || random.bool()) {
            let mode = random.choice([Mode::Fail, Mode::Slow, Mode::Hang, Mode::Refuse])?;
            return Some((random.choice(well)?, mode));
        }
        Some((random.choice(away)?, Mode::Ok))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(seed: u64, steps: usize) -> Vec<Vec<Mode>> {
        let flap = Flap { max_away: 2, ..Flap::standard(seed) };
        let mut random = fastrand::Rng::with_seed(seed);
        let mut modes = vec![Mode::Ok; 6];
        let mut seen = Vec::new();
        for _ in 0..steps {
            let (index, mode) = flap.choose(&modes, &mut random).unwrap();
            modes[index] = mode;
            seen.push(modes.clone());
        }
        seen
    }

    #[test]
    fn never_more_backends_are_away_than_allowed_and_every_backend_takes_part() {
        let seen = history(7, 500);
        let away = |modes: &Vec<Mode>| modes.iter().filter(|mode| **mode != Mode::Ok).count();
        assert_eq!(seen.iter().map(away).max(), Some(2));
        for index in 0..6 {
            for mode in Mode::ALL {
                assert!(seen.iter().any(|modes| modes[index] == mode), "backend {index} is never {mode}");
            }
        }
    }

    #[test]
    fn one_seed_repeats_and_another_differs() {
        assert_eq!(history(7, 50), history(7, 50));
        assert_ne!(history(7, 50), history(8, 50));
    }
}
