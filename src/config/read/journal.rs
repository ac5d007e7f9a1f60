//! Reader of `[journal]`: an SQLite file or a PostgreSQL database.
//!
//! # Failure modes
//! - An error message reveals the password in the URL: errors quote neither the URL nor its user.
//! - A worker connects over a network in plain text: without `sslmode` the server is verified, unless it is
//!   on this machine, and modes with a fallback are refused.
//! - An unknown option is ignored: it is an error.

use std::net::IpAddr;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use reqwest::Url;

use super::references::{Folder, token_source};
use crate::config::settings::{JournalLocation, JournalPassword, PostgresLocation};
use crate::config::table::Table;
use twinkey_core::secret::Sensitive;
use twinkey_engines::{Tls, TlsMode};

pub(super) const KEYS: &[&str] = &["url", "password", "keep"];

/// `keep` by default: more than a year, so that last year's rotations can be compared.
const KEEP: Duration = Duration::from_secs(400 * 86_400);
/// The shortest `keep`: the newest runs explain the state of today.
const MIN_KEEP: Duration = Duration::from_secs(86_400);

const FORM: &str = "must be sqlite://PATH without options, or postgres://USER@HOST:PORT/DATABASE";

/// `[journal]`; `None`, or errors in its table, if it is not valid.
pub(super) fn journal(root: &Table<'_>, folder: Folder<'_>) -> Option<(JournalLocation, Duration)> {
    let table = root.table("journal", KEYS);
    let keep = table.as_ref().and_then(keep).unwrap_or(KEEP);
    Some((location(table.as_ref(), folder)?, keep))
}

/// `journal.keep`
fn keep(table: &Table<'_>) -> Option<Duration> {
    let keep = table.duration("keep")?;
    if keep < MIN_KEEP {
        table.error("keep", "must be at least 1d");
        return None;
    }
    Some(keep)
}

/// `journal.url` and `journal.password`.
fn location(table: Option<&Table<'_>>, folder: Folder<'_>) -> Option<JournalLocation> {
    let url = match table.filter(|table| table.has("url")) {
        Some(table) => Some(table.text("url")?),
        None => None,
    };
    if let Some(url) = url
        && ["postgres://", "postgresql://"]
            .iter()
            .any(|begin| url.starts_with(begin))
    {
        return postgres(table?, url, folder).map(JournalLocation::Postgres);
    }
    if let Some(table) = table.filter(|table| table.has("password")) {
        table.error("password", "is only for url = \"postgres://…\"");
    }
    let Some(url) = url else {
        return Some(JournalLocation::Sqlite(folder.join("twinkey.db")));
    };
    match url.strip_prefix("sqlite://") {
        Some(path) if !path.is_empty() && !path.contains('?') => {
            Some(JournalLocation::Sqlite(folder.join(path)))
        }
        _ => {
            table?.error("url", FORM);
            None
        }
    }
}

fn postgres(table: &Table<'_>, text: &str, folder: Folder<'_>) -> Option<PostgresLocation> {
    let refuse = |why: &str| {
        table.error("url", why);
        None
    };
    let Some(url) = Url::parse(text).ok().filter(Url::has_host) else {
        return refuse(FORM);
    };
    let decoded = |text: &str| {
        percent_decode_str(text)
            .decode_utf8()
            .map(String::from)
            .ok()
    };
    let (Some(host), Some(user), Some(database), Some(password)) = (
        decoded(url.host_str().unwrap_or_default().trim_matches(['[', ']'])),
        decoded(url.username()).filter(|user| !user.is_empty()),
        decoded(url.path().trim_start_matches('/'))
            .filter(|name| !name.is_empty() && !name.contains('/')),
        url.password()
            .map_or(Some(None), |text| decoded(text).map(Some)),
    ) else {
        return refuse(FORM);
    };
    if url.fragment().is_some() {
        return refuse("contains #: write %23 in a password");
    }
    let (mut mode, mut ca_file) = (None, None);
    for (key, value) in url.query_pairs() {
        match (&*key, &*value) {
            ("sslmode", "disable") => mode = Some(TlsMode::Disable),
            ("sslmode", "require") => mode = Some(TlsMode::Require),
            ("sslmode", "verify-ca") => mode = Some(TlsMode::VerifyCa),
            ("sslmode", "verify-full") => mode = Some(TlsMode::VerifyFull),
            ("sslmode", _) => {
                return refuse(
                    "has an sslmode other than disable, require, verify-ca and verify-full",
                );
            }
            ("sslrootcert", file) if !file.is_empty() => ca_file = Some(folder.join(file)),
            _ => return refuse("has an option other than sslmode and sslrootcert"),
        }
    }
    let password = match (password, table.has("password")) {
        (Some(_), true) => {
            table.error(
                "password",
                "conflicts with the password in url: keep one of them",
            );
            return None;
        }
        (Some(password), false) => Some(JournalPassword::InUrl(Sensitive::from(password))),
        (None, true) => {
            let text = table.text("password")?;
            Some(JournalPassword::Source(token_source(
                table, "password", text, folder,
            )?))
        }
        (None, false) => None,
    };
    Some(PostgresLocation {
        tls: Tls {
            mode: mode.unwrap_or(if is_this_machine(&host) {
                TlsMode::Disable
            } else {
                TlsMode::VerifyFull
            }),
            ca_file,
        },
        host,
        port: url.port().unwrap_or(5432),
        user,
        password,
        database,
    })
}

