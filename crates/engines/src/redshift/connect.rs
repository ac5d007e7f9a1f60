//! Target, login and error messages of the Data API.
//!
//! # Failure modes
//! - The cluster is ambiguous. The config names it, else the master secret, else the secret; without
//!   any of them, an error names the keys. The host name is not used.
//! - An edited secret sends the master's password to another cluster. The secret names the cluster
//!   only for masters without a password.
//! - An error contains a password's digest. It shows statements with `***`, and only those messages
//!   of the database that `failure.rs` permits.

use super::api::{BatchStatement, Failure, FailureKind, Login};
use crate::{EngineContext, EngineError, RedshiftOptions, RedshiftTarget, Target};

const DEFAULT_PORT: u16 = 5439;
const DEFAULT_DATABASE: &str = "dev";

/// The database of one sign-in, as errors name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DatabaseAddress {
    pub target: RedshiftTarget,
    pub host: String,
    pub port: u16,
    pub database: String,
    /// The signed-in user.
    pub user: String,
}

/// The cluster or workgroup in the config, else in the master secret, else in the secret.
///
/// # Errors
/// [`EngineError::Refused`] if none of them names one.
pub(super) fn target(
    options: &RedshiftOptions,
    context: &EngineContext,
) -> Result<RedshiftTarget, EngineError> {
    trusted_target(options, context)
        .or_else(|| named(context.cluster.as_ref(), context.workgroup.as_ref()))
        .ok_or_else(|| EngineError::Refused {
            what: "finding the cluster".into(),
            reason: "neither the config nor the secret names it".into(),
            hint: "give redshift = { cluster = \"…\" } or { workgroup = \"…\" } in the config, or dbClusterIdentifier or workgroupName in the secret".into(),
        })
}

/// The cluster or workgroup in the config, else in the master secret.
fn trusted_target(options: &RedshiftOptions, context: &EngineContext) -> Option<RedshiftTarget> {
    let master = named(
        context.master_cluster.as_ref(),
        context.master_workgroup.as_ref(),
    );
    options.target.clone().or(master)
}

fn named(cluster: Option<&String>, workgroup: Option<&String>) -> Option<RedshiftTarget> {
    let cluster = cluster.cloned().map(RedshiftTarget::Cluster);
    cluster.or_else(|| workgroup.cloned().map(RedshiftTarget::Workgroup))
}

/// Checks that the config or the master secret names the target of the master's password.
///
/// # Errors
/// [`EngineError::Untrusted`]
pub(super) fn check_trusted(
    options: &RedshiftOptions,
    context: &EngineContext,
) -> Result<(), EngineError> {
    if options.target.is_some() {
        return Ok(());
    }
    let place = named(context.cluster.as_ref(), context.workgroup.as_ref());
    let of_master = named(
        context.master_cluster.as_ref(),
        context.master_workgroup.as_ref(),
    );
    let reason = match (&of_master, &place) {
        // Applications would not use the cluster whose users a run changes.
        (Some(master), Some(place)) if master != place => {
            format!("the master secret names {}", identity(master))
        }
        (Some(_), _) => return Ok(()),
        (None, _) => "only the rotated secret names it, not the config or the master secret".into(),
    };
    Err(EngineError::Untrusted {
        place: place.map_or_else(|| "any cluster".into(), |place| identity(&place)),
        reason,
        hint: "set redshift = { cluster = \"…\" } or { workgroup = \"…\" } in the config; or make the master secret and the secret name one cluster (dbClusterIdentifier) or workgroup (workgroupName); or use redshift.db_user or the IAM identity, which need no password".into(),
    })
}

fn identity(target: &RedshiftTarget) -> String {
    match target {
        RedshiftTarget::Cluster(name) => format!("cluster {name}"),
        RedshiftTarget::Workgroup(name) => format!("workgroup {name}"),
    }
}

/// The login of the admin.
///
/// # Errors
/// [`EngineError::Refused`] for a database user on Redshift Serverless, which does not support it.
pub(super) fn login(
    options: &RedshiftOptions,
    context: &EngineContext,
    target: &RedshiftTarget,
) -> Result<Login, EngineError> {
    match (&options.db_user, &context.master_secret, target) {
        (Some(_), _, RedshiftTarget::Workgroup(name)) => Err(EngineError::Refused {
            what: format!("redshift.db_user for the workgroup {name:?}"),
            reason: "Redshift Serverless issues no temporary credentials for a database user"
                .into(),
            hint: "remove db_user, so that the worker's IAM identity or a master secret signs in"
                .into(),
        }),
        (Some(user), _, RedshiftTarget::Cluster(_)) => Ok(Login::DbUser(user.clone())),
        (None, Some(secret), _) => Ok(Login::Secret(secret.clone())),
        (None, None, _) => Ok(Login::Identity),
    }
}

impl DatabaseAddress {
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

    /// The identity of this server in the Data API.
    pub(super) fn identity(&self) -> String {
        identity(&self.target)
    }

