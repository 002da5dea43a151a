//! Expands `$(NAME)` in a container's command, args and env values, by the rules of Kubernetes.

/// Replaces `$(NAME)` by the result of `lookup`, and `$$` by `$`. Unknown names, unclosed parentheses and other `$` are kept.
pub fn expand(text: &str, lookup: impl Fn(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        if let Some(escaped) = after.strip_prefix('$') {
            out.push('$');
            rest = escaped;
        } else if let Some((name, tail)) = after.strip_prefix('(').and_then(|inner| inner.split_once(')')) {
            match lookup(name) {
                Some(value) => out.push_str(&value),
                None => out.extend(["$(", name, ")"]),
            }
            rest = tail;
        } else {
            out.push('$');
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(text: &str) -> String {
        let lookup = |name: &str| match name {
            "A" => Some("1".to_owned()),
            "LOOP" => Some("$(A)".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        expand(text, lookup)
    }

    #[test]
    fn known_names_are_replaced_once() {
        assert_eq!(expanded("x$(A)y$(A)"), "x1y1");
        assert_eq!(expanded("$(LOOP)"), "$(A)");
        assert_eq!(expanded("[$(EMPTY)]"), "[]");
        assert_eq!(expanded("$(B) $(A)"), "$(B) 1");
    }

    #[test]
    fn double_dollar_is_an_escape() {
        assert_eq!(expanded("$$(A)"), "$(A)");
        assert_eq!(expanded("$$$(A)"), "$1");
        assert_eq!(expanded("$A ${A} $"), "$A ${A} $");
        assert_eq!(expanded("$(A"), "$(A");
        assert_eq!(expanded("π$(A)π"), "π1π");
    }
}
