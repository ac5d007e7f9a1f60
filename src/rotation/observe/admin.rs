//! Admin connection of an observation, with the pair's lock.

use tokio::time::Instant;

use crate::rotation::context::RunContext;
use crate::rotation::context::admin_cache::AdminSession;
use crate::rotation::error::{CredentialRole, RotationError};
use crate::rotation::observe::master::{MasterLogin, read_again};
use crate::rotation::observe::observation::RunRequest;
use crate::rotation::observe::resolve::ResolvedSecret;
use twinkey_engines::{EngineError, LockHolder, PairLock};

/// The master that was used, and its connection or the refused sign-in.
pub(super) struct OpenedAdmin {
    pub master: MasterLogin,
    pub session: Result<LockedAdmin, EngineError>,
}

/// An admin connection that requested the pair's lock, or only read its holders.
pub(super) struct LockedAdmin {
    pub session: AdminSession,
    pub lock: LockState,
}

/// The pair's lock.
pub(super) struct LockState {
    /// Another run may hold it.
    pub refused: bool,
    /// Its other holders, as far as they were read.
    pub holders: Vec<LockHolder>,
}

impl From<PairLock> for LockState {
    fn from(lock: PairLock) -> Self {
        Self {
            refused: !lock.is_taken(),
            holders: match lock {
                PairLock::Taken => Vec::new(),
                PairLock::Held(holder) => vec![holder],
            },
        }
    }
}

/// Opens an admin connection, or takes one from the cache, and takes the pair's lock. A preview only
/// reads who holds it.
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
        && let Some((session, lock)) = context.idle_admins.take(&key, &resolved.pair).await
    {
        let lock = lock.into();
        let session = Ok(LockedAdmin { session, lock });
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
    let lock = if request.lock {
        admin.lock(&resolved.pair).await.map(LockState::from)
    } else {
        let holders = admin.lock_holders(&resolved.pair).await;
        holders.map(|holders| LockState {
            refused: holders.iter().any(|holder| holder.may_be_run),
            holders,
        })
    };
    match lock {
        Ok(lock) => {
            let session = AdminSession { admin, since };
            let session = Ok(LockedAdmin { session, lock });
            Ok(OpenedAdmin { master, session })
        }
        Err(error) => {
            // The server may hold the lock although its answer was lost.
            admin.close().await;
            Err(CredentialRole::Master.error()(error))
        }
    }
}
