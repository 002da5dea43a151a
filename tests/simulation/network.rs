//! The node's VPP and the connections to it.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use fastrand::Rng;
use maglev_vpp_simulator::Simulator;
use parking_lot::Mutex;
use tokio::io::{DuplexStream, duplex};
use tokio_util::sync::CancellationToken;

use crate::{
    faults::{Direction, Fault, Weather},
    link::Link,
    monitor::Monitor,
    planted::PlantedBug,
};

/// Bytes in flight in one direction; a full buffer blocks the sender.
const BUFFER: usize = 16 << 10;

pub struct Network {
    pub simulator: Simulator,
    pub monitor: Arc<Mutex<Monitor>>,
    pub bug: Option<PlantedBug>,
    weather: Mutex<Weather>,
    rng: Mutex<Rng>,
    links: AtomicU32,
    /// Cuts the open connections.
    cuts: Mutex<Vec<CancellationToken>>,
}

impl Network {
    pub fn new(simulator: Simulator, monitor: Arc<Mutex<Monitor>>, rng: Rng, bug: Option<PlantedBug>) -> Self {
        Self {
            simulator,
            monitor,
            bug,
            weather: Mutex::default(),
            rng: Mutex::new(rng),
            links: AtomicU32::new(0),
            cuts: Mutex::default(),
        }
    }

    /// Opens a connection of the agent.
    pub async fn connect(self: &Arc<Self>) -> io::Result<DuplexStream> {
        let number = self.links.fetch_add(1, Ordering::Relaxed) + 1;
        let refuse = self.weather.lock().refuse;
        if self.rng.lock().u32(0..1000) < refuse {
            self.monitor.lock().log(|| format!("link {number} refused"));
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let vpp = self.simulator.connect().await?;
        let (agent, near) = duplex(BUFFER);
        let link = Link::new(number, Arc::clone(self));
        let mut cuts = self.cuts.lock();
        cuts.retain(|cut| !cut.is_cancelled());
        cuts.push(link.cut.clone());
        tokio::spawn(link.run(near, vpp));
        Ok(agent)
    }

    /// The fate of the next frame.
    pub fn draw(&self, direction: Direction) -> Fault {
        let weather = *self.weather.lock();
        weather.fault(&mut self.rng.lock(), direction)
    }

    pub fn set_weather(&self, weather: Weather) {
        *self.weather.lock() = weather;
    }

    /// Ends every connection at once, without its outstanding frames.
    pub fn cut_all(&self) {
        self.cuts.lock().drain(..).for_each(|cut| cut.cancel());
    }
}
