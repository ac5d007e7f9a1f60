//! Admin connection of an observation, with the pair's lock.

use tokio::time::Instant;

use crate::rotation::context::RunContext;
use crate::rotation::context::admin_cache::AdminSession;
use crate::rotation::error::{CredentialRole, RotationError};
use crate::rotation::observe::master::{MasterLogin, read_again};
use crate::rotation::observe::observation::RunRequest;
use crate::rotation::observe::resolve::ResolvedSecret;
use twinkey_engines::EngineError;

/// The master that was used, and its connection or the refused sign-in.
pub(super) struct OpenedAdmin {
    pub master: MasterLogin,
    pub session: Result<LockedAdmin, EngineError>,
}

/// An admin connection that requested the pair's lock.
pub(super) struct LockedAdmin {
    pub session: AdminSession,
    /// `false` if another connection holds the lock.
    pub locked: bool,
}

/// Opens an admin connection, or takes one from the cache, and takes the pair's lock.
///
/// If the sign-in is refused, the master secret is read again, because managed master secrets
/// rotate too.
///
/// # Errors
/// Errors of the engine, except a refused sign-in; errors of the store.
pub(super) async fn open_admin(
    context: &RunContext,
    request: &RunRequest<'_>,
    resolved: &ResolvedSecret,
    mut master: MasterLogin,
) -> Result<OpenedAdmin, RotationError> {
    if request.lock
        && let Some(key) = master.admin_key(request.rotation, resolved)
        && let Some((session, locked)) = context.idle_admins.take(&key, &resolved.pair).await
    {
        let session = Ok(LockedAdmin { session, locked });
        return Ok(OpenedAdmin { master, session });
    }
    let engine = &resolved.engine;
    let mut admin = engine.admin(&master.target, &master.credentials).await;
    if matches!(admin, Err(EngineError::SignIn { .. }))
        && let Some(again) = read_again(context, request.rotation, resolved, &master).await?
    {
        admin = engine.admin(&again.target, &again.credentials).await;
        master = again;
    }
    let since = Instant::now();
    let mut admin = match admin {
        Ok(admin) => admin,
        Err(refused @ EngineError::SignIn { .. }) => {
            let session = Err(refused);
            return Ok(OpenedAdmin { master, session });
        }
        Err(error) => return Err(CredentialRole::Master.error()(error)),
    };
    let locked = if request.lock {
        admin.lock(&resolved.pair).await
    } else {
        Ok(true)
    };
    match locked {
        Ok(locked) => {
            let session = AdminSession { admin, since };
            let session = Ok(LockedAdmin { session, locked });
            Ok(OpenedAdmin { master, session })
        }
        Err(error) => {
            // The server may hold the lock although its answer was lost.
            admin.close().await;
            Err(CredentialRole::Master.error()(error))
        }
    }
}
