//! Selection of the proxy for connections to the API server, by the rules of client-go and kubectl.
//!
//! The cluster's `proxy-url` is always used. Without it `HTTPS_PROXY` (for an `http://` server: `HTTP_PROXY`) applies,
//! except for `localhost`, loopback addresses and the hosts in `NO_PROXY`. Each variable may be in lower case.
//! The decision is made here because kube compares `NO_PROXY` with the proxy's own address.

use std::net::IpAddr;

use http::{Uri, uri};
use ipnet::IpNet;

/// An environment variable's value by its name.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A proxy URL that cannot be used. The text leaves out the URL, which may contain a password.
#[derive(Debug, thiserror::Error)]
#[error("{origin} is not a usable proxy URL: {reason}")]
pub struct ProxyError {
    /// The field or variable that holds the URL.
    origin: String,
    reason: String,
}

/// The proxy for requests to `server`; `proxy_url` is the field of the kubeconfig's cluster.
pub fn select(proxy_url: Option<&str>, server: &Uri, env: Environment<'_>) -> Result<Option<Uri>, ProxyError> {
    if let Some(url) = proxy_url.filter(|url| !url.is_empty()) {
        return parse(url).map(Some).map_err(|reason| ProxyError { origin: "proxy-url".to_owned(), reason });
    }
    let names =
        if server.scheme_str() == Some("http") { ["HTTP_PROXY", "http_proxy"] } else { ["HTTPS_PROXY", "https_proxy"] };
    let Some((name, url)) = first_set(&names, env) else { return Ok(None) };
    let no_proxy = first_set(&["NO_PROXY", "no_proxy"], env).map(|(_, value)| value).unwrap_or_default();
    if is_direct(server, &no_proxy) {
        return Ok(None);
    }
    let url = if url.contains("://") { url } else { format!("http://{url}") };
    parse(&url).map(Some).map_err(|reason| ProxyError { origin: name.to_owned(), reason })
}

/// The first of the variables that is set and not empty.
fn first_set<'n>(names: &[&'n str], env: Environment<'_>) -> Option<(&'n str, String)> {
    names.iter().find_map(|name| Some((*name, env(name).filter(|value| !value.is_empty())?)))
}

fn parse(url: &str) -> Result<Uri, String> {
    let uri: Uri = url.parse().map_err(|error| format!("{error}"))?;
    let authority = uri.authority().ok_or("it has no host")?;
    let credentials = authority.as_str().contains('@');
    let (scheme, authority) = match uri.scheme_str() {
        Some("http" | "https") => return Ok(uri),
        Some("socks5" | "socks5h") if credentials => {
            return Err("user name and password are supported for http and https proxies only".to_owned());
        }
        Some("socks5" | "socks5h") if authority.port().is_none() => ("socks5", format!("{authority}:1080")),
        Some("socks5" | "socks5h") => ("socks5", authority.to_string()),
        Some(scheme) => return Err(format!("found the scheme {scheme}, allowed are http, https and socks5")),
        None => return Err("it has no scheme; allowed are http, https and socks5".to_owned()),
    };
    let built = uri::Builder::new().scheme(scheme).authority(authority).path_and_query("/").build();
    built.map_err(|error| format!("{error}"))
}

/// True if an environment's proxy does not apply to the server.
fn is_direct(server: &Uri, no_proxy: &str) -> bool {
    let Some(host) = server.host() else { return true };
    let host = host.trim_matches(['[', ']']).to_lowercase();
    let address = host.parse::<IpAddr>().ok();
    if host == "localhost" || address.is_some_and(|address| address.is_loopback()) {
        return true;
    }
    let port = server.port_u16().unwrap_or(if server.scheme_str() == Some("http") { 80 } else { 443 });
    no_proxy.split(',').map(|entry| entry.trim().to_lowercase()).any(|entry| matches(&entry, &host, address, port))
}

/// True if an entry of `NO_PROXY` covers the host. An entry that cannot be parsed covers nothing.
fn matches(entry: &str, host: &str, address: Option<IpAddr>, port: u16) -> bool {
    if entry == "*" {
        return true;
    }
    if let Ok(network) = entry.parse::<IpNet>() {
        return address.is_some_and(|address| network.contains(&address));
    }
    let (name, entry_port) = split_port(entry);
    if entry_port.is_some_and(|entry_port| entry_port != port.to_string()) {
        return false;
    }
    if let Ok(entry_address) = name.parse::<IpAddr>() {
        return address == Some(entry_address);
    }
    let name = name.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(name);
    match name.strip_prefix('.') {
        Some(domain) => !domain.is_empty() && host.ends_with(name),
        None => !name.is_empty() && (host == name || host.ends_with(&format!(".{name}"))),
    }
}

