//! What one observation found: the plain facts that `decide` reads, and beside them what `act` and the
//! messages need (documents, connections, details).

use crate::config::settings::Rotation;
use crate::rotation::decide::Observed;
use crate::rotation::error::RotationError;
use crate::rotation::locate::{Located, Master};
use crate::rotation::masters::{Key, Masters, SignedInMaster};
use crate::rotation::site::Place;
use crate::schedule::Window;
use chrono::{DateTime, Utc};
use tokio::time::Instant;
use twinkey_core::secret::document::Document;
use twinkey_engines::{Admin, Change, EngineError, Inspection, Session, SignedIn};
use twinkey_stores::{Description, StoreError, VersionId};

/// What is asked of an observation or a run.
#[derive(Debug, Clone)]
pub struct Task<'a> {
    pub rotation: &'a Rotation,
    /// The version that this run makes.
    pub own: VersionId,
    /// An earlier attempt may have made it already.
    pub may_exist: bool,
    /// Overrides `min_interval` and the standby-in-use guard.
    pub force: bool,
    /// `None`: a manual run, which has no window to keep.
    pub window: Option<Window>,
    /// When AWSCURRENT last moved, as far as the journal knows.
    pub last_flip: Option<DateTime<Utc>>,
    /// The user of AWSPREVIOUS was locked since (`retire_after`), as far as the journal knows, or was due to be.
    pub retired: bool,
    /// Whether to take the pair's lock: a run does, a preview does not.
    pub lock: bool,
}

/// What one observation found.
pub(crate) struct Scene {
    pub located: Located,
    pub master: Master,
    /// `None` where the master was refused.
    pub admin: Option<Box<dyn Admin>>,
    /// When that connection was opened.
    pub admin_since: Instant,
    pub description: Description,
    /// The version of this run may be there without a label: an earlier attempt, or this one, has put it.
    pub may_exist: bool,
    /// The document of the version of this run, once it has one that fits.
    pub own_document: Option<Document>,
    /// The pending document of another run, whose password is to be carried on.
    pub carried: Option<Document>,
    /// `None` where the master was refused.
    pub inspection: Option<Inspection>,
    pub sessions: Option<Vec<Session>>,
    pub current_error: Option<EngineError>,
    pub master_error: Option<EngineError>,
    pub pending_error: Option<EngineError>,
    /// The sign-in with the pending password that was made right after it was set, until `test` takes it up.
    pub proof: Option<Result<SignedIn, EngineError>>,
    /// When the run may start at the earliest, where `min_interval` says so.
    pub not_before: Option<DateTime<Utc>>,
    /// Keeps the number of runs at one host within its limit.
    #[expect(dead_code, reason = "held, not read")]
    pub place: Place,
    pub observed: Observed,
}

impl Task<'_> {
    /// What the store answered about the rotation's secret.
    pub(crate) fn store_error(&self, source: StoreError) -> RotationError {
        RotationError::Store {
            secret: self.rotation.secret.clone(),
            source,
        }
    }
}

impl Scene {
    /// Ends the master's connection, and with it the pair's lock.
    pub async fn close(&mut self) {
        if let Some(admin) = self.admin.take() {
            admin.close().await;
        }
    }

    /// Ends the pair's lock, and leaves the master's connection to the next run, after one that succeeded.
    pub async fn hand_on(&mut self, rotation: &Rotation, masters: &Masters) {
        let Some(key) = Key::of(rotation, &self.located, &self.master) else {
            return self.close().await;
        };
        if let Some(admin) = self.admin.take() {
            let since = self.admin_since;
            masters
                .give_back(key, SignedInMaster { admin, since })
                .await;
        }
    }

    /// What `set` carries out: the differences, then the password. `plan` prints this list.
    pub fn changes(&self) -> Vec<Change> {
        self.inspection
            .as_ref()
            .map(|i| [i.differences.as_slice(), i.set_password.as_slice()].concat())
            .unwrap_or_default()
    }
}
