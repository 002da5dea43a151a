//! Volume mounts without mount namespaces: a path in args or env that lies under a mount is rewritten to where the volume really is.

/// The mounts of one container.
#[derive(Clone, Debug, Default)]
pub struct PathMap {
    /// Mount path without a slash at its end, and the real path; the longest mount path first.
    mounts: Vec<(String, String)>,
}

impl PathMap {
    /// Adds a mount. A mount at `/` is not possible without a namespace and is left out.
    pub fn mount(&mut self, mount_path: &str, real: &str) {
        let mount_path = mount_path.trim_end_matches('/');
        if mount_path.is_empty() {
            return;
        }
        self.mounts.push((mount_path.to_owned(), real.trim_end_matches('/').to_owned()));
        self.mounts.sort_by_key(|(path, _)| std::cmp::Reverse(path.len()));
    }

    /// Rewrites every whole path in `text`: one that begins at the start of the text or after a character that cannot be part of a path
    /// (or after `://`), and whose mounted part ends at a component's end.
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
        let begins = before.ends_with("://") || !before.ends_with(|c: char| c == '/' || in_component(c));
        let ends = |mount_path: &str| !rest[mount_path.len()..].starts_with(in_component);
        (begins && rest.starts_with('/'))
            .then(|| self.mounts.iter().find(|(path, _)| rest.starts_with(path.as_str()) && ends(path)))
            .flatten()
    }
}

/// Whether the character can stand within a path's component, as far as paths in flags and URLs go.
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
    fn whole_paths_are_rewritten_wherever_they_stand_in_an_argument() {
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
    fn what_only_looks_like_a_mounted_path_stays() {
        for text in ["/runner", "/run-2/x", "/var/run/vpp", "http://host/run/vpp", "run/vpp", "/", "", "a/run"] {
            assert_eq!(map().rewrite(text), text);
        }
    }

    #[test]
    fn what_was_written_is_not_rewritten_again() {
        let mut map = PathMap::default();
        map.mount("/data", "/data/deeper");
        assert_eq!(map.rewrite("/data/x"), "/data/deeper/x");
    }
}
