//! Cargo features that a config needs, and the refusal of a config whose feature a build lacks.

use twinkey_engines::{EngineKind, is_in_build};

use super::table::Table;

/// The start of the message of a missing feature; its name follows in backquotes.
const MESSAGE: &str = "needs a build of twinkey with the Cargo feature ";

/// The hint for each feature.
const HINTS: [(&str, &str); 6] = [
    ("`aws`", "use a build with the Cargo feature `aws`"),
    (
        "`documentdb`",
        "use a build with the Cargo feature `documentdb`",
    ),
    ("`mysql`", "use a build with the Cargo feature `mysql`"),
    ("`notify`", "use a build with the Cargo feature `notify`"),
    (
        "`postgres`",
        "use a build with the Cargo feature `postgres`",
    ),
    (
        "`redshift`",
        "use a build with the Cargo feature `redshift`",
    ),
];

/// Reports that `key` needs the feature, unless the build has it.
pub(super) fn require(table: &Table<'_>, key: &str, feature: &str, in_build: bool) {
    if !in_build {
        table.error(key, format!("{MESSAGE}`{feature}`"));
    }
}

/// Reports that `engine` needs a feature, unless the build has it.
pub(super) fn require_engine(table: &Table<'_>, engine: Option<EngineKind>) {
    if let Some(kind) = engine {
        require(table, "engine", kind.feature(), is_in_build(kind));
    }
}

/// The hint for an error of [`require`]; `None` for other errors.
pub(super) fn hint(message: &str) -> Option<&'static str> {
    let feature = message.strip_prefix(MESSAGE)?;
    let known = HINTS.iter().find(|(name, _)| *name == feature);
    known.map(|(_, hint)| *hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_missing_feature_has_a_hint_that_names_it() {
        for feature in [
            "aws",
            "documentdb",
            "mysql",
            "notify",
            "postgres",
            "redshift",
        ] {
            let hint = hint(&format!("{MESSAGE}`{feature}`")).unwrap();
            assert!(hint.contains(&format!("`{feature}`")), "{hint}");
        }
        assert_eq!(hint("is missing"), None);
    }
}
