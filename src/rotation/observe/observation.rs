//! Request and result of an observation.
//!
//! The result holds the facts that `decide` reads, and what `act` and the messages need besides:
//! documents, connections and details.

use chrono::{DateTime, Utc};
use tokio::time::Instant;
use uuid::Uuid;

use crate::config::settings::{HostPort, Rotation};
use crate::journal::Journal;
use crate::rotation::context::admin_cache::{AdminSession, IdleAdmins};
use crate::rotation::context::host_limits::HostPermit;
use crate::rotation::decide::{Elsewhere, Guards, Hooks, Observed, Own, Standby, Users};
use crate::rotation::error::RotationError;
use crate::rotation::observe::endpoints::pooler_secrets::PoolerSecret;
use crate::rotation::observe::endpoints::{Answers, Endpoint, EndpointKind};
use crate::rotation::observe::master::MasterLogin;
use crate::rotation::observe::ownership::{KnownPair, Ownership, Takeover};
use crate::rotation::observe::resolve::ResolvedSecret;
use crate::schedule::Window;
use twinkey_core::secret::document::Document;
use twinkey_engines::{
    Change, EngineError, Inspection, LockHolder, PasswordChange, Session, SignedIn, StoredForm,
};
use twinkey_stores::{Description, StoreError, VersionId};

/// Parameters of an observation or a run.
#[derive(Debug, Clone)]
pub struct RunRequest<'a> {
    pub rotation: &'a Rotation,
    /// The run in the journal; `None` for a command that is no run.
    pub run: Option<Uuid>,
    /// The version that this run creates.
    pub own: VersionId,
    /// An earlier attempt may have created the version.
    pub may_exist: bool,
    /// Overrides `min_interval` and the standby-in-use guard.
    pub force: bool,
    /// Ends the sessions of the standby after its password was set, and overrides the
    /// standby-in-use guard.
    pub end_sessions: bool,
    /// `None` for a manual run.
    pub window: Option<Window>,
    /// The last move of AWSCURRENT in the journal.
    pub last_flip: Option<DateTime<Utc>>,
    /// The journal says that user of AWSPREVIOUS locked (`retire_after`) or was due to be.
    pub retired: bool,
    /// Whether to take the pair's lock. A run does, a preview does not.
    pub lock: bool,
    /// It records whose the pairs of users are.
    pub journal: &'a dyn Journal,
    /// The name of this process in the journal.
    pub worker: &'a str,
}

impl RunRequest<'_> {
    /// An error of the store about the rotation's secret.
    pub(crate) fn store_error(&self, source: StoreError) -> RotationError {
        RotationError::Store {
            secret: self.rotation.secret.clone(),
            source,
        }
    }
}

/// Result of one observation.
pub(crate) struct Observation {
    pub resolved: ResolvedSecret,
    pub master: MasterLogin,
    /// `None` if the master's sign-in was refused.
    pub admin: Option<AdminSession>,
    pub description: Description,
    /// The version of this run may exist without a label, because an attempt wrote it.
    pub may_exist: bool,
    /// The document in the version of this run, if it fits.
    pub own_document: Option<Document>,
    /// The pending document of another run, whose password this run reuses.
    pub carried: Option<Document>,
    /// AWSCURRENT is younger than the version of `carried`.
    pub carried_is_older: bool,
    /// The statements of [`Action::RestoreCurrent`](crate::rotation::decide::Action::RestoreCurrent).
    pub restore_current: Vec<Change>,
    /// `None` if the master's sign-in was refused.
    pub inspection: Option<Inspection>,
    /// The other holders of the pair's lock, as far as they were read.
    pub lock_holders: Vec<LockHolder>,
    /// Of the standby, at the database and at the readers.
    pub sessions: Option<Vec<Session>>,
    /// What the secret's own host is.
    pub own_host: EndpointKind,
    /// The readers, as the config or the RDS API names them.
    pub readers: Vec<HostPort>,
    /// The answers of the readers and poolers to AWSCURRENT.
    pub current_answers: Answers,
    /// The standby's own secrets of the poolers.
    pub pooler_secrets: Vec<PoolerSecret>,
    /// When the change began that stops AWSCURRENT of one user.
    pub gap_began: Option<Instant>,
    /// Why a hook before the flip failed.
    pub hook_error: Option<String>,
    /// A reader that belongs to another server.
    pub reader_elsewhere: Option<Endpoint>,
    /// The answers of the other endpoints to AWSPENDING, after its proof.
    pub pending_answers: Answers,
    pub current_error: Option<EngineError>,
    /// How the server stores the active user's password, if its sign-in showed it.
    pub stored_form: Option<StoredForm>,
    pub master_error: Option<EngineError>,
    pub pending_error: Option<EngineError>,
    /// The sign-in that followed the change of the password; the step `test` consumes it.
    pub proof: Option<Result<SignedIn, EngineError>>,
    /// What the step `set` did so far.
    pub set_detail: Option<String>,
    /// The journal's record of the pair; `None` if it was not read.
    pub pair_record: Option<KnownPair>,
    /// Whose the pair is.
    pub ownership: Ownership,
    /// Why no version of the secret could be tried as the standby.
    pub standby_error: Option<EngineError>,
    /// The earliest start that `min_interval` permits, if it is in the future.
    pub not_before: Option<DateTime<Utc>>,
    /// Counts this run against the limit of the host.
    #[expect(dead_code, reason = "held, not read")]
    pub permit: HostPermit,
    pub observed: Observed,
}

