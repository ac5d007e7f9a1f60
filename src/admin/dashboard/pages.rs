//! Handlers of the pages that show state.

use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use uuid::Uuid;

use super::action::{Action, BulkAction};
use super::filter::{CHART_LIMIT, FilterForm, Page, RotationFilter, codes, engines, stores, tally};
use super::form::parse_query;
use super::session_context::SessionContext;
use super::view::database_check::DatabaseCheck;
use super::view::overview::OverviewPage;
use super::view::parts::day_chart::DayChart;
use super::view::rotation_page::RotationPage;
use super::view::timeline::{RECORDS, RUNS};
use super::{ErrorPage, view};
use crate::admin::problem::ApiError;
use crate::admin::routes::discovery;
use crate::admin::routes::request::RotationPath;
use crate::discovery::DiscoveryState;
use crate::journal::{AuditQuery, RunQuery};
use crate::rotation::error::RotationError;
use crate::worker::state::WorkerState;
use crate::worker::summaries::SummaryRow;
use crate::worker::view_filter::Filterable;

/// `GET /`
pub(super) async fn overview(
    State(state): State<WorkerState>,
    Extension(context): Extension<SessionContext>,
    query: Result<Query<FilterForm>, QueryRejection>,
) -> Result<Response, ErrorPage> {
    let mut filter = RotationFilter::try_from(parse_query(query)?)?;
    filter.keep_proved(&context.session);
    let (summaries, now) = (state.summaries().await?, state.now());
    let principal = context.session.principal();
    let visible = summaries.rows(now).filter(|row| principal.sees(row.name()));
    let visible: Vec<SummaryRow<'_>> = visible.collect();
    let matching = visible.iter().filter(|row| filter.view.matches(*row));
    let matching: Vec<SummaryRow<'_>> = matching.copied().collect();
    let chart = (matching.len() <= CHART_LIMIT).then(|| {
        let groups = matching.iter().flat_map(|row| {
            let name = row.rotation.name.as_str();
            row.upcoming(now)
                .into_iter()
                .map(move |group| (name, group))
        });
        DayChart::new(groups.collect(), now)
    });
    let actions = BulkAction::ALL.map(|action| {
        let changed = matching.iter().filter(|row| action.changes(row));
        (action, changed.count())
    });
    let page = filter.page(matching);
    let rows: Vec<_> = page.rows.iter().map(|row| row.rotation).collect();
    let page = Page {
        rows: state.views_of(&rows).await?,
        matching: page.matching,
        page: page.page,
        pages: page.pages,
    };
    let refused = discovery::visible(&state, principal, Some(DiscoveryState::Refused)).into_iter();
    let page = view::overview::page(&OverviewPage {
        context: &context,
        worker: &state.runner.rotator.worker,
        now,
        tally: tally(&visible),
        engines: engines(&visible),
        stores: stores(&visible),
        codes: codes(&visible, &filter),
        page,
        actions,
        refused: refused.filter_map(|one| one.problem).collect(),
        discovers: !state.configured().discover.is_empty(),
        chart,
        filter,
    });
    Ok(view::page(StatusCode::OK, page))
}

/// The query of a rotation's page.
#[derive(Debug, Deserialize)]
pub(super) struct RotationQuery {
    /// The action that was just executed.
    done: Option<Action>,
    /// The proof of `done`.
    receipt: Option<String>,
    /// Show the history before the run with this id.
    before: Option<Uuid>,
}

/// `GET /rotations/{name}`
pub(super) async fn rotation(
    State(state): State<WorkerState>,
    Extension(context): Extension<SessionContext>,
    path: Result<RotationPath, ApiError>,
    query: Result<Query<RotationQuery>, QueryRejection>,
) -> Result<Response, ErrorPage> {
    let RotationPath(rotation) = path?;
    let request = parse_query(query)?;
    let query = RunQuery {
        rotation: Some(rotation.name.clone()),
        rotations: None,
        patterns: None,
        state: None,
        before: request.before,
        // One more than shown, to detect older runs.
        limit: RUNS as u32 + 1,
    };
    let journal = &state.runner.rotator.journal;
    let runs = journal.runs(&query).await;
    let records = AuditQuery {
        rotation: Some(rotation.name.clone()),
        without_runs: true,
        limit: RECORDS,
        ..AuditQuery::default()
    };
    let records = journal.audit(&records).await.map_err(RotationError::from)?;
    let page = view::rotation_page::page(&RotationPage {
        context: &context,
        worker: &state.runner.rotator.worker,
        now: state.now(),
        rotation: &rotation,
        view: &state.view(&rotation).await?,
        refused: state.heartbeats.refused(&rotation.name),
        done: request.done.filter(|action| {
            let receipt = request.receipt.as_deref().unwrap_or_default();
            let session = &context.session;
            session.has_receipt(&action.of_rotation(&rotation.name), receipt)
        }),
        runs: &runs.map_err(RotationError::from)?,
        records: &records,
        is_first_page: request.before.is_none(),
    });
    Ok(view::page(StatusCode::OK, page))
}

/// `GET /rotations/{name}/database-check`
pub(super) async fn database_check(
    State(state): State<WorkerState>,
    Extension(context): Extension<SessionContext>,
    path: Result<RotationPath, ApiError>,
) -> Result<Response, ErrorPage> {
    let RotationPath(rotation) = path?;
    let _permit = state.observation_permit().await?;
    let rotator = &state.runner.rotator;
    let (report, plan) = tokio::join!(rotator.check(&rotation), rotator.plan(&rotation));
    let page = view::database_check::page(&DatabaseCheck {
        context: &context,
        worker: &rotator.worker,
        now: state.now(),
        name: &rotation.name,
        report: &report?,
        plan: &plan.map_err(ApiError::from),
    });
    Ok(view::page(StatusCode::OK, page))
}
