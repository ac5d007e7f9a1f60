//! Dry run: the changes that `set` would apply now, and what would stop it.
//!
//! It uses the observation and the list of changes of a run, and applies none of them.

use serde::{Deserialize, Serialize};

use crate::rotation::commands::readers;
use crate::rotation::context::RunContext;
use crate::rotation::decide::{Action, decide};
use crate::rotation::error::RotationError;
use crate::rotation::observe::observation::RunRequest;
use crate::rotation::observe::observe;
use crate::rotation::refusal::{ownership, refusal_error};
use twinkey_core::code::{Diagnostic, Problem};
use twinkey_engines::{Change, ChangeKind, Finding};

/// The changes that a run would make now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Plan {
    pub rotation: String,
    /// The `[[store]]` of the secret. `null`: `[secrets]`.
    #[serde(default)]
    pub store: Option<String>,
    pub engine: String,
    /// The product and version that the server reports.
    pub server: String,
    pub active_user: String,
    pub standby_user: String,
    /// In the order in which `set` applies them; `***` replaces the password.
    pub changes: Vec<PlannedChange>,
    pub findings: Vec<Finding>,
    /// Why a run would stop before the first change.
    pub refused: Option<Problem>,
}

/// One statement of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct PlannedChange {
    pub kind: ChangeKind,
    /// The database of the statement, if it is not the rotation's own.
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

/// Plans a run. Changes nothing and takes no lock.
///
/// # Errors
/// What prevents an observation, for example a missing secret.
pub async fn plan(context: &RunContext, request: &RunRequest<'_>) -> Result<Plan, RotationError> {
    let mut observation = observe(context, request).await?;
    let refused = match decide(&observation.observed) {
        Action::Refuse(refusal) => Some(refusal_error(refusal, request, &observation).problem()),
        _ => None,
    };
    let mut about_pair = ownership::findings(request, &observation);
    about_pair.extend(readers::planned(context, request, &observation));
    about_pair.extend(readers::of_pending(context, request, &mut observation).await);
    Ok(Plan {
        rotation: request.rotation.name.clone(),
        store: request.rotation.store_name().map(str::to_owned),
        engine: observation.resolved.kind.to_string(),
        server: observation
            .inspection
            .as_ref()
            .map_or_else(String::new, |i| i.server.clone()),
        active_user: observation.resolved.pair.active_user().to_owned(),
        standby_user: observation.resolved.pair.standby_user().to_owned(),
        changes: observation
            .changes()
            .iter()
            .map(PlannedChange::from)
            .collect(),
        findings: observation
            .inspection
            .map(|i| [i.findings, i.missing, about_pair].concat())
            .unwrap_or_default(),
        refused,
    })
}
