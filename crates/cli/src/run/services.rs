//! The commands on addresses and Services, which read the API server.

use anyhow::Context as _;

use super::Run;
use crate::{ExitStatus, address::Addresses, policy, service::ServiceExplanation};
use maglev_kube::{read_frontends, read_service};

impl Run<'_> {
    pub(super) async fn addresses(&self) -> anyhow::Result<ExitStatus> {
        let client = self.session.kube().await?;
        let frontends = read_frontends(client, None).await.context("cannot list the Frontends")?;
        let policies = policy::read(self.session).await?;
        let mut explainer = policy::explain::explainer(self.session, &policies).await?;
        self.print(&Addresses::new(&frontends, &policies, &mut explainer))
    }

    pub(super) async fn why_service(&self, text: &str) -> anyhow::Result<ExitStatus> {
        let (client, name) = (self.session.kube().await?, self.name(text).await);
        let service = read_service(client, &name).await.with_context(|| format!("cannot read Service {name}"))?;
        let service = service.with_context(|| format!("Service {name} not found"))?;
        let frontends = read_frontends(client, Some(name.namespace())).await.context("cannot list the Frontends")?;
        self.print(&ServiceExplanation::new(&name, &service, &frontends))
    }
}
