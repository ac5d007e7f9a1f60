//! Family and version of the server, read from its version string.

use crate::EngineError;

/// A server's family and version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Dialect {
    pub family: Family,
    /// For example `(10, 11)`.
    pub version: (u16, u16),
    /// The third number. Aurora MySQL has none.
    patch: Option<u16>,
    /// For messages, for example `MariaDB 10.11.19`.
    pub text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Mysql,
    Mariadb,
}

impl Dialect {
    /// Reads `VERSION()`: `9.7.4`, `8.0.mysql_aurora.3.08.0`, `10.11.19-MariaDB-0+deb12u1`.
    ///
    /// # Errors
    /// [`EngineError::Refused`] for versions that cannot lock or compare accounts.
    pub(super) fn of(version: &str) -> Result<Self, EngineError> {
        let (family, name, oldest) = if version.to_ascii_lowercase().contains("mariadb") {
            (Family::Mariadb, "MariaDB", (10, 4))
        } else {
            (Family::Mysql, "MySQL", (8, 0))
        };
        let mut numbers = version.split(['.', '-']).map_while(|n| n.parse().ok());
        let found = (
            numbers.next().unwrap_or_default(),
            numbers.next().unwrap_or_default(),
        );
        if found < oldest {
            return Err(EngineError::Refused {
                what: "reading the server's version".into(),
                reason: format!(
                    "this is {name} {version}, and accounts cannot be locked or compared before {name} {}.{}",
                    oldest.0, oldest.1
                ),
                hint: "upgrade the server".into(),
            });
        }
        let digits = version.split('-').next().unwrap_or(version);
        Ok(Self {
            family,
            version: found,
            patch: numbers.next(),
            text: format!("{name} {digits}"),
        })
    }

    /// Whether a change can keep the replaced password (RETAIN CURRENT PASSWORD, since MySQL 8.0.14).
    /// Aurora MySQL 3 is based on a later one.
    pub(super) fn retains_passwords(&self) -> bool {
        let is_later = self.version > (8, 0) || self.patch.is_none_or(|patch| patch >= 14);
        self.family == Family::Mysql && is_later
    }

    pub(super) fn is_mariadb(&self) -> bool {
        self.family == Family::Mariadb
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_string_names_the_family() {
        for (text, family, version) in [
            ("9.7.4", Family::Mysql, (9, 7)),
            ("8.0.mysql_aurora.3.08.0", Family::Mysql, (8, 0)),
            ("8.4.3-log", Family::Mysql, (8, 4)),
            ("10.11.19-MariaDB-0+deb12u1", Family::Mariadb, (10, 11)),
            ("11.4.2-MariaDB-log", Family::Mariadb, (11, 4)),
        ] {
            let dialect = Dialect::of(text).unwrap();
            assert_eq!((dialect.family, dialect.version), (family, version));
        }
        assert_eq!(
            Dialect::of("10.11.19-MariaDB-0+deb12u1").unwrap().text,
            "MariaDB 10.11.19"
        );
    }

    #[test]
    fn replaced_passwords_are_retained_since_mysql_8_0_14() {
        for (text, retains) in [
            ("8.0.13", false),
            ("8.0.14", true),
            ("8.0.mysql_aurora.3.08.0", true),
            ("8.4.3-log", true),
            ("9.7.4", true),
            ("10.11.19-MariaDB-0+deb12u1", false),
        ] {
            assert_eq!(
                Dialect::of(text).unwrap().retains_passwords(),
                retains,
                "{text}"
            );
        }
    }

    #[test]
    fn an_old_server_is_refused_with_its_version() {
        for text in ["5.7.44", "10.3.39-MariaDB", "nonsense"] {
            assert!(Dialect::of(text).unwrap_err().to_string().contains(text));
        }
    }
}
