//! Passes commit and commit date of the checkout to the compiler. Runs again only when `.git/HEAD` or its branch changes.

use vergen_gitcl::{Emitter, Gitcl};

fn main() {
    let git = Gitcl::builder().sha(true).commit_timestamp(true).build();
    let emitted = Emitter::default().fail_on_error().add_instructions(&git).and_then(|emitter| emitter.emit());
    // Without git or outside a checkout, the library falls back to `unknown`.
    if let Err(error) = emitted {
        println!("cargo::warning=no commit from git: {error:#}");
    }
}