    /// The error of a failed batch; `what` describes its purpose.
    pub(super) fn explain(
        &self,
        what: &str,
        statements: &[BatchStatement],
        failure: Failure,
    ) -> EngineError {
        let Failure {
            kind,
            reason,
            statement,
        } = failure;
        let what = match statement.and_then(|at| Some((at, statements.get(at)?))) {
            Some((at, failed)) => format!(
                "{what}, statement {} of {} ({})",
                at + 1,
                statements.len(),
                failed.shown
            ),
            None => what.to_owned(),
        };
        match kind {
            FailureKind::SignIn => EngineError::SignIn {
                host: self.host.clone(),
                port: self.port,
                user: self.user.clone(),
                reason,
            },
            FailureKind::Unreachable => EngineError::Unreachable {
                host: format!("the Data API of {}", self.identity()),
                port: 443,
                reason,
            },
            FailureKind::Busy => EngineError::Busy { what, reason },
            kind => EngineError::Refused {
                what,
                reason,
                hint: self.hint(kind),
            },
        }
    }

    fn hint(&self, kind: FailureKind) -> String {
        match kind {
            FailureKind::Denied => "check the IAM permissions (docs/redshift.md), the region and the credentials".into(),
            FailureKind::NoSecret => "check that the secret exists in this account and region, and that the worker may read it".into(),
            FailureKind::Permission => "run `twinkey check` for the privileges that the admin lacks; a superuser is recommended".into(),
            FailureKind::NoDatabase => "set dbname in the secret to an existing database".into(),
            FailureKind::NoTarget => format!("check that the {} exists in this account and region and is available", self.identity()),
            _ => "look up the message in the Redshift developer guide; `twinkey plan` shows the statements".into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(cluster: Option<&str>, workgroup: Option<&str>) -> EngineContext {
        EngineContext {
            cluster: cluster.map(str::to_owned),
            workgroup: workgroup.map(str::to_owned),
            ..EngineContext::default()
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
    fn the_config_names_the_cluster_else_the_secret() {
        let workgroup = RedshiftTarget::Workgroup("w".into());
        let of = |options, context| target(&options, &context).ok();
        let both = context(Some("c"), Some("x"));
        assert_eq!(
            of(options(Some(workgroup.clone()), None), both.clone()),
            Some(workgroup.clone())
        );
        assert_eq!(
            of(options(None, None), both),
            Some(RedshiftTarget::Cluster("c".into()))
        );
        let serverless = context(None, Some("w"));
        assert_eq!(of(options(None, None), serverless), Some(workgroup));
        assert_eq!(of(options(None, None), context(None, None)), None);
    }

    #[test]
    fn only_the_config_or_the_master_secret_sends_a_password_to_a_cluster() {
        let of_secret = context(Some("c"), None);
        let untrusted = check_trusted(&options(None, None), &of_secret).unwrap_err();
        assert_eq!(
            untrusted.to_string(),
            "the master's password does not go to cluster c: only the rotated secret names it, not the config or the master secret"
        );
        let of_master = EngineContext {
            master_workgroup: Some("m".into()),
            ..context(None, None)
        };
        let of_both = EngineContext {
            master_workgroup: Some("m".into()),
            ..of_secret.clone()
        };
        let differs = check_trusted(&options(None, None), &of_both).unwrap_err();
        assert_eq!(
            differs.to_string(),
            "the master's password does not go to cluster c: the master secret names workgroup m"
        );
        let of_config = options(Some(RedshiftTarget::Cluster("k".into())), None);
        assert_eq!(check_trusted(&options(None, None), &of_master), Ok(()));
        assert_eq!(check_trusted(&of_config, &of_secret), Ok(()));
        let first = target(&options(None, None), &of_master);
        assert_eq!(first, Ok(RedshiftTarget::Workgroup("m".into())));
        let first = target(&of_config, &of_master);
        assert_eq!(first, Ok(RedshiftTarget::Cluster("k".into())));
    }

    #[test]
    fn the_admin_has_one_of_three_logins() {
        let cluster = RedshiftTarget::Cluster("c".into());
        let workgroup = RedshiftTarget::Workgroup("w".into());
        let mut with_secret = context(None, None);
        with_secret.master_secret = Some("m".into());
        let none = context(None, None);
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
    fn a_failed_statement_is_numbered_and_shows_no_digest() {
        let address = DatabaseAddress {
            target: RedshiftTarget::Cluster("c".into()),
            host: "h".into(),
            port: 5439,
            database: "dev".into(),
            user: "admin".into(),
        };
        let statements = [
            BatchStatement::plain("SELECT 1"),
            BatchStatement {
                shown: "ALTER USER \"a\" PASSWORD '***'".into(),
                sent: "ALTER USER \"a\" PASSWORD 'md5f00'".into(),
                digest: Some("md5f00".into()),
            },
        ];
        let failed = Failure {
            kind: FailureKind::Permission,
            reason: "permission denied".into(),
            statement: Some(1),
        };
        let error = address.explain("making the pair equal", &statements, failed);
        assert_eq!(
            error.to_string(),
            "making the pair equal, statement 2 of 2 (ALTER USER \"a\" PASSWORD '***') was refused: permission denied"
        );
    }
}
