//! The real data plane: VPP's lb plugin over its API socket.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use futures::future::{BoxFuture, FutureExt};

use super::dataplane::{Answer, Connect, Dataplane, DataplaneError, DataplaneInfo, Ended};
use crate::{
    model::{
        actual::{Actual, ActualConf},
        event::Events,
        plan::Step,
    },
    vpp::{error::Error, lb::Lb, session::SessionOptions},
};

/// The name under which VPP lists us (`show api clients`).
const CLIENT_NAME: &str = "maglevd";

/// Connects to a VPP.
#[derive(Clone, Debug)]
pub struct VppConnect {
    api_socket: PathBuf,
    events: Events,
}

impl VppConnect {
    /// A connector to the VPP that listens on `api_socket`.
    #[must_use]
    pub fn new(api_socket: &Path, events: Events) -> Self {
        Self { api_socket: api_socket.to_owned(), events }
    }
}

impl Connect for VppConnect {
    fn connect(&self, deadline: Duration) -> Answer<Arc<dyn Dataplane>> {
        let path = self.api_socket.clone();
        let options = SessionOptions { deadline, ..SessionOptions::new(CLIENT_NAME, self.events.clone()) };
        async move {
            let lb = Lb::connect(&path, options).await.map_err(|error| failed(&error))?;
            let info = DataplaneInfo {
                version: lb.info().version.clone(),
                build_date: lb.info().build_date.clone(),
                pid: lb.info().pid,
                api: path.display().to_string(),
                stats: String::new(),
                capabilities: lb.info().capabilities.to_string(),
            };
            Ok(Arc::new(Vpp { lb, info }) as Arc<dyn Dataplane>)
        }
        .boxed()
    }
}

struct Vpp {
    lb: Lb,
    info: DataplaneInfo,
}

impl Dataplane for Vpp {
    fn info(&self) -> &DataplaneInfo {
        &self.info
    }

    fn conf(&self) -> Answer<ActualConf> {
        answer(self.lb.conf())
    }

    fn set_conf(&self, conf: ActualConf) -> Answer<()> {
        answer(self.lb.set_conf(conf))
    }

    fn read(&self) -> Answer<Actual> {
        answer(self.lb.read())
    }

    fn step(&self, step: &Step) -> Answer<()> {
        match step {
            Step::AddVip { vip, encap, sticky, table_length } => {
                answer(self.lb.add_vip(*vip, *encap, *sticky, *table_length))
            }
            Step::RemoveVip { vip, .. } => answer(self.lb.remove_vip(*vip)),
            // The flush drops the pins of an earlier life of the same server; a new one has none.
            Step::AddAs { vip, address, weight, .. } => answer(self.lb.add_as((*vip).into(), *address, *weight, true)),
            Step::RemoveAs { vip, address, .. } => answer(self.lb.remove_as(*vip, *address, true)),
            Step::SetWeight { vip, address, to, flush, .. } => {
                answer(self.lb.set_weight((*vip).into(), *address, *to, *flush))
            }
        }
    }

    fn ping(&self) -> Answer<()> {
        answer(self.lb.ping())
    }

    fn closed(&self) -> BoxFuture<'static, Ended> {
        let closed = self.lb.closed();
        async move {
            let reason = closed.await;
            Ended { expired: reason.is_deadline(), reason: reason.to_string() }
        }
        .boxed()
    }
}

fn answer<T>(reply: impl Future<Output = Result<T, Error>> + Send + 'static) -> Answer<T> {
    reply.map(|answer| answer.map_err(|error| failed(&error))).boxed()
}

fn failed(error: &Error) -> DataplaneError {
    let text = chain(error);
    match error {
        Error::Closed { .. } | Error::Malformed { .. } => DataplaneError::Closed(text),
        Error::Swallowed { .. } | Error::QueueFull { .. } => DataplaneError::Swallowed(text),
        _ => DataplaneError::Refused(text),
    }
}

/// An error and what caused it, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
