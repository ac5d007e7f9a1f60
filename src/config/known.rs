//! Every key there is, and those that this version does not carry out yet.
//!
//! What can go wrong: a key is known to the documentation and not to the program, or the other way
//! round. A test holds [`KEYS`] against the annotated reference.

/// The keys of each table. `[defaults]` has those of `rotation` but for [`NO_DEFAULT`].
pub(super) const KEYS: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "server", "journal", "secrets", "limits", "notify", "hook", "defaults", "rotation",
        ],
    ),
    (
        "server",
        &["listen", "admin_token", "admin_token_file", "tls"],
    ),
    ("server.tls", &["cert", "key"]),
    ("journal", &["url", "password"]),
    (
        "secrets",
        &["backend", "region", "endpoint_url", "path", "key_file"],
    ),
    (
        "limits",
        &["concurrency", "per_host", "store_writes_per_second"],
    ),
    (
        "rotation",
        &[
            "name",
            "secret",
            "schedule",
            "window",
            "master_secret",
            "engine",
            "clone_suffix",
            "standby",
            "grants",
            "min_interval",
            "in_use",
            "retire_after",
            "heartbeat",
            "missed",
            "spread",
            "probe",
            "password",
            "tls",
            "postgres",
            "documentdb",
            "redshift",
        ],
    ),
    (
        "notify",
        &[
            "kind",
            "events",
            "url",
            "key",
            "ca_file",
            "topic_arn",
            "bus",
        ],
    ),
    (
        "hook",
        &[
            "kind",
            "rotations",
            "timeout",
            "concurrency",
            "command",
            "cluster",
            "services",
        ],
    ),
    ("rotation.password", &["length", "symbols"]),
    ("rotation.tls", &["mode", "ca_file"]),
    ("rotation.postgres", &["set_role"]),
    ("rotation.documentdb", &["reader"]),
    (
        "rotation.redshift",
        &["cluster", "workgroup", "db_user", "probe"],
    ),
];

/// The keys of a rotation that belong to it alone.
pub(super) const NO_DEFAULT: &[&str] = &["name", "secret", "schedule"];

// What the contract has and this version does not: refused, never silently accepted. A version that
// carries one of these out deletes its line here (and adds the key above).

/// (table, key)
const UNSUPPORTED_KEYS: &[(&str, &str)] = &[("secrets", "serve")];

/// Whether a key is one of a later version.
pub(super) fn is_unsupported_key(table: &str, key: &str) -> bool {
    UNSUPPORTED_KEYS.contains(&(table, key))
}

/// The keys of a table.
pub(super) fn keys(table: &str) -> &'static [&'static str] {
    KEYS.iter()
        .find(|(name, _)| *name == table)
        .map_or(&[], |(_, keys)| keys)
}

/// The one of `names` that `text` was most likely meant to be, if any is close.
pub(super) fn nearest<'a>(text: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    names
        .into_iter()
        .map(|name| (strsim::jaro_winkler(&text.to_lowercase(), name), name))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}
