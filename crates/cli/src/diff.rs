//! `diff -f`: the effect of applying manifests, which are not applied.
//!
//! ```text
//!  manifests ─▶ dry run at the API server ─┐
//!                          stored objects ─┴▶ index, for each node: configuration before and after
//!                                  agents ─▶ health and VPP of each node ─┴▶ model::preview ─▶ effect per VIP
//! ```

mod manifests;
mod resolved;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, path::PathBuf};

use anyhow::{Context as _, bail};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use kube::Client;
use serde::Serialize;

use super::{
    coverage::NodeCoverage,
    output::{Page, Printable, Table},
    preview::Effects,
    session::Session,
    style::Style,
    what_if::assumed_up,
};
use maglev_fleet::NodeState;
use maglev_index::{ChangedObjects, Holder};
use maglev_kube::{DryRun, DryRunEffect, Manifest, list_objects, read_certificates};
use maglev_model::{Name, config::Kind};

/// Maximum number of requests in flight.
const CONCURRENCY: usize = 16;

/// A failure of `diff`, whose exit status differs from that of a change.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct DiffError(#[from] anyhow::Error);

/// The effect of applying the manifests.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Diff {
    objects: Vec<ObjectChange>,
    /// Objects of other kinds.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    skipped: Vec<String>,
    #[serde(flatten)]
    effects: Effects,
    /// Backends without probe results, which are taken for up.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    taken_for_up: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct ObjectChange {
    kind: &'static str,
    name: String,
    /// `created`, `configured` or `unchanged`.
    change: &'static str,
}

/// The manifests of the command line.
#[derive(Debug)]
pub struct Manifests {
    supported: Vec<Manifest>,
    skipped: Vec<String>,
}

impl Manifests {
    /// Reads files, directories, or standard input (`-`).
    ///
    /// # Errors
    /// A file cannot be read or is not YAML, or an object is there twice.
    pub fn read(paths: &[PathBuf], namespace: &str) -> anyhow::Result<Self> {
        if paths.is_empty() {
            bail!("diff needs manifests: name a file, a directory or - (standard input) with -f");
        }
        let mut manifests = Self { supported: Vec::new(), skipped: Vec::new() };
        let mut names = BTreeSet::new();
        for object in manifests::read_all(paths)? {
            match Manifest::new(&object, namespace) {
                None => manifests.skipped.push(manifests::title(&object)),
                Some(manifest) if manifest.name().name().is_empty() => {
                    bail!("a {} has no metadata.name", manifest.kind())
                }
                Some(manifest) => {
                    if !names.insert((manifest.kind(), manifest.name().clone())) {
                        bail!("{} {} is there twice", manifest.kind(), manifest.name());
                    }
                    manifests.supported.push(manifest);
                }
            }
        }
        Ok(manifests)
    }
}

/// The results of the dry runs, and the objects that they are compared with.
pub struct DryRuns {
    objects: Vec<ObjectChange>,
    skipped: Vec<String>,
    pub changed: ChangedObjects,
}

impl DryRuns {
    /// # Errors
    /// The API server refuses an object or a list, or does not answer. All refusals are reported.
    pub async fn run(client: &Client, manifests: Manifests, force: bool) -> anyhow::Result<Self> {
        let Manifests { supported, skipped } = manifests;
        let dry_run = async |manifest: &Manifest| (manifest.clone(), manifest.dry_run(client, force).await);
        let mut answers: Vec<_> = stream::iter(&supported).map(dry_run).buffer_unordered(CONCURRENCY).collect().await;
        answers.sort_by(|(a, _), (b, _)| (a.kind(), a.name()).cmp(&(b.kind(), b.name())));
        let (mut objects, mut changed, mut errors) = (Vec::new(), Vec::new(), Vec::new());
        for (manifest, answer) in answers {
            match answer {
                Ok(DryRun { object, effect }) => {
                    let (kind, name) = (manifest.kind(), manifest.name().to_string());
                    objects.push(ObjectChange { kind, name, change: effect.as_str() });
                    if effect != DryRunEffect::Unchanged {
                        changed.push(object);
                    }
                }
                Err(error) => errors.push(anyhow::Error::from(error)),
            }
        }
        if let Some(error) = join(errors) {
            return Err(error);
        }
        let changed = ChangedObjects { changed, ..ChangedObjects::default() };
        Ok(Self { objects, skipped, changed })
    }

    /// Dry runs without changes, of an object with this name.
    #[cfg(test)]
    pub fn hostile(name: String, skipped: String) -> Self {
        let objects = vec![ObjectChange { kind: "Backend", name, change: DryRunEffect::Created.as_str() }];
        Self { objects, skipped: vec![skipped], changed: ChangedObjects::default() }
    }

