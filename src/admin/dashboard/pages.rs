//! The pages: ask the fleet, draw what it says.

use axum::Extension;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use uuid::Uuid;

use super::actions::Action;
use super::door::Visitor;
use super::select::{Asked, Row, Wanted, tally};
use super::view::look::Look;
use super::view::overview::Overview;
use super::view::rotation::Shown;
use super::view::strip::Strip;
use super::view::timeline::RUNS;
use super::{Trouble, view};
use crate::admin::problem::Answer;
use crate::admin::routes::wish::Named;
use crate::journal::{RotationMemory, RunQuery};
use crate::rotation::error::RotationError;
use crate::worker::fleet::Fleet;
use crate::worker::outlook::outlook;
use crate::worker::views::RotationView;

/// What the address asks for, which a person may have typed.
fn understood<T>(query: Result<Query<T>, QueryRejection>) -> Result<T, Answer> {
    let Query(asked) = query.map_err(|refused| {
        let hint = "begin at the list of rotations";
        Answer::new(StatusCode::BAD_REQUEST, refused.body_text(), hint)
    })?;
    Ok(asked)
}

/// `GET /`
pub(super) async fn overview(
    State(fleet): State<Fleet>,
    Extension(visitor): Extension<Visitor>,
    query: Result<Query<Asked>, QueryRejection>,
) -> Result<Response, Trouble> {
    let wanted = Wanted::try_from(understood(query)?)?;
    let memory = fleet.crew.rotator.journal.memory().await;
    let memory = memory.map_err(RotationError::from)?;
    let (rotations, now) = (fleet.rotations(), fleet.now());
    let nothing = RotationMemory::default();
    let memory_of = |name: &str| memory.get(name).unwrap_or(&nothing);
    let views: Vec<RotationView> = rotations
        .iter()
        .map(|r| crate::worker::views::view(r, memory_of(&r.name), now))
        .collect();
    let rows = views.iter().map(|view| Row {
        view,
        refused: fleet.hearts.refused(&view.name) == Some(true),
    });
    let blocks = rotations
        .iter()
        .zip(&views)
        .filter(|(_, view)| wanted.has(view))
        .flat_map(|(rotation, view)| {
            let blocks = outlook(rotation, memory_of(&rotation.name), now);
            blocks.into_iter().map(|block| (view.name.as_str(), block))
        });
    let page = view::overview::page(&Overview {
        visitor: &visitor,
        worker: &fleet.crew.rotator.worker,
        now,
        tally: tally(&views),
        page: wanted.page(rows),
        strip: Strip::new(blocks.collect(), now),
        wanted,
    });
    Ok(view::page(StatusCode::OK, page))
}

/// What a rotation's page may be asked for.
#[derive(Debug, Deserialize)]
pub(super) struct Which {
    /// What somebody has just done.
    done: Option<Action>,
    /// History before the run with this id.
    before: Option<Uuid>,
}

/// `GET /rotations/{name}`
pub(super) async fn rotation(
    State(fleet): State<Fleet>,
    Extension(visitor): Extension<Visitor>,
    named: Result<Named, Answer>,
    query: Result<Query<Which>, QueryRejection>,
) -> Result<Response, Trouble> {
    let Named(rotation) = named?;
    let which = understood(query)?;
    let query = RunQuery {
        rotation: Some(rotation.name.clone()),
        state: None,
        before: which.before,
        // One more, to know whether there are older ones.
        limit: RUNS as u32 + 1,
    };
    let runs = fleet.crew.rotator.journal.runs(&query).await;
    let page = view::rotation::page(&Shown {
        visitor: &visitor,
        worker: &fleet.crew.rotator.worker,
        now: fleet.now(),
        rotation: &rotation,
        view: &fleet.view(&rotation).await?,
        refused: fleet.hearts.refused(&rotation.name),
        done: which.done,
        runs: &runs.map_err(RotationError::from)?,
        from_the_newest: which.before.is_none(),
    });
    Ok(view::page(StatusCode::OK, page))
}

/// `GET /rotations/{name}/look`
pub(super) async fn look(
    State(fleet): State<Fleet>,
    Extension(visitor): Extension<Visitor>,
    named: Result<Named, Answer>,
) -> Result<Response, Trouble> {
    let Named(rotation) = named?;
    let _place = fleet.look().await?;
    let rotator = &fleet.crew.rotator;
    let (report, plan) = tokio::join!(rotator.check(&rotation), rotator.plan(&rotation));
    let page = view::look::page(&Look {
        visitor: &visitor,
        worker: &rotator.worker,
        now: fleet.now(),
        name: &rotation.name,
        report: &report?,
        plan: &plan.map_err(Answer::from),
    });
    Ok(view::page(StatusCode::OK, page))
}
