//! One conformance suite over every secret store.

mod support;