/// Splits `host:port`, `[address]:port`, or a host alone.
fn split_port(entry: &str) -> (&str, Option<&str>) {
    match entry.rsplit_once(':') {
        Some((host, port)) if host.starts_with('[') && host.ends_with(']') => {
            (host.trim_matches(['[', ']']), Some(port))
        }
        Some((host, port)) if !host.contains(':') => (host, Some(port)),
        _ => (entry, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn select_with(
        proxy_url: Option<&str>,
        server: &str,
        variables: &[(&str, &str)],
    ) -> Result<Option<String>, String> {
        let env = |name: &str| Some(variables.iter().find(|(variable, _)| *variable == name)?.1.to_owned());
        let selected = select(proxy_url, &server.parse().unwrap(), &env).map_err(|error| error.to_string())?;
        Ok(selected.map(|uri| uri.to_string()))
    }

    #[test]
    fn no_proxy_covers_the_hosts_that_it_covers_for_kubectl() {
        for (no_proxy, server, direct) in [
            ("", "https://api.example:6443", false),
            ("*", "https://api.example:6443", true),
            ("api.example", "https://api.example:6443", true),
            ("example", "https://api.example:6443", true),
            ("ample", "https://api.example:6443", false),
            (".api.example", "https://api.example:6443", false),
            ("*.example", "https://api.example:6443", true),
            ("API.Example", "https://Api.example:6443", true),
            ("api.example:6443", "https://api.example:6443", true),
            ("api.example:443", "https://api.example:6443", false),
            ("api.example:443", "https://api.example", true),
            ("other, api.example ,", "https://api.example:6443", true),
            (",,a/b,[::1,:80,.", "https://api.example:6443", false),
            ("10.0.0.0/8", "https://10.9.8.7:6443", true),
            ("10.0.0.0/8", "https://api.example:6443", false),
            ("10.9.8.7", "https://10.9.8.7:6443", true),
            ("10.9.8.7:443", "https://10.9.8.7:6443", false),
            ("fd00::/8", "https://[fd00::1]:6443", true),
            ("fd00::1", "https://[fd00::1]:6443", true),
            ("[fd00::1]:6443", "https://[fd00::1]:6443", true),
            ("[fd00::1]:443", "https://[fd00::1]:6443", false),
            // The proxy's own host in NO_PROXY is without effect.
            ("proxy.example,proxy.example:3128", "https://api.example:6443", false),
            ("", "https://localhost:6443", true),
            ("", "https://127.0.0.1:6443", true),
            ("", "https://[::1]:6443", true),
        ] {
            let variables = [("HTTPS_PROXY", "http://proxy.example:3128"), ("NO_PROXY", no_proxy)];
            let expected = (!direct).then(|| "http://proxy.example:3128/".to_owned());
            assert_eq!(select_with(None, server, &variables), Ok(expected), "NO_PROXY={no_proxy} {server}");
            let proxied = select_with(Some("http://own.example:1"), server, &variables);
            assert_eq!(proxied, Ok(Some("http://own.example:1/".to_owned())), "proxy-url is always used: {server}");
        }
    }

    #[test]
    fn variable_follows_the_server_scheme() {
        let upper = [("HTTPS_PROXY", "http://s"), ("https_proxy", "http://t"), ("HTTP_PROXY", "http://p")];
        assert_eq!(select_with(None, "https://api.example", &upper), Ok(Some("http://s/".to_owned())));
        assert_eq!(select_with(None, "http://api.example", &upper), Ok(Some("http://p/".to_owned())));
        let lower = [("HTTPS_PROXY", ""), ("https_proxy", "http://t"), ("no_proxy", "api.example")];
        assert_eq!(select_with(None, "https://other.example", &lower), Ok(Some("http://t/".to_owned())));
        assert_eq!(select_with(None, "https://api.example", &lower), Ok(None));
        assert_eq!(select_with(Some(""), "https://api.example", &[]), Ok(None));
    }

    #[test]
    fn proxy_urls_have_defaults_and_errors_without_the_password() {
        for (url, expected) in [
            ("socks5://proxy", Ok("socks5://proxy:1080/")),
            ("socks5h://[::1]:9", Ok("socks5://[::1]:9/")),
            ("https://user:word@proxy", Ok("https://user:word@proxy/")),
            ("ftp://user:word@proxy", Err("found the scheme ftp, allowed are http, https and socks5")),
            ("socks5://user:word@proxy", Err("user name and password are supported for http and https proxies only")),
            ("http://", Err("empty string")),
        ] {
            let expected = expected.map(|uri| Some(uri.to_owned()));
            let error = |reason: &str| format!("HTTPS_PROXY is not a usable proxy URL: {reason}");
            let selected = select_with(None, "https://api.example", &[("HTTPS_PROXY", url)]);
            assert_eq!(selected, expected.map_err(error), "{url}");
        }
        let bare = select_with(None, "https://api.example", &[("HTTPS_PROXY", "proxy.example:3128")]);
        assert_eq!(bare, Ok(Some("http://proxy.example:3128/".to_owned())));
        let bare = select_with(Some("proxy.example:3128"), "https://api.example", &[]);
        assert_eq!(
            bare,
            Err("proxy-url is not a usable proxy URL: it has no scheme; allowed are http, https and socks5".to_owned())
        );
    }
}
