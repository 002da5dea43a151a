//! The commands `drain` and `undrain`.

use super::{ExitStatus, Run, write};
use crate::{
    drain::{self, backends_of_node},
    flags::Output,
    output::Page,
};
use maglev_model::{Name, config::AdminState, operator_change::OperatorChange};

impl Run<'_> {
    pub(super) async fn drain_node(&self, node: &str) -> anyhow::Result<ExitStatus> {
        let includes = |state| state != AdminState::Disabled;
        self.drain(backends_of_node(self.session, self.flags, node, includes).await?).await
    }

    pub(super) async fn undrain_node(&self, node: &str) -> anyhow::Result<ExitStatus> {
        let includes = |state| state == AdminState::Paused;
        let mut is_complete = true;
        for backend in backends_of_node(self.session, self.flags, node, includes).await? {
            let change = OperatorChange::AdminState { backend, state: AdminState::Enabled };
            is_complete &= self.set(change).await? == ExitStatus::Success;
        }
        Ok(if is_complete { ExitStatus::Success } else { ExitStatus::Problem })
    }

    pub(super) async fn drain(&self, backends: Vec<Name>) -> anyhow::Result<ExitStatus> {
        let output = self.output();
        let mut print = |page: &Page| {
            if matches!(output, Output::Table | Output::Wide) {
                write(&page.to_string())?;
            }
            Ok(())
        };
        let drains = drain::drain(self.session, self.flags, self.program.name, backends, &mut print).await?;
        self.print(&drains)?;
        Ok(if drains.is_complete() { ExitStatus::Success } else { ExitStatus::Problem })
    }
}
