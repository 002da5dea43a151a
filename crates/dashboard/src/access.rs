//! The first check of each request: names of the site, and requests of other sites.
//!
//! A page of another site can make a browser resolve the page's own name to the dashboard's address (DNS rebinding). The
//! request then has that name in `Host`.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header, uri::Authority},
    middleware::Next,
    response::Response,
};
use ipnet::IpNet;
use maglev_net::ConnectionHandle;

use super::{client::Client, metrics::Metrics, responses::error_response};

/// Names that a request may have in `Host`. Addresses are always allowed: a browser sends one only for a URL that
/// contains it.
#[derive(Clone, Debug, Default)]
pub struct AllowedHosts {
    names: BTreeSet<String>,
    any: bool,
}

impl AllowedHosts {
    /// The names, without ports, beside `localhost`. `*.example.org` allows every name below it, and `*` every name.
    pub fn new(names: &[String]) -> Self {
        let names: BTreeSet<_> = names.iter().map(|name| canonical(name)).collect();
        Self { any: names.contains("*"), names }
    }

    fn allow(&self, host: &str) -> bool {
        let name = without_port(host);
        let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        let name = canonical(name);
        let is_below = |name: &str, parent: &String| parent.strip_prefix('*').is_some_and(|end| name.ends_with(end));
        self.any
            || name == "localhost"
            || self.names.contains(&name)
            || self.names.iter().any(|parent| is_below(&name, parent))
            || address.parse::<IpAddr>().is_ok()
    }
}

fn canonical(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    }
}

/// The check of requests.
#[derive(Debug)]
pub struct Access {
    pub(crate) hosts: AllowedHosts,
    pub(crate) proxies: Vec<IpNet>,
    pub(crate) metrics: Metrics,
}

/// Refuses requests for another site or from another site. Adds the [`Client`] to the extensions of other requests.
pub async fn check(State(access): State<Arc<Access>>, mut request: Request, next: Next) -> Response {
    let hosts = request.uri().authority().map(Authority::as_str).into_iter();
    let hosts = hosts.chain(request.headers().get_all(header::HOST).iter().map(|host| host.to_str().unwrap_or("?")));
    let hosts: Vec<_> = hosts.collect();
    if hosts.is_empty() || !hosts.iter().all(|host| access.hosts.allow(host)) {
        access.metrics.refused("HostNotAllowed");
        let host = hosts.first().map_or_else(|| "no Host header".to_owned(), |host| format!("the host {host:?}"));
        let message = format!("the request has {host}: use an address, or allow the name with --allowed-hosts");
        return error_response(StatusCode::MISDIRECTED_REQUEST, "HostNotAllowed", &message);
    }
    if is_cross_site(request.headers()) && is_api(request.uri().path()) {
        access.metrics.refused("CrossSite");
        let message = "the request comes from another site (Sec-Fetch-Site)";
        return error_response(StatusCode::FORBIDDEN, "CrossSite", message);
    }
    if let Some(connection) = request.extensions().get::<ConnectionHandle>().cloned() {
        let client = Client::new(connection, request.headers(), &access.proxies);
        request.extensions_mut().insert(client);
    }
    next.run(request).await
}

fn is_cross_site(headers: &HeaderMap) -> bool {
    headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site")
}

fn is_api(path: &str) -> bool {
    path.contains("/view/api/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_configured_names_are_allowed() {
        let hosts = AllowedHosts::new(&["lb.example", "Maglev.Shop.", "*.site.example"].map(str::to_owned));
        for (host, allowed) in [
            ("127.0.0.1:8080", true),
            ("[::1]:8080", true),
            ("[2001:db8::1]", true),
            ("203.0.113.7", true),
            ("localhost:8080", true),
            ("LB.example", true),
            ("lb.example.:443", true),
            ("maglev.shop", true),
            ("a.site.example", true),
            ("site.example", false),
            ("asite.example", false),
            ("evil.example", false),
            ("lb.example.evil.example", false),
            ("127.0.0.1.evil.example:8080", false),
            ("localhost.evil.example", false),
            ("", false),
            (":8080", false),
        ] {
            assert_eq!(hosts.allow(host), allowed, "{host}");
        }
        assert!(AllowedHosts::new(&["*".to_owned()]).allow("evil.example"));
    }
}
