//! The generated files, and what one object's schema refuses.
use std::{env, fs, path::Path};

use super::{all, yaml};

#[test]
fn generated_files_are_current() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("crds");
    for crd in all() {
        let name = crd.spec.names.plural.clone();
        let path = directory.join(format!("{name}.yaml"));
        let wanted = yaml(&crd).unwrap();
        if env::var_os("UPDATE_CRDS").is_some() {
            fs::create_dir_all(&directory).unwrap();
            fs::write(&path, &wanted).unwrap();
        }
        let found = fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(found, wanted, "{} is not current: run make crds", path.display());
    }
}
