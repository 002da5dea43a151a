//! What a person types: the custom resources, one kind per file.
