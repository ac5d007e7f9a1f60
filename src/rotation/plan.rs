//! The dry run: what `set` would carry out now, and what would stop it. The same observation and the
//! same list of changes as a run; only nothing is done with them.

use serde::{Deserialize, Serialize};

use crate::rotation::decide::{Action, decide};
use crate::rotation::error::RotationError;
use crate::rotation::explain::explain;
use crate::rotation::observe::observe;
use crate::rotation::scene::Task;
use crate::rotation::site::Site;
use twinkey_core::code::Problem;
use twinkey_engines::{Change, ChangeKind, Finding};

/// What a run would do now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Plan {
    pub rotation: String,
    pub engine: String,
    /// The server as it calls itself.
    pub server: String,
    pub active_user: String,
    pub standby_user: String,
    /// In the order in which `set` carries them out; `***` stands for the password.
    pub changes: Vec<PlannedChange>,
    pub findings: Vec<Finding>,
    /// Why a run would stop before any of it.
    pub refused: Option<Problem>,
}

/// One statement of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PlannedChange {
    pub kind: ChangeKind,
    /// The database in which it is carried out, where that is not the rotation's own.
    pub database: Option<String>,
    pub statement: String,
    pub why: String,
}

impl From<&Change> for PlannedChange {
    fn from(change: &Change) -> Self {
        Self {
            kind: change.kind,
            database: change.database.clone(),
            statement: change.statement.to_string(),
            why: change.why.clone(),
        }
    }
}

/// Works out what a run would do now. Changes nothing, takes no lock.
///
/// # Errors
/// What cannot be observed at all, for example a secret that is not there.
pub async fn plan(site: &Site, task: &Task<'_>) -> Result<Plan, RotationError> {
    let scene = observe(site, task).await?;
    let refused = match decide(&scene.observed) {
        Action::Refuse(refusal) => Some(explain(refusal, task, &scene).problem()),
        _ => None,
    };
    Ok(Plan {
        rotation: task.rotation.name.clone(),
        engine: scene.located.kind.to_string(),
        server: scene
            .inspection
            .as_ref()
            .map_or_else(String::new, |i| i.server.clone()),
        active_user: scene.located.pair.active_user().to_owned(),
        standby_user: scene.located.pair.standby_user().to_owned(),
        changes: scene.changes().iter().map(PlannedChange::from).collect(),
        findings: scene
            .inspection
            .map(|i| [i.findings, i.missing].concat())
            .unwrap_or_default(),
        refused,
    })
}
