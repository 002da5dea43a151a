//! Volume mounts without mount namespaces: paths below a mount in args and env are replaced by the path of the volume.

/// The mounts of one container.
#[derive(Clone, Debug, Default)]
pub struct PathMap {
    /// Mount path without a trailing slash, and the real path; longest mount path first.
    mounts: Vec<(String, String)>,
}

impl PathMap {
    /// Adds a mount. Ignores a mount at `/`, which is impossible without a namespace.
    pub fn mount(&mut self, mount_path: &str, real: &str) {
        let mount_path = mount_path.trim_end_matches('/');
        if mount_path.is_empty() {
            return;
        }
        self.mounts.push((mount_path.to_owned(), real.trim_end_matches('/').to_owned()));
        self.mounts.sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
    }

    /// Rewrites all whole paths in `text`: a path begins at the start of the text, after `://` or after a character that
    /// cannot be part of a path, and its mounted part ends at the end of a component.
    pub fn rewrite(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut at = 0;
        while let Some(next) = text[at..].chars().next() {
            match self.mount_at(text, at) {
                Some((mount_path, real)) => {
                    out.push_str(real);
                    at += mount_path.len();
                }
                None => {
                    out.push(next);
                    at += next.len_utf8();
                }
            }
        }
        out
    }

    fn mount_at(&self, text: &str, at: usize) -> Option<&(String, String)> {
        let (before, rest) = text.split_at(at);
        let starts_path = before.ends_with("://") || !before.ends_with(|c: char| c == '/' || in_component(c));
        let ends_component = |mount_path: &str| !rest[mount_path.len()..].starts_with(in_component);
        (starts_path && rest.starts_with('/'))
            .then(|| self.mounts.iter().find(|(path, _)| rest.starts_with(path.as_str()) && ends_component(path)))
            .flatten()
    }
}

/// True for characters within a path component, as far as paths in flags and URLs are concerned.
fn in_component(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '~' | '+' | '%' | '@')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map() -> PathMap {
        let mut map = PathMap::default();
        map.mount("/run", "/srv/run-of-node");
        map.mount("/run/vpp/", "/srv/n/run/vpp");
        map.mount("/", "/srv");
        map
    }

    #[test]
    fn whole_paths_are_rewritten_anywhere_in_an_argument() {
        for (text, expected) in [
            ("/run/vpp", "/srv/n/run/vpp"),
            ("/run/vpp/", "/srv/n/run/vpp/"),
            ("/run/vpp/api.sock", "/srv/n/run/vpp/api.sock"),
            ("--api=/run/vpp/api.sock", "--api=/srv/n/run/vpp/api.sock"),
            ("unix:/run/vpp/a,unix:///run/vpp/b", "unix:/srv/n/run/vpp/a,unix:///srv/n/run/vpp/b"),
            ("/run/netns", "/srv/run-of-node/netns"),
            ("/run:/run/vpp", "/srv/run-of-node:/srv/n/run/vpp"),
            ("é=/run/vpp", "é=/srv/n/run/vpp"),
        ] {
            assert_eq!(map().rewrite(text), expected);
        }
    }

    #[test]
    fn similar_paths_are_not_rewritten() {
        for text in ["/runner", "/run-2/x", "/var/run/vpp", "http://host/run/vpp", "run/vpp", "/", "", "a/run"] {
            assert_eq!(map().rewrite(text), text);
        }
    }

    #[test]
    fn replacements_are_not_rewritten_again() {
        let mut map = PathMap::default();
        map.mount("/data", "/data/deeper");
        assert_eq!(map.rewrite("/data/x"), "/data/deeper/x");
    }
}
