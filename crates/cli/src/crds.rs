//! `crds`: the CustomResourceDefinitions, ready for `kubectl apply -f -`.

use maglev_crd as crd;

/// All of them, as documents of one YAML stream.
pub fn yaml() -> anyhow::Result<String> {
    let documents = crd::all().iter().map(crd::yaml).collect::<Result<Vec<_>, _>>()?;
    Ok(documents.join("---\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_are_those_that_are_committed() {
        let all = yaml().unwrap();
        let mut committed: Vec<_> = std::fs::read_dir("crds").unwrap().map(|entry| entry.unwrap().path()).collect();
        committed.retain(|path| path.extension().is_some_and(|end| end == "yaml"));
        assert_eq!(committed.len(), all.split("---\n").count());
        for path in committed {
            let text = std::fs::read_to_string(&path).unwrap();
            let body: String =
                text.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n")).collect();
            assert!(all.contains(body.trim_start_matches("---\n")), "{} is printed", path.display());
        }
    }
}
