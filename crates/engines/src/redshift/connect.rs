//! Where statements go, as whom, and what their failures mean.
//!
//! What can go wrong, and what prevents it:
//! - nobody says which cluster: the config, then the secret; without either there is an error that
//!   names the keys, and no guess from the host's name;
//! - an error repeats a digest: it shows statements with `***`, and of the database's words only what
//!   `failure.rs` let through.

use super::batch::Line;
use super::client::Login;
use super::failure::{Failed, Kind};
use crate::{EngineError, RedshiftOptions, RedshiftTarget, Surroundings, Target};

const DEFAULT_PORT: u16 = 5439;
const DEFAULT_DATABASE: &str = "dev";

/// Where statements go: what errors name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Peer {
    pub target: RedshiftTarget,
    pub host: String,
    pub port: u16,
    pub database: String,
    /// Who is signed in, for messages.
    pub user: String,
}

/// The cluster or workgroup: the config's, else the secret's.
///
/// # Errors
/// [`EngineError::Refused`] where neither names one.
pub(super) fn target(
    options: &RedshiftOptions,
    surroundings: &Surroundings,
) -> Result<RedshiftTarget, EngineError> {
    let of_secret = || {
        let cluster = surroundings.cluster.clone().map(RedshiftTarget::Cluster);
        cluster.or_else(|| {
            surroundings
                .workgroup
                .clone()
                .map(RedshiftTarget::Workgroup)
        })
    };
    options
        .target
        .clone()
        .or_else(of_secret)
        .ok_or_else(|| EngineError::Refused {
            what: "finding the cluster".into(),
            reason: "neither the config nor the secret names it".into(),
            hint: "give redshift = { cluster = \"…\" } or { workgroup = \"…\" } in the config, or dbClusterIdentifier or workgroupName in the secret".into(),
        })
}

/// As whom the admin comes.
///
/// # Errors
/// [`EngineError::Refused`] for a database user on Redshift Serverless, which knows no such sign-in.
pub(super) fn login(
    options: &RedshiftOptions,
    surroundings: &Surroundings,
    target: &RedshiftTarget,
) -> Result<Login, EngineError> {
    match (&options.db_user, &surroundings.master_secret, target) {
        (Some(_), _, RedshiftTarget::Workgroup(name)) => Err(EngineError::Refused {
            what: format!("redshift.db_user for the workgroup {name:?}"),
            reason: "Redshift Serverless gives no temporary credentials for a database user".into(),
            hint: "leave db_user out: the worker's IAM identity or a master secret signs in there"
                .into(),
        }),
        (Some(user), _, RedshiftTarget::Cluster(_)) => Ok(Login::DbUser(user.clone())),
        (None, Some(secret), _) => Ok(Login::Secret(secret.clone())),
        (None, None, _) => Ok(Login::Identity),
    }
}

impl Peer {
    pub(super) fn new(cluster: RedshiftTarget, target: &Target, user: &str) -> Self {
        Self {
            target: cluster,
            host: target.host.clone(),
            port: target.port.unwrap_or(DEFAULT_PORT),
            database: target
                .dbname
                .clone()
                .unwrap_or_else(|| DEFAULT_DATABASE.into()),
            user: user.to_owned(),
        }
    }

    /// What tells this server from every other one: the Data API goes by it.
    pub(super) fn identity(&self) -> String {
        match &self.target {
            RedshiftTarget::Cluster(name) => format!("cluster {name}"),
            RedshiftTarget::Workgroup(name) => format!("workgroup {name}"),
        }
    }

    /// What a failed batch means; `what` was to be done.
    pub(super) fn explain(&self, what: &str, lines: &[Line], failed: Failed) -> EngineError {
        let Failed {
            kind,
            reason,
            statement,
        } = failed;
        let what = match statement.and_then(|at| Some((at, lines.get(at)?))) {
            Some((at, line)) => format!(
                "{what}, statement {} of {} ({})",
                at + 1,
                lines.len(),
                line.shown
            ),
            None => what.to_owned(),
        };
        match kind {
            Kind::SignIn => EngineError::SignIn {
                host: self.host.clone(),
                port: self.port,
                user: self.user.clone(),
                reason,
            },
            Kind::Unreachable => EngineError::Unreachable {
                host: format!("the Data API of {}", self.identity()),
                port: 443,
                reason,
            },
            Kind::Busy => EngineError::Busy { what, reason },
            kind => EngineError::Refused {
                what,
                reason,
                hint: self.hint(kind),
            },
        }
    }

