//! `--flap`: lets backends fail and recover at random, never all of them, and reproducibly for one seed.

use std::time::Duration;

use futures::{FutureExt, future::BoxFuture};
use tokio_util::sync::CancellationToken;

use super::{DemoBackends, Mode};

#[derive(Clone, Debug)]
pub struct Flap {
    /// Equal seeds make equal choices.
    pub seed: u64,
    /// Minimum and maximum pause between two changes.
    pub pause: (Duration, Duration),
    /// Maximum number of failing backends.
    pub max_failing: usize,
}

impl Flap {
    /// A change every 3 to 10 seconds, at most three failing backends.
    pub const fn standard(seed: u64) -> Self {
        Self { seed, pause: (Duration::from_secs(3), Duration::from_secs(10)), max_failing: 3 }
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
                tracing::info!(backend = backend.name, %from, %to, "demo backend flapped");
            }
        }
        .boxed()
    }

    /// Chooses the next change: a failing backend recovers, or a healthy backend fails.
    fn choose(&self, modes: &[Mode], random: &mut fastrand::Rng) -> Option<(usize, Mode)> {
        let select =
            |healthy: bool| (0..modes.len()).filter(|i| (modes[*i] == Mode::Ok) == healthy).collect::<Vec<_>>();
        let (healthy, failing) = (select(true), select(false));
        let may_fail = !healthy.is_empty() && failing.len() < self.max_failing;
        if may_fail && (failing.is_empty() || random.bool()) {
            let mode = random.choice([Mode::Fail, Mode::Slow, Mode::Hang, Mode::Refuse])?;
            return Some((random.choice(healthy)?, mode));
        }
        Some((random.choice(failing)?, Mode::Ok))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(seed: u64, steps: usize) -> Vec<Vec<Mode>> {
        let flap = Flap { max_failing: 2, ..Flap::standard(seed) };
        let mut random = fastrand::Rng::with_seed(seed);
        let mut modes = vec![Mode::Ok; 6];
        let mut history = Vec::new();
        for _ in 0..steps {
            let (index, mode) = flap.choose(&modes, &mut random).unwrap();
            modes[index] = mode;
            history.push(modes.clone());
        }
        history
    }

    #[test]
    fn failing_backends_are_limited_and_all_backends_take_part() {
        let history = history(7, 500);
        let failing = |modes: &Vec<Mode>| modes.iter().filter(|mode| **mode != Mode::Ok).count();
        assert_eq!(history.iter().map(failing).max(), Some(2));
        for index in 0..6 {
            for mode in Mode::ALL {
                assert!(history.iter().any(|modes| modes[index] == mode), "backend {index} is never {mode}");
            }
        }
    }

    #[test]
    fn choices_depend_on_the_seed_only() {
        assert_eq!(history(7, 50), history(7, 50));
        assert_ne!(history(7, 50), history(8, 50));
    }
}
