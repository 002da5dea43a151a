//! Reads manifests from files, directories and standard input.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use serde_json::Value;

/// Ends of the names of manifests in a directory, as for kubectl.
const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];

/// The objects of all files, in order.
///
/// # Errors
/// A file cannot be read or is not YAML.
pub fn read_all(paths: &[PathBuf]) -> anyhow::Result<Vec<Value>> {
    let mut objects = Vec::new();
    for path in paths {
        if path == Path::new("-") {
            let text = io::read_to_string(io::stdin()).context("cannot read standard input")?;
            objects.extend(parse(&text).context("standard input")?);
            continue;
        }
        for file in files(path)? {
            let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
            objects.extend(parse(&text).with_context(|| file.display().to_string())?);
        }
    }
    Ok(objects)
}

/// `path`, or the manifests in the directory and those below it.
fn files(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let cannot_read = || format!("cannot read {}", path.display());
    if !fs::metadata(path).with_context(cannot_read)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries: io::Result<Vec<_>> = fs::read_dir(path).with_context(cannot_read)?.collect();
    let mut entries: Vec<PathBuf> = entries.with_context(cannot_read)?.into_iter().map(|entry| entry.path()).collect();
    entries.sort();
    let mut found = Vec::new();
    for entry in entries {
        let is_manifest = entry.extension().and_then(|end| end.to_str()).is_some_and(|end| EXTENSIONS.contains(&end));
        // A link to a directory can be a loop.
        if fs::symlink_metadata(&entry).with_context(cannot_read)?.is_dir() {
            found.extend(files(&entry)?);
        } else if is_manifest && entry.is_file() {
            found.push(entry);
        }
    }
    Ok(found)
}

/// The objects of the documents in `text`, and of the lists among them.
fn parse(text: &str) -> anyhow::Result<Vec<Value>> {
    let documents: Vec<Value> =
        serde_saphyr::from_multiple(text).map_err(|error| anyhow::anyhow!("not valid YAML: {error}"))?;
    let mut objects = Vec::new();
    for document in documents.into_iter().filter(|document| !document.is_null()) {
        let Some(fields) = document.as_object() else { bail!("a document is not an object") };
        let is_list = fields.get("kind").and_then(Value::as_str).is_some_and(|kind| kind.ends_with("List"));
        match fields.get("items").and_then(Value::as_array).filter(|_| is_list) {
            Some(items) => objects.extend(items.iter().cloned()),
            None => objects.push(document),
        }
    }
    Ok(objects)
}

/// Kind and name, for an object that is skipped.
pub fn title(object: &Value) -> String {
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str);
    let name = text("/metadata/name").unwrap_or("without name");
    format!("{} {name}", text("/kind").unwrap_or("object without kind"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn titles(paths: &[&Path]) -> Vec<String> {
        let paths: Vec<_> = paths.iter().map(|path| (*path).to_owned()).collect();
        read_all(&paths).unwrap().iter().map(title).collect()
    }

    #[test]
    fn documents_lists_and_directories_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = dir.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            path
        };
        let object = |kind: &str, name: &str| format!("{{kind: {kind}, metadata: {{name: {name}}}}}\n");
        write("b.yaml", &format!("---\n{}---\n{}---\n", object("Backend", "b1"), object("Backend", "b2")));
        write(
            "a/list.json",
            r#"{"kind": "List", "items": [{"kind": "Pod", "metadata": {"name": "p"}}, {"kind": "X"}]}"#,
        );
        write("notes.txt", "not: [yaml");
        assert_eq!(titles(&[dir.path()]), ["Pod p", "X without name", "Backend b1", "Backend b2"]);
        let odd = write("odd.txt", "- 1\n");
        assert_eq!(
            format!("{:#}", read_all(std::slice::from_ref(&odd)).unwrap_err()),
            format!("{}: a document is not an object", odd.display())
        );
        let broken = format!("{:#}", read_all(&[dir.path().join("notes.txt")]).unwrap_err());
        assert!(broken.contains("notes.txt: not valid YAML"), "{broken}");
        let missing = format!("{:#}", read_all(&[dir.path().join("none")]).unwrap_err());
        assert!(missing.starts_with("cannot read") && missing.contains("none"), "{missing}");
    }
}
