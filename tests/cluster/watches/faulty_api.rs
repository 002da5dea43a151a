//! An API server in memory, with faults: for tests with a paused clock, in which hours of an outage pass at once.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::body::{Body as AxumBody, Bytes};
use futures::{Stream, stream};
use http::{Request, Response, StatusCode};
use kube::{Client, client::Body};
use serde_json::{Value, json};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};
use tower::service_fn;

/// Time after which a client gives up a connection without a byte, as configured by `maglev_kube::client`.
const READ_TIMEOUT: Duration = Duration::from_secs(180);

/// A fault of the API server, or of a proxy before it. It applies to open watches as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// Every response begins after 30 s.
    Slow,
    /// Every request is refused with status 429, and a Retry-After of 1 s.
    TooManyRequests,
    /// The connection ends within every body.
    CutBodies,
    /// Connections are accepted, and stay open without a byte.
    HalfOpen,
    /// Lists succeed; each watch ends at once, without an error.
    EndedWatches,
}

impl Fault {
    pub const ALL: [Self; 5] = [Self::Slow, Self::TooManyRequests, Self::CutBodies, Self::HalfOpen, Self::EndedWatches];
}

#[derive(Clone)]
pub struct FaultyApi(Arc<Inner>);

struct Inner {
    state: watch::Sender<State>,
    requests: Mutex<Vec<Instant>>,
}

struct State {
    fault: Fault,
    version: u64,
    objects: BTreeMap<Key, Value>,
    /// The changes in order, each with its version.
    changes: Vec<(u64, Key, Value)>,
}

/// Plural and name.
type Key = (String, String);

impl FaultyApi {
    /// A healthy API server whose only object is the Node `node`.
    pub fn start(node: &str) -> Self {
        let state = State { fault: Fault::None, version: 1, objects: BTreeMap::new(), changes: Vec::new() };
        let api = Self(Arc::new(Inner { state: watch::Sender::new(state), requests: Mutex::default() }));
        api.apply("nodes", node, &json!({}));
        api
    }

    /// A client without timeouts of its own.
    pub fn client(&self) -> Client {
        let inner = Arc::clone(&self.0);
        let respond = move |request: Request<Body>| respond(Arc::clone(&inner), request.uri().to_string());
        Client::new(service_fn(respond), "default")
    }

    pub fn set_fault(&self, fault: Fault) {
        self.0.state.send_modify(|state| state.fault = fault);
    }

    /// Creates or replaces an object.
    pub fn apply(&self, plural: &str, name: &str, spec: &Value) {
        self.0.state.send_modify(|state| {
            state.version += 1;
            let metadata = json!({
                "name": name, "namespace": "shop", "uid": name, "generation": state.version,
                "resourceVersion": state.version.to_string(), "creationTimestamp": "2026-01-01T00:00:00Z",
            });
            let kind = if plural == "backends" { "Backend" } else { "Node" };
            let object =
                json!({"apiVersion": "maglev.vpp.io/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec});
            let key = (plural.to_owned(), name.to_owned());
            let change = if state.objects.contains_key(&key) { "MODIFIED" } else { "ADDED" };
            state.changes.push((state.version, key.clone(), json!({"type": change, "object": object})));
            state.objects.insert(key, object);
        });
    }

    pub fn delete(&self, plural: &str, name: &str) {
        self.0.state.send_modify(|state| {
            state.version += 1;
            let key = (plural.to_owned(), name.to_owned());
            let mut object = state.objects.remove(&key).expect("the object exists");
            object["metadata"]["resourceVersion"] = state.version.to_string().into();
            state.changes.push((state.version, key, json!({"type": "DELETED", "object": object})));
        });
    }

    /// Times of the requests so far.
    pub fn requests(&self) -> Vec<Instant> {
        self.0.requests.lock().unwrap().clone()
    }
}

async fn respond(inner: Arc<Inner>, uri: String) -> io::Result<Response<AxumBody>> {
    inner.requests.lock().unwrap().push(Instant::now());
    let fault = inner.state.borrow().fault;
    match fault {
        Fault::Slow => sleep(Duration::from_secs(30)).await,
        Fault::TooManyRequests => {
            let status = json!({
                "kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "TooManyRequests", "code": 429,
                "message": "too many requests",
            });
            let response = Response::builder().status(StatusCode::TOO_MANY_REQUESTS).header("retry-after", "1");
            return Ok(response.body(status.to_string().into()).unwrap());
        }
        Fault::HalfOpen => {
            sleep(READ_TIMEOUT).await;
            return Err(io::ErrorKind::TimedOut.into());
        }
        Fault::None | Fault::CutBodies | Fault::EndedWatches => {}
    }
    let (path, query) = uri.split_once('?').unwrap_or((&uri, ""));
    let (parent, last) = path.rsplit_once('/').unwrap();
    if parent.ends_with("/customresourcedefinitions") {
        let metadata = json!({"name": last, "uid": last, "resourceVersion": "1"});
        let crd = json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata", "metadata": metadata});
        return Ok(Response::new(body(&crd, fault)));
    }
    let parameter = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    if parameter("watch") != Some("true") {
        let state = inner.state.borrow();
        let items: Vec<&Value> = state.objects.iter().filter(|(key, _)| key.0 == last).map(|(_, it)| it).collect();
        let metadata = json!({"resourceVersion": state.version.to_string()});
        let list = json!({"apiVersion": "v1", "kind": "List", "metadata": metadata, "items": items});
        return Ok(Response::new(body(&list, fault)));
    }
    let from = parameter("resourceVersion").unwrap().parse().unwrap();
    let duration = Duration::from_secs(parameter("timeoutSeconds").unwrap().parse().unwrap());
    let changes = watch(&inner, last.to_owned(), from, Instant::now() + duration);
    Ok(Response::new(AxumBody::from_stream(changes)))
}

/// A whole document, or a part of it and an error.
fn body(document: &Value, fault: Fault) -> AxumBody {
    let text = document.to_string();
    if fault != Fault::CutBodies {
        return text.into();
    }
    let part = Bytes::from(text[..text.len() / 2].to_owned());
    AxumBody::from_stream(stream::iter([Ok(part), Err(io::Error::from(io::ErrorKind::UnexpectedEof))]))
}

/// The changes of a kind after the version `from`, until `end` or a fault.
fn watch(inner: &Inner, plural: String, from: u64, end: Instant) -> impl Stream<Item = io::Result<Bytes>> + use<> {
    let state_rx = inner.state.subscribe();
    stream::unfold(Some((state_rx, from)), move |watched| {
        let plural = plural.clone();
        async move {
            let (mut state_rx, from) = watched?;
            loop {
                let (fault, next) = {
                    let state = state_rx.borrow_and_update();
                    let next = state.changes.iter().find(|(version, key, _)| *version > from && key.0 == plural);
                    (state.fault, next.map(|(version, _, change)| (*version, format!("{change}\n"))))
                };
                match (fault, next) {
                    (Fault::EndedWatches, None) => return None,
                    (Fault::None | Fault::EndedWatches, Some((version, line))) => {
                        return Some((Ok(line.into()), Some((state_rx, version))));
                    }
                    (Fault::CutBodies | Fault::TooManyRequests, _) => {
                        return Some((Err(io::ErrorKind::UnexpectedEof.into()), None));
                    }
                    // Nothing arrives, not even the end.
                    (Fault::Slow | Fault::HalfOpen, _) => {
                        let _ = state_rx.changed().await;
                    }
                    (Fault::None, None) => tokio::select! {
                        _ = state_rx.changed() => {}
                        () = sleep_until(end) => return None,
                    },
                }
            }
        }
    })
}
