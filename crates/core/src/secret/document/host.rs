//! The forms that a `host` field can have and that name no single host.

/// A form of `host` that a database client cannot connect to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WrongHost {
    /// `db:5432`, `[::1]:5432`
    Port,
    /// `a,b`, as PostgreSQL's and MongoDB's connection strings list hosts.
    List,
    /// `mongodb+srv://…`
    Srv,
    /// `postgres://…`, or a part of a URL.
    Url,
    /// A space, a line break or another control character.
    Space,
}

impl WrongHost {
    /// The reason, after "the secret's field `host` ".
    pub(super) const fn reason(self) -> &'static str {
        match self {
            Self::Port => "has a port or brackets",
            Self::List => "has more than one host",
            Self::Srv => "is a `mongodb+srv` URL, which names a DNS record and no host",
            Self::Url => "is a URL, or a part of one",
            Self::Space => "has a space or a control character",
        }
    }

    /// What to store instead.
    pub(super) const fn hint(self) -> &'static str {
        match self {
            Self::Port => {
                "store the name or address alone in `host`, without brackets, and the port as a number in `port`"
            }
            Self::List => {
                "store one host in `host`: the primary's, or the cluster's endpoint that follows it"
            }
            Self::Srv => {
                "store the cluster's endpoint in `host` and 27017, or its own port, in `port`"
            }
            Self::Url => {
                "store the parts of the URL as fields: the name or address in `host`, then `port` and `dbname`"
            }
            Self::Space => "store the name or address in `host` without spaces and line breaks",
        }
    }
}

/// The form of `host`, if it is not a name or an address alone.
pub(super) fn wrong_form(host: &str) -> Option<WrongHost> {
    if host.starts_with("mongodb+srv:") {
        Some(WrongHost::Srv)
    } else if host.contains("://") || host.contains(['/', '@', '?', '#']) {
        Some(WrongHost::Url)
    } else if host.contains([',', ';']) {
        Some(WrongHost::List)
    } else if host.contains(|c: char| c.is_whitespace() || c.is_control()) {
        Some(WrongHost::Space)
    } else if host.contains(['[', ']']) || host.matches(':').count() == 1 {
        // An IPv6 address has two colons or more.
        Some(WrongHost::Port)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_wrong_form_is_recognized() {
        for (host, form) in [
            ("db:5432", WrongHost::Port),
            ("db:", WrongHost::Port),
            ("[::1]", WrongHost::Port),
            ("[::1]:5432", WrongHost::Port),
            ("a,b", WrongHost::List),
            ("a:1,b:2", WrongHost::List),
            ("mongodb+srv://cluster.example.com/?x=y", WrongHost::Srv),
            ("mongodb://app@db:27017", WrongHost::Url),
            ("postgres://db", WrongHost::Url),
            ("jdbc:postgresql://db:5432/shop", WrongHost::Url),
            ("db/shop", WrongHost::Url),
            ("/var/run/postgresql", WrongHost::Url),
            ("db\n", WrongHost::Space),
            (" db", WrongHost::Space),
        ] {
            assert_eq!(wrong_form(host), Some(form), "{host:?}");
        }
        for host in [
            "db",
            "db.internal",
            "db_1.internal.",
            "10.0.0.7",
            "::1",
            "fe80::1%eth0",
            "shop.cluster-abc.eu-west-1.rds.amazonaws.com",
        ] {
            assert_eq!(wrong_form(host), None, "{host:?}");
        }
    }
}
