//! The random steps.

use std::time::Duration;

use maglev_model::vip::VipKey;
use maglev_vpp_simulator::{Prefix, VipSettings};
use tokio::time::Instant;

use crate::{
    clock,
    faults::Weather,
    objects::{self, BACKENDS, FOREIGN_VIPS, FRONTENDS},
    prober::Behaviour,
    world::World,
};

/// Seconds of ten years.
const TEN_YEARS: i64 = 315_576_000;

impl World {
    /// Does one random thing to the node.
    pub async fn act(&mut self) {
        match self.rng.u8(0..32) {
            0..=6 => self.flap(),
            7..=12 => self.change_object(),
            13 => self.relist(),
            14..=15 => self.meddle(),
            16..=18 => self.storm(),
            19 => self.cut_all(),
            20 => self.hang(),
            21 => self.restart_vpp().await,
            22 => self.kill_vpp(),
            23..=24 => self.crash(),
            25..=26 => self.change_foreign_vip(),
            27 => self.jump(),
            _ => {}
        }
    }

    /// A backend changes its behaviour.
    pub fn flap(&mut self) {
        let address = objects::address(self.rng.usize(0..BACKENDS));
        let behaviours =
            [Behaviour::Healthy, Behaviour::Healthy, Behaviour::Refusing, Behaviour::Silent, Behaviour::Unprobeable];
        let behaviour = *self.rng.choice(&behaviours).expect("there are behaviours");
        self.log(|| format!("backend {address} {behaviour:?}"));
        self.prober.set(address, behaviour);
    }

    pub fn change_object(&mut self) {
        let change = match self.rng.u8(0..3) {
            0 => self.objects.change_backend(&mut self.rng),
            _ => self.objects.change_frontend(&mut self.rng),
        };
        self.log(|| change);
        self.relist();
    }

    /// A watch starts over with the same objects.
    fn relist(&mut self) {
        if let Some(process) = self.process.as_mut().filter(|process| process.is_listed()) {
            process.list(&self.objects.list());
        }
    }

    /// Another client changes VPP; the change of an absent object is refused.
    fn meddle(&mut self) {
        let vip: VipKey = objects::vip(self.rng.usize(0..FRONTENDS));
        let (address, number, weight) =
            (objects::address(self.rng.usize(0..BACKENDS)), self.rng.u8(0..4), self.rng.u8(..));
        let done = self.network.simulator.edit(|lb| match number {
            0 => lb.set_weight(vip.into(), address, weight),
            1 => lb.remove_as(vip.into(), address),
            2 => lb.add_as(vip.into(), [192, 0, 2, 99].into(), weight),
            _ => lb.remove_vip(Prefix::host(vip.address), 6, vip.service.port()),
        });
        let mut monitor = self.network.monitor.lock();
        monitor.meddled(vip);
        monitor.log(|| format!("meddled {number} with {vip} {address} weight={weight}: {done:?}"));
    }

    /// Another client adds a VIP of its own, or removes it. VPP refuses some VIPs beside others.
    fn change_foreign_vip(&mut self) {
        let vip = objects::foreign_vip(self.rng.usize(0..FOREIGN_VIPS));
        let encap = if self.rng.bool() { 0 } else { 2 };
        let settings = VipSettings { encap, dscp: 7, table_length: 256, ..VipSettings::default() };
        let prefix = Prefix::new(vip.address, vip.length).expect("a prefix");
        let done = self.network.simulator.edit(|lb| match lb.remove_vip(prefix, vip.protocol, vip.port) {
            Ok(()) => Ok("removed"),
            Err(_) => lb.add_vip(prefix, vip.protocol, vip.port, settings).map(|_| "added"),
        });
        self.log(|| format!("foreign {vip} encap={encap}: {done:?}"));
        self.observe_foreign_vips();
    }

    /// The wall clock jumps.
    fn jump(&mut self) {
        let seconds = *self.rng.choice(&[3600, -3600, TEN_YEARS, -TEN_YEARS]).expect("there are jumps");
        self.log(|| format!("clock jumps by {seconds} s"));
        clock::jump(seconds);
    }

    fn storm(&mut self) {
        let weather = Weather::storm(&mut self.rng);
        let end = Duration::from_millis(self.rng.u64(100..8000));
        self.calm_at = Some(Instant::now() + end);
        self.log(|| format!("storm for {end:?}: {weather:?}"));
        self.network.set_weather(weather);
    }

    fn cut_all(&mut self) {
        self.log(|| "all links cut".to_owned());
        self.network.cut_all();
    }

    fn hang(&mut self) {
        let duration = Duration::from_millis(self.rng.u64(10..6000));
        self.log(|| format!("vpp hangs for {duration:?}"));
        self.network.simulator.hang(duration);
    }

    /// Restarts VPP, without its state or with a state that a script restores.
    async fn restart_vpp(&mut self) {
        let saved = self.rng.bool().then(|| self.network.simulator.edit(|lb| lb.clone()));
        self.log(|| format!("vpp restarts, state kept: {}", saved.is_some()));
        self.network.simulator.stop().await.expect("no sockets");
        self.start_vpp().await;
        if let Some(saved) = saved {
            self.network.simulator.edit(|lb| *lb = saved);
            self.observe_foreign_vips();
        }
    }

    /// VPP crashes at one of its next requests.
    fn kill_vpp(&mut self) {
        let requests = self.rng.u64(1..40);
        self.log(|| format!("vpp crashes after {requests} requests"));
        self.network.simulator.kill_after(requests);
        self.vpp_start_at = Some(Instant::now() + Duration::from_millis(self.rng.u64(100..8000)));
    }

    /// The agent ends at one of its next awaits.
    fn crash(&mut self) {
        let polls = self.rng.u32(1..60);
        self.log(|| format!("agent crashes after {polls} polls"));
        if let Some(process) = &self.process {
            process.crash_after(polls);
        }
    }
}
