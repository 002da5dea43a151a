//! The decision on each call, before its message is read.

use std::{
    convert::Infallible,
    task::{Context, Poll},
};

use futures::future::{Either, Ready, ready};
use http::{Request, Response, header::AUTHORIZATION};
use maglev_auth::{Call, Denial, Guard, Permission, Refusal};
use maglev_net::ConnectionHandle;
use tonic::{Status, body::Body};
use tower::Service;

use super::{GrpcMetrics, listener::mark_connection};
use crate::proto::serving::maglev_server::SERVICE_NAME;

/// Methods that only operators may call.
const OPERATOR_METHODS: [&str; 1] = ["SyncVppLbState"];
/// The service that everybody may call: it reveals readiness only, which the kubelet and load balancers probe.
const OPEN_SERVICE: &str = "grpc.health.v1.Health";

/// The decision on the calls of one listener.
#[derive(Clone, Debug)]
pub struct CallGuard {
    pub guard: Guard,
    /// True if the listener has TLS.
    pub is_encrypted: bool,
    pub metrics: GrpcMetrics,
}

/// A service whose calls are decided on.
#[derive(Clone)]
pub struct Guarded<S> {
    inner: S,
    guard: CallGuard,
}

impl CallGuard {
    pub fn around<S>(&self, inner: S) -> Guarded<S> {
        Guarded { inner, guard: self.clone() }
    }

    fn admit<B>(&self, request: &Request<B>) -> Result<(), Status> {
        let (service, method) = split(request.uri().path());
        let Some(permission) = permission(service, method) else { return Ok(()) };
        let authorization = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let peer = request.extensions().get::<ConnectionHandle>().map(ConnectionHandle::peer);
        let call = Call { is_encrypted: self.is_encrypted, authorization, permission, peer };
        let Err(refusal) = self.guard.admit(call) else { return Ok(()) };
        let status = status(&refusal);
        // Names of methods that do not exist would be series without a limit.
        let method = if service == SERVICE_NAME { method } else { "other" };
        self.metrics.complete::<()>(method, Err(status)).map(drop)
    }
}

/// The permission that a method requires; `None` if everybody may call it.
fn permission(service: &str, method: &str) -> Option<Permission> {
    match (service, method) {
        (OPEN_SERVICE, _) => None,
        (SERVICE_NAME, method) if OPERATOR_METHODS.contains(&method) => Some(Permission::Operate),
        _ => Some(Permission::View),
    }
}

/// The service and the method of a path `/SERVICE/METHOD`.
fn split(path: &str) -> (&str, &str) {
    path.trim_start_matches('/').split_once('/').unwrap_or((path, ""))
}

fn status(refusal: &Refusal) -> Status {
    let text = refusal.to_string();
    match refusal {
        Refusal::Token(Denial::NoKeys) => Status::unavailable(text),
        Refusal::NoTls | Refusal::NoToken | Refusal::Token(_) => Status::unauthenticated(text),
        Refusal::Forbidden { .. } => Status::permission_denied(text),
    }
}

impl<S> Service<Request<Body>> for Guarded<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Either<Ready<Result<Response<Body>, Infallible>>, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    /// Only an admitted call marks its connection as one with a request: others close after the time limit of headers.
    fn call(&mut self, request: Request<Body>) -> Self::Future {
        match self.guard.admit(&request) {
            Ok(()) => Either::Right(self.inner.call(mark_connection(request))),
            Err(status) => Either::Left(ready(Ok(status.into_http()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto;

    #[test]
    fn only_syncs_are_for_operators_and_only_health_is_for_everybody() {
        let descriptors = <prost_types::FileDescriptorSet as prost::Message>::decode(proto::DESCRIPTORS);
        let files = descriptors.expect("the descriptors are valid").file;
        let service = files.iter().flat_map(|file| &file.service).find(|service| service.name() == "Maglev");
        let methods = service.expect("the service exists").method.iter();
        let operate = methods.filter(|method| permission(SERVICE_NAME, method.name()) == Some(Permission::Operate));
        assert_eq!(operate.map(prost_types::MethodDescriptorProto::name).collect::<Vec<_>>(), OPERATOR_METHODS);
        assert_eq!(split("/maglev.v1.Maglev/GetState"), (SERVICE_NAME, "GetState"));
        for (path, expected) in [
            ("/grpc.health.v1.Health/Check", None),
            ("/grpc.health.v1.Health/Watch", None),
            ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", Some(Permission::View)),
            ("/maglev.v1.Maglev/GetState", Some(Permission::View)),
            ("//grpc.health.v1.HealthX/Check", Some(Permission::View)),
            ("/", Some(Permission::View)),
            ("", Some(Permission::View)),
        ] {
            let (service, method) = split(path);
            assert_eq!(permission(service, method), expected, "{path}");
        }
    }
}