    /// True if no object would change.
    pub fn is_unchanged(&self) -> bool {
        self.changed.changed.is_empty()
    }

    /// Reads the stored objects, and what their resolution requires.
    ///
    /// # Errors
    /// The API server refuses a list, or does not answer.
    pub async fn read_stored(&mut self, client: &Client) -> anyhow::Result<()> {
        let on_demand = [Kind::Namespace, Kind::EndpointSlice];
        let kinds = Kind::ALL.into_iter().filter(|kind| !on_demand.contains(kind));
        let list = async |kind: Kind| list(client, kind).await;
        let lists: Vec<Vec<_>> = stream::iter(kinds).map(list).buffer_unordered(CONCURRENCY).try_collect().await?;
        self.changed.stored = lists.into_iter().flatten().collect();
        let required = self.changed.requirements();
        if required.namespaces {
            self.changed.stored.extend(list(Kind::Namespace).await?);
        }
        if required.endpoint_slices {
            self.changed.stored.extend(list(Kind::EndpointSlice).await?);
        }
        let read = async |holder: Holder| {
            let content = read_certificates(client.clone(), &holder).await;
            (holder, content)
        };
        let certificates = stream::iter(required.certificates).map(read).buffer_unordered(CONCURRENCY);
        self.changed.certificates = certificates.collect().await;
        Ok(())
    }
}

async fn list(client: &Client, kind: Kind) -> anyhow::Result<Vec<maglev_index::Object>> {
    let objects = list_objects(client, kind).await;
    objects.with_context(|| format!("cannot list the {}s, which the effect depends on", kind.as_str()))
}

/// All errors as one; `None` if there are none.
fn join(errors: Vec<anyhow::Error>) -> Option<anyhow::Error> {
    let mut errors = errors.into_iter();
    let first = errors.next()?;
    let rest: Vec<String> = errors.map(|error| format!("{error:#}")).collect();
    if rest.is_empty() { Some(first) } else { Some(anyhow::anyhow!("{first:#}; {}", rest.join("; "))) }
}

impl Diff {
    pub fn new(runs: DryRuns, nodes: Vec<NodeState>) -> Self {
        let DryRuns { objects, skipped, changed } = runs;
        let (nodes, coverage) = NodeCoverage::split(nodes);
        let mut assumed: BTreeSet<Name> = BTreeSet::new();
        let previews = resolved::previews(&changed, nodes, &mut assumed);
        let effects = Effects::new(coverage, &previews);
        Self { objects, skipped, effects, taken_for_up: assumed.iter().map(ToString::to_string).collect() }
    }

    /// True if some object would change.
    pub fn has_changes(&self) -> bool {
        self.objects.iter().any(|object| object.change != DryRunEffect::Unchanged.as_str())
    }
}

impl Printable for Diff {
    fn page(&self, wide: bool, _: Timestamp) -> Page {
        let mut page = Page::default();
        let mut table = Table::new(["OBJECT", "CHANGE"]);
        let unchanged = DryRunEffect::Unchanged.as_str();
        let shown = self.objects.iter().filter(|object| wide || object.change != unchanged);
        for ObjectChange { kind, name, change } in shown {
            table.row([format!("{kind} {name}").into(), (*change).into()]);
        }
        page.table(&table, "No object changes.");
        for object in &self.skipped {
            page.styled(Style::Warn, format_args!("skipped: {object}"));
        }
        page.gap();
        self.effects.print(&mut page, "No VIP changes.");
        for backend in &self.taken_for_up {
            page.styled(Style::Warn, assumed_up(&Name::from(backend.as_str())));
        }
        page
    }
}

/// Reads, runs and compares the manifests.
///
/// # Errors
/// See [`DiffError`]; nothing was written in any case.
pub async fn diff(session: &Session, request: &DiffRequest<'_>) -> Result<Diff, DiffError> {
    let client = session.kube().await?;
    let manifests = Manifests::read(request.paths, request.namespace)?;
    let mut runs = DryRuns::run(client, manifests, request.force).await?;
    if runs.is_unchanged() {
        return Ok(Diff::new(runs, session.nodes_with_counters(request.node).await?));
    }
    runs.read_stored(client).await?;
    Ok(Diff::new(runs, session.nodes_with_counters(request.node).await?))
}

/// The input of [`diff`].
pub struct DiffRequest<'r> {
    pub paths: &'r [PathBuf],
    /// The namespace of objects without one.
    pub namespace: &'r str,
    /// Takes fields from other field managers.
    pub force: bool,
    /// Restricts the effect to this node.
    pub node: Option<&'r str>,
}
