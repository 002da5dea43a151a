//! One connection between the agent and VPP: passes the frames on, with faults, and shows every request and every reply
//! to the monitor.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use maglev_vpp::frame;
use parking_lot::Mutex;
use tokio::{
    io::{AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, split},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use crate::{
    faults::{Direction, Fault},
    network::Network,
    planted::PlantedBug,
    request::MessageNames,
};

/// A connection. Runs until one side closes it or a fault cuts it.
pub struct Link {
    pub number: u32,
    pub network: Arc<Network>,
    pub cut: CancellationToken,
    names: Mutex<MessageNames>,
}

/// The end of a frame's journey.
enum Delivery {
    Done,
    Cut,
}

impl Link {
    pub fn new(number: u32, network: Arc<Network>) -> Self {
        let cut = CancellationToken::new();
        Self { number, network, cut, names: Mutex::default() }
    }

    pub async fn run(self, agent: DuplexStream, vpp: DuplexStream) {
        let ((from_agent, to_agent), (from_vpp, to_vpp)) = (split(agent), split(vpp));
        let requests = self.forward(Direction::Request, from_agent, to_vpp);
        let replies = async {
            self.forward(Direction::Reply, from_vpp, to_agent).await;
            self.cut.cancel();
        };
        let both = async { futures::join!(requests, replies) };
        self.cut.run_until_cancelled(both).await;
        self.network.monitor.lock().log(|| format!("link {} closed", self.number));
    }

    /// Passes frames on until `from` ends.
    async fn forward(&self, direction: Direction, mut from: ReadHalf<DuplexStream>, mut to: WriteHalf<DuplexStream>) {
        let mut buffer = BytesMut::new();
        while let Ok(Some(body)) = frame::read(&mut from, &mut buffer).await {
            let body = match direction {
                Direction::Request => {
                    PlantedBug::request(self.network.bug, self.names.lock().name(&body), body.clone())
                }
                Direction::Reply => body,
            };
            if matches!(self.deliver(direction, &body, &mut to).await, Delivery::Cut) {
                self.cut.cancel();
                return;
            }
        }
        // The peer may be gone already.
        let _ = to.shutdown().await;
    }

    async fn deliver(&self, direction: Direction, body: &Bytes, to: &mut WriteHalf<DuplexStream>) -> Delivery {
        let fault = self.network.draw(direction);
        self.observe(direction, body, fault);
        let mut bytes = BytesMut::new();
        frame::put(&mut bytes, |out| out.put(body));
        match fault {
            Fault::None => {}
            Fault::Delay(delay) => sleep(delay).await,
            Fault::Drop => return Delivery::Done,
            Fault::Duplicate => bytes.extend_from_slice(&bytes.clone()),
            Fault::Garble { place, bits } => {
                if let Some(byte) = bytes.get_mut(place) {
                    *byte ^= bits;
                }
            }
            Fault::Truncate => {
                bytes.clear();
                frame::put(&mut bytes, |out| out.put(&body[..body.len().saturating_sub(3).max(2)]));
            }
            Fault::Cut { permille } => {
                let _ = to.write_all(&bytes[..bytes.len() * permille / 1000]).await;
                return Delivery::Cut;
            }
        }
        // A closed side ends the link by itself.
        let _ = to.write_all(&bytes).await;
        Delivery::Done
    }

    /// Shows the frame to the monitor before it is passed on.
    fn observe(&self, direction: Direction, body: &Bytes, fault: Fault) {
        let mut names = self.names.lock();
        let mut monitor = self.network.monitor.lock();
        if direction == Direction::Reply {
            names.learn(body);
            monitor.log(|| format!("link {} ◀ {}{}", self.number, names.name(body), describe(fault)));
            return;
        }
        let Some(request) = names.request(body) else {
            monitor.log(|| format!("link {} ▶ {}{}", self.number, names.name(body), describe(fault)));
            return;
        };
        monitor.log(|| format!("link {} ▶ {request}{}", self.number, describe(fault)));
        let snapshot = self.network.simulator.snapshot();
        monitor.requested(&request, &snapshot);
    }
}

fn describe(fault: Fault) -> String {
    if fault == Fault::None { String::new() } else { format!(" FAULT {fault:?}") }
}