/// Whether a host is loopback or the folder of a Unix socket.
fn is_this_machine(host: &str) -> bool {
    let address: Result<IpAddr, _> = host.parse();
    host.starts_with('/') || address.map_or(host == "localhost", |address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use secrecy::ExposeSecret;

    use super::*;
    use crate::config::settings::TokenSource;

    fn read(journal: &str) -> JournalLocation {
        crate::config::testing::local(&format!("[journal]\n{journal}")).journal
    }

    fn postgres(url: &str) -> PostgresLocation {
        match read(&format!("url = \"{url}\"")) {
            JournalLocation::Postgres(location) => location,
            other @ JournalLocation::Sqlite(_) => panic!("{url}: {other:?}"),
        }
    }

    #[test]
    fn every_part_of_a_url_is_read_and_decoded() {
        let location = postgres(
            "postgresql://me%40home:p%23ss@[::1]:6543/my%2Ddb?sslmode=verify-ca&sslrootcert=ca.pem",
        );
        assert_eq!(
            (
                &*location.host,
                location.port,
                &*location.user,
                &*location.database
            ),
            ("::1", 6543, "me@home", "my-db")
        );
        assert_eq!(location.tls.mode, TlsMode::VerifyCa);
        assert_eq!(
            location.tls.ca_file.as_deref(),
            Some(Path::new("/etc/twinkey/ca.pem"))
        );
        match &location.password {
            Some(JournalPassword::InUrl(password)) => assert_eq!(password.expose_secret(), "p#ss"),
            other => panic!("{other:?}"),
        }
        assert!(!format!("{location}{location:?}").contains("p#ss"));
    }

    #[test]
    fn a_remote_server_is_verified_by_default() {
        for (url, mode) in [
            ("postgres://u@db.example/j", TlsMode::VerifyFull),
            ("postgres://u@10.0.0.1/j", TlsMode::VerifyFull),
            (
                "postgres://u@db.example/j?sslmode=disable",
                TlsMode::Disable,
            ),
            ("postgres://u@127.0.0.1/j", TlsMode::Disable),
            ("postgres://u@localhost/j", TlsMode::Disable),
            (
                "postgres://u@localhost/j?sslmode=verify-full",
                TlsMode::VerifyFull,
            ),
            ("postgres://u@%2Fvar%2Frun%2Fpostgresql/j", TlsMode::Disable),
        ] {
            assert_eq!(postgres(url).tls.mode, mode, "{url}");
        }
    }

    #[test]
    fn the_password_can_be_in_a_file() {
        let keys = "url = \"postgres://u@db.example/j\"\npassword = \"file:journal.key\"";
        let JournalLocation::Postgres(location) = read(keys) else {
            panic!("no PostgreSQL");
        };
        assert!(matches!(
            location.password,
            Some(JournalPassword::Source(TokenSource::File(path))) if path == Path::new("/etc/twinkey/journal.key")
        ));
    }
}
