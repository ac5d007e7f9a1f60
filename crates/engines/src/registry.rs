//! The engines of this build: the only place that names all of them.
//!
//! Adding an engine takes its folder, a Cargo feature, and one arm in each function here.

#[cfg(feature = "redshift")]
use crate::RedshiftProbe;
use crate::master::{MasterGrants, MasterRequest};
use crate::printable::PrintableEngine;
use crate::{Engine, EngineContext, EngineError, EngineKind, EngineOptions};
use chrono::{DateTime, Utc};
use twinkey_core::aws::Aws;

/// Whether this build has the engine: see [`EngineKind::feature`].
#[must_use]
pub const fn is_in_build(kind: EngineKind) -> bool {
    match kind {
        EngineKind::Postgres => cfg!(feature = "postgres"),
        EngineKind::Mysql | EngineKind::Mariadb => cfg!(feature = "mysql"),
        EngineKind::Documentdb => cfg!(feature = "documentdb"),
        EngineKind::Redshift => cfg!(feature = "redshift"),
    }
}

/// The engine of a rotation. The texts of its server are escaped.
///
/// # Errors
/// [`EngineError::NotInBuild`]
pub fn engine(
    kind: EngineKind,
    options: &EngineOptions,
    context: &EngineContext,
) -> Result<Box<dyn Engine>, EngineError> {
    let engine = bare_engine(kind, options, context)?;
    Ok(Box::new(PrintableEngine(engine)))
}

#[cfg_attr(
    not(feature = "redshift"),
    expect(unused_variables, reason = "only Redshift uses its context")
)]
fn bare_engine(
    kind: EngineKind,
    options: &EngineOptions,
    context: &EngineContext,
) -> Result<Box<dyn Engine>, EngineError> {
    match kind {
        #[cfg(feature = "postgres")]
        EngineKind::Postgres => Ok(Box::new(crate::postgres::Postgres::new(
            options.postgres.clone(),
        ))),
        #[cfg(feature = "mysql")]
        EngineKind::Mysql => Ok(Box::new(
            crate::mysql::Mysql::of_mysql().with_options(options.mysql.clone()),
        )),
        #[cfg(feature = "mysql")]
        EngineKind::Mariadb => Ok(Box::new(
            crate::mysql::Mysql::of_mariadb().with_options(options.mysql.clone()),
        )),
        #[cfg(feature = "documentdb")]
        EngineKind::Documentdb => Ok(Box::new(crate::documentdb::Documentdb)),
        #[cfg(feature = "redshift")]
        EngineKind::Redshift => Ok(Box::new(crate::redshift::Redshift::new(
            options.redshift.clone(),
            context,
        ))),
        #[cfg(not(all(
            feature = "documentdb",
            feature = "mysql",
            feature = "postgres",
            feature = "redshift"
        )))]
        kind => Err(EngineError::NotInBuild { engine: kind }),
    }
}

/// Removes what crashed sign-in checks of these engines left outside the database, if it was created
/// before `before`. Returns how much.
///
/// # Errors
/// AWS denied a call or did not respond.
#[cfg_attr(
    not(feature = "redshift"),
    expect(
        unused_variables,
        clippy::unused_async,
        reason = "only Redshift's checks create something"
    )
)]
pub async fn remove_leftovers(
    engines: &[(EngineKind, EngineOptions)],
    aws: &Aws,
    before: DateTime<Utc>,
) -> Result<usize, EngineError> {
    #[cfg(feature = "redshift")]
    if engines.iter().any(|(kind, options)| {
        *kind == EngineKind::Redshift && options.redshift.probe == RedshiftProbe::Secret
    }) {
        return crate::redshift::delete_leftovers(aws, before).await;
    }
    Ok(0)
}

/// The statements that give an engine's master its privileges.
///
/// # Errors
/// [`EngineError::UserName`] for a name that the engine does not allow, and
/// [`EngineError::NotInBuild`].
#[cfg_attr(
    not(any(feature = "documentdb", feature = "mysql", feature = "postgres")),
    expect(unused_variables, reason = "only engines use the request")
)]
pub fn grants_for_master(
    kind: EngineKind,
    request: &MasterRequest,
) -> Result<MasterGrants, EngineError> {
    match kind {
        #[cfg(feature = "postgres")]
        EngineKind::Postgres => crate::postgres::master::grants(request),
        #[cfg(feature = "mysql")]
        EngineKind::Mysql => crate::mysql::master::grants(request, crate::mysql::Mysql::of_mysql()),
        #[cfg(feature = "mysql")]
        EngineKind::Mariadb => {
            crate::mysql::master::grants(request, crate::mysql::Mysql::of_mariadb())
        }
        #[cfg(feature = "documentdb")]
        EngineKind::Documentdb => crate::documentdb::master::grants(request),
        #[cfg(feature = "redshift")]
        EngineKind::Redshift => crate::redshift::master::grants(request),
        #[cfg(not(all(
            feature = "documentdb",
            feature = "mysql",
            feature = "postgres",
            feature = "redshift"
        )))]
        kind => Err(EngineError::NotInBuild { engine: kind }),
    }
}
