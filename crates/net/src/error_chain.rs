//! The text of an error with its causes.

use std::error::Error;

/// The error's text followed by its sources, separated by `: `. A source whose text is already part of the text is
/// left out: some errors repeat their source.
pub fn error_chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use std::{fmt, io};

    use super::*;

    #[derive(Debug)]
    struct Outer(&'static str, io::Error);

    impl fmt::Display for Outer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Outer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.1)
        }
    }

    #[test]
    fn sources_are_appended_unless_already_part_of_the_text() {
        assert_eq!(error_chain(&Outer("cannot connect", io::Error::other("refused"))), "cannot connect: refused");
        assert_eq!(error_chain(&Outer("it was refused", io::Error::other("refused"))), "it was refused");
    }
}
