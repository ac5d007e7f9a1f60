//! Every key there is.
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
        &[
            "backend",
            "region",
            "endpoint_url",
            "path",
            "key_file",
            "serve",
        ],
    ),
    ("secrets.serve", &["listen", "keys_file", "tls"]),
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