    fn hint(&self, kind: Kind) -> String {
        match kind {
            Kind::Denied => "see the IAM permissions in docs/redshift.md, and that a region and credentials are there".into(),
            Kind::NoSecret => "see that the secret exists in this account and region, and that the worker may read it".into(),
            Kind::Permission => "`twinkey check` lists what the admin lacks; it is best a superuser".into(),
            Kind::NoDatabase => "make dbname in the secret the name of a database there".into(),
            Kind::NoTarget => format!("see that there is a {} in this account and region, and that it is available", self.identity()),
            _ => "look the message up in the Redshift developer guide; `twinkey plan` shows the statements".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn surroundings(cluster: Option<&str>, workgroup: Option<&str>) -> Surroundings {
        Surroundings {
            cluster: cluster.map(str::to_owned),
            workgroup: workgroup.map(str::to_owned),
            ..Surroundings::default()
        }
    }

    fn options(target: Option<RedshiftTarget>, db_user: Option<&str>) -> RedshiftOptions {
        RedshiftOptions {
            target,
            db_user: db_user.map(str::to_owned),
            ..RedshiftOptions::default()
        }
    }

    #[test]
    fn the_config_names_the_cluster_and_else_the_secret_does() {
        let workgroup = RedshiftTarget::Workgroup("w".into());
        let of = |options, surroundings| target(&options, &surroundings).ok();
        let both = surroundings(Some("c"), Some("x"));
        assert_eq!(
            of(options(Some(workgroup.clone()), None), both.clone()),
            Some(workgroup.clone())
        );
        assert_eq!(
            of(options(None, None), both),
            Some(RedshiftTarget::Cluster("c".into()))
        );
        let serverless = surroundings(None, Some("w"));
        assert_eq!(of(options(None, None), serverless), Some(workgroup));
        assert_eq!(of(options(None, None), surroundings(None, None)), None);
    }

    #[test]
    fn the_admin_is_a_database_user_a_secrets_or_the_iam_identity() {
        let cluster = RedshiftTarget::Cluster("c".into());
        let workgroup = RedshiftTarget::Workgroup("w".into());
        let mut with_secret = surroundings(None, None);
        with_secret.master_secret = Some("m".into());
        let none = surroundings(None, None);
        let by_user = options(None, Some("admin"));
        assert_eq!(
            login(&by_user, &with_secret, &cluster),
            Ok(Login::DbUser("admin".into()))
        );
        assert!(login(&by_user, &with_secret, &workgroup).is_err());
        let plain = options(None, None);
        assert_eq!(
            login(&plain, &with_secret, &workgroup),
            Ok(Login::Secret("m".into()))
        );
        assert_eq!(login(&plain, &none, &workgroup), Ok(Login::Identity));
    }

    #[test]
    fn a_failed_statement_is_named_by_its_number_and_shown_without_its_digest() {
        let peer = Peer {
            target: RedshiftTarget::Cluster("c".into()),
            host: "h".into(),
            port: 5439,
            database: "dev".into(),
            user: "admin".into(),
        };
        let lines = [
            Line::plain("SELECT 1"),
            Line {
                shown: "ALTER USER \"a\" PASSWORD '***'".into(),
                sent: "ALTER USER \"a\" PASSWORD 'md5f00'".into(),
                digest: Some("md5f00".into()),
            },
        ];
        let failed = Failed {
            kind: Kind::Permission,
            reason: "permission denied".into(),
            statement: Some(1),
        };
        let error = peer.explain("making the pair equal", &lines, failed);
        assert_eq!(
            error.to_string(),
            "making the pair equal, statement 2 of 2 (ALTER USER \"a\" PASSWORD '***') was refused: permission denied"
        );
    }
}
