//! Between the windows: does AWSCURRENT still sign in?
//!
//! What can go wrong, and what prevents it:
//! - a run, a rollback or a person moves AWSCURRENT between the read and the sign-in, and what was read is refused
//!   rightly: a refusal counts only while the version that was refused is AWSCURRENT;
//! - it stands in a run's way: it takes no lock and no master, changes nothing, and keeps to the limit of the host;
//! - a database or a store that is down looks like a changed password: only a refusal is one.

use crate::config::settings::Rotation;
use crate::rotation::error::{Role, RotationError};
use crate::rotation::locate::{locate, located};
use crate::rotation::observe::{PATIENCE, down, keeps_moving};
use crate::rotation::site::Site;
use twinkey_engines::{EngineError, Questions};
use twinkey_stores::{SecretVersion, Selector, StoreError, stage};

/// What the database said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heartbeat {
    Accepted,
    /// Applications that connect now are refused too.
    Refused(RotationError),
}

/// Signs in with AWSCURRENT, once, and changes nothing. Costs one GetSecretValue, and a DescribeSecret where
/// it is refused.
///
/// # Errors
/// What keeps the answer from being known: the store's, the document's, or that the database is not reached.
pub async fn beat(site: &Site, rotation: &Rotation) -> Result<Heartbeat, RotationError> {
    let current = Selector::Stage(stage::CURRENT);
    beat_with(
        site,
        rotation,
        site.store.get(&rotation.secret, current).await,
    )
    .await
}

/// As [`beat`], with AWSCURRENT as it was read a moment ago: where that is refused and is no longer AWSCURRENT, it is
/// read again.
///
/// # Errors
/// As [`beat`].
pub async fn beat_with(
    site: &Site,
    rotation: &Rotation,
    read: Result<SecretVersion, StoreError>,
) -> Result<Heartbeat, RotationError> {
    let mut read = Some(read);
    for _ in 0..PATIENCE {
        let located = match read.take() {
            Some(read) => located(site, rotation, read)?,
            None => locate(site, rotation).await?,
        };
        let Some(place) = site.hosts.place(&located.target.host).await else {
            return Err(Role::Current.error()(down(&located)));
        };
        let answer = located
            .sign_in(&located.current(), Questions::default())
            .await;
        place.heard(&answer);
        let refused = match answer {
            Ok(_) => return Ok(Heartbeat::Accepted),
            Err(refused @ EngineError::SignIn { .. }) => Role::Current.error()(refused),
            Err(error) => return Err(Role::Current.error()(error)),
        };
        let secret = &rotation.secret;
        let now = site.store.describe(secret).await;
        let now = now.map_err(|source| RotationError::Store {
            secret: secret.clone(),
            source,
        })?;
        if now.labelled(stage::CURRENT) == Some(&located.version_id) {
            return Ok(Heartbeat::Refused(refused));
        }
    }
    Err(keeps_moving(&rotation.secret))
}