impl Observation {
    /// An observation without facts: every guard is open.
    pub(super) fn new(
        request: &RunRequest<'_>,
        resolved: ResolvedSecret,
        master: MasterLogin,
        description: Description,
        permit: HostPermit,
    ) -> Self {
        Self {
            resolved,
            master,
            admin: None,
            description,
            may_exist: request.may_exist,
            own_document: None,
            carried: None,
            carried_is_older: false,
            restore_current: Vec::new(),
            inspection: None,
            lock_holders: Vec::new(),
            sessions: None,
            own_host: EndpointKind::Secret,
            readers: Vec::new(),
            current_answers: Answers::default(),
            pooler_secrets: Vec::new(),
            gap_began: None,
            hook_error: None,
            reader_elsewhere: None,
            pending_answers: Answers::default(),
            current_error: None,
            stored_form: None,
            master_error: None,
            pending_error: None,
            proof: None,
            set_detail: None,
            pair_record: None,
            ownership: Ownership::default(),
            standby_error: None,
            not_before: None,
            permit,
            observed: Observed {
                users: Users::Pair,
                own: Own::NotThere,
                elsewhere: Elsewhere::Nothing,
                guards: Guards::default(),
                standby: Standby {
                    equal: false,
                    has_password: false,
                },
                proof: None,
                pooler_secrets_stale: false,
                hooks: Hooks::Absent,
                converged: false,
                end_sessions: request.end_sessions,
            },
        }
    }

    /// Closes the admin connection, which releases the pair's lock.
    pub async fn close(&mut self) {
        if let Some(session) = self.admin.take() {
            session.admin.close().await;
        }
    }

    /// Releases the pair's lock and returns the admin connection to the cache.
    pub async fn release(&mut self, rotation: &Rotation, idle_admins: &IdleAdmins) {
        let Some(key) = self.master.admin_key(rotation, &self.resolved) else {
            return self.close().await;
        };
        if let Some(session) = self.admin.take() {
            idle_admins.give_back(key, session).await;
        }
    }

    /// Whether the run takes over a standby that is not this secret's own (`standby = "adopt"`).
    pub fn adopts(&self) -> bool {
        self.ownership.takeover == Some(Takeover::Adopted)
    }

    /// Whether AWSCURRENT of one user stops with the change of the password.
    pub fn change_has_gap(&self) -> bool {
        matches!(
            self.observed.users,
            Users::One(user) if user.change == PasswordChange::Replaces
        )
    }

    /// Whether AWSCURRENT of one user does not sign in.
    pub fn is_in_gap(&self) -> bool {
        self.resolved.has_one_user() && self.observed.guards.current_refused
    }

    /// The changes of the step `set`: the differences, then the password. `plan` prints this list.
    pub fn changes(&self) -> Vec<Change> {
        self.inspection
            .as_ref()
            .map(|i| [i.differences.as_slice(), i.set_password.as_slice()].concat())
            .unwrap_or_default()
    }
}
