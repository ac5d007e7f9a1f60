//! Handler and filter of the page of recent events.

use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use uuid::Uuid;

use super::form::{parse_query, selected};
use super::session_context::SessionContext;
use super::view::events_page::EventsPage;
use super::{ErrorPage, view};
use crate::admin::problem::ApiError;
use crate::journal::{AuditAction, AuditOutcome, AuditQuery, RunQuery, RunState};
use crate::rotation::error::RotationError;
use crate::worker::state::WorkerState;

/// The number of events of a page.
pub(super) const EVENTS_PER_PAGE: usize = 50;

/// The query of the page, as its form sends it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct EventsForm {
    /// The name of a rotation; empty for all.
    rotation: String,
    /// Empty for any action.
    action: String,
    /// Empty for any outcome.
    outcome: String,
    /// Show the events before the record with this id.
    before: Option<Uuid>,
}

/// A validated query.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct EventsFilter {
    pub rotation: Option<String>,
    pub action: Option<AuditAction>,
    pub outcome: Option<AuditOutcome>,
    pub before: Option<Uuid>,
}

impl TryFrom<EventsForm> for EventsFilter {
    type Error = ApiError;

    fn try_from(form: EventsForm) -> Result<Self, ApiError> {
        let rotation = form.rotation.trim();
        Ok(Self {
            rotation: (!rotation.is_empty()).then(|| rotation.to_owned()),
            action: selected(
                "action",
                &form.action,
                &AuditAction::ALL,
                AuditAction::as_str,
            )?,
            outcome: selected(
                "outcome",
                &form.outcome,
                &AuditOutcome::ALL,
                AuditOutcome::as_str,
            )?,
            before: form.before,
        })
    }
}

impl EventsFilter {
    /// Whether runs that have not ended are among the events: they have no record yet, and are the newest.
    fn includes_open_runs(&self) -> bool {
        self.action
            .is_none_or(|action| action == AuditAction::Rotate)
            && self.outcome.is_none()
            && self.before.is_none()
    }
}

/// `GET /events`
pub(super) async fn events(
    State(state): State<WorkerState>,
    Extension(context): Extension<SessionContext>,
    query: Result<Query<EventsForm>, QueryRejection>,
) -> Result<Response, ErrorPage> {
    let filter = EventsFilter::try_from(parse_query(query)?)?;
    let patterns = context.session.principal().patterns();
    let journal = &state.runner.rotator.journal;
    let mut open_runs = Vec::new();
    if filter.includes_open_runs() {
        for run_state in [RunState::Running, RunState::Deferred] {
            let query = RunQuery {
                rotation: filter.rotation.clone(),
                rotations: None,
                patterns: patterns.clone(),
                state: Some(run_state),
                before: None,
                limit: EVENTS_PER_PAGE as u32,
            };
            open_runs.extend(journal.runs(&query).await.map_err(RotationError::from)?);
        }
    }
    let query = AuditQuery {
        rotation: filter.rotation.clone(),
        rotations: None,
        patterns,
        actor: None,
        action: filter.action,
        outcome: filter.outcome,
        without_runs: false,
        before: filter.before,
        // One more than shown, to detect older records.
        limit: EVENTS_PER_PAGE as u32 + 1,
    };
    let records = journal.audit(&query).await.map_err(RotationError::from)?;
    let page = view::events_page::page(&EventsPage {
        context: &context,
        worker: &state.runner.rotator.worker,
        now: state.now(),
        filter: &filter,
        open_runs: &open_runs,
        records: &records,
    });
    Ok(view::page(StatusCode::OK, page))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(action: &str, outcome: &str) -> Result<EventsFilter, ApiError> {
        EventsFilter::try_from(EventsForm {
            rotation: " orders ".into(),
            action: action.into(),
            outcome: outcome.into(),
            before: None,
        })
    }

    #[test]
    fn the_form_selects_a_rotation_an_action_and_an_outcome() {
        let all = filter("", "").unwrap();
        assert_eq!(all.rotation.as_deref(), Some("orders"));
        assert!(all.includes_open_runs());
        let some = filter("pause", "refused").unwrap();
        assert_eq!(some.action, Some(AuditAction::Pause));
        assert_eq!(some.outcome, Some(AuditOutcome::Refused));
        assert!(!some.includes_open_runs());
        assert!(filter("rotate", "").unwrap().includes_open_runs());
        let error = filter("sleep", "").unwrap_err().to_string();
        assert!(error.contains("sleep"), "{error}");
    }
}
