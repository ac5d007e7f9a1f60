//! `/v1/rotations` and what is under it.
//!
//! What can go wrong, and what prevents it:
//! - whoever asked goes away in the middle, or waits no longer, and what was begun is dropped half-way: a run
//!   and a rollback are tasks of the worker, which end by themselves;
//! - many look at their databases at once, and keep runs from their turn: looks have places of their own.

#![expect(
    clippy::missing_errors_doc,
    reason = "these docs are those of the OpenAPI document, which tells every answer by its status"
)]

use axum::Json;
use axum::extract::{ConnectInfo, State};
use axum::http::header::LOCATION;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::wish::{Body, Named, RotateWish, Wish, audit, idempotency_key, read};
use crate::admin::problem::Answer;
use crate::journal::Run;
use crate::rotation::check::Report;
use crate::rotation::plan::Plan;
use crate::rotation::rollback::Swapped;
use crate::worker::fleet::Fleet;
use crate::worker::views::RotationView;
use twinkey_stores::listener::Peer;

/// Every rotation, as `twinkey status --json`.
#[utoipa::path(get, path = "/v1/rotations", tag = "rotations",
    responses((status = 200, body = Vec<RotationView>)))]
pub async fn rotations(State(fleet): State<Fleet>) -> Result<Json<Vec<RotationView>>, Answer> {
    Ok(Json(fleet.views().await?))
}

/// One rotation, as `twinkey status --json`.
#[utoipa::path(get, path = "/v1/rotations/{name}", tag = "rotations",
    params(("name" = String, Path, description = "The rotation's name", example = "orders")),
    responses((status = 200, body = RotationView), (status = 404)))]
pub async fn rotation(
    State(fleet): State<Fleet>,
    Named(rotation): Named,
) -> Result<Json<RotationView>, Answer> {
    Ok(Json(fleet.view(&rotation).await?))
}

/// Begin a run now.
///
/// The run goes on by itself: ask for it at `Location`. The same `Idempotency-Key` gives the same run.
#[utoipa::path(post, path = "/v1/rotations/{name}/rotate", tag = "rotations",
    params(
        ("name" = String, Path, description = "The rotation's name", example = "orders"),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible ASCII characters", min_length = 1, max_length = 255, example = "deploy-4711"),
    ),
    request_body = Option<RotateWish>,
    responses(
        (status = 202, description = "The run that was begun, or that this key had begun", body = Run,
            headers(("Location" = String, description = "Where the run is"))),
        (status = 400), (status = 404), (status = 413),
        (status = 409, description = "`already_running` or `too_soon`"),
    ))]
pub async fn rotate(
    State(fleet): State<Fleet>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Named(rotation): Named,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Answer> {
    let wish: RotateWish = read(body)?;
    let key = idempotency_key(&headers)?;
    let begun = fleet
        .rotate(rotation.clone(), wish.force, wish.reason.clone(), key)
        .await
        .map_err(Answer::from);
    let asked = if wish.force {
        "rotate, by force"
    } else {
        "rotate"
    };
    audit(peer, asked, &rotation, wish.reason.as_deref(), &begun);
    let run = begun?;
    let location = format!("/v1/runs/{}", run.id);
    Ok((StatusCode::ACCEPTED, [(LOCATION, location)], Json(run)).into_response())
}

/// Move AWSCURRENT back to AWSPREVIOUS, after proving that it still signs in.
#[utoipa::path(post, path = "/v1/rotations/{name}/rollback", tag = "rotations",
    params(("name" = String, Path, description = "The rotation's name", example = "orders")),
    request_body = Option<Wish>,
    responses(
        (status = 200, description = "Who was put back in the place of whom", body = Swapped),
        (status = 400), (status = 404), (status = 413),
        (status = 409, description = "`already_running`, `lost_race` or `pending_conflict`"),
        (status = 422, description = "AWSPREVIOUS cannot take over; nothing was changed"),
    ))]
pub async fn rollback(
    State(fleet): State<Fleet>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    Named(rotation): Named,
    body: Body,
) -> Result<Json<Swapped>, Answer> {
    let wish: Wish = read(body)?;
    let done = fleet.roll_back(rotation.clone(), wish.reason.clone()).await;
    let done = done.map_err(Answer::from);
    audit(peer, "rollback", &rotation, wish.reason.as_deref(), &done);
    Ok(Json(done?))
}

/// What became of a pause.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Paused {
    #[schema(example = "orders")]
    rotation: String,
    paused: bool,
}

/// Let no scheduled run begin.
#[utoipa::path(post, path = "/v1/rotations/{name}/pause", tag = "rotations",
    params(("name" = String, Path, description = "The rotation's name", example = "orders")),
    request_body = Option<Wish>,
    responses((status = 200, body = Paused), (status = 400), (status = 404), (status = 413)))]
pub async fn pause(
    State(fleet): State<Fleet>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    named: Named,
    body: Body,
) -> Result<Json<Paused>, Answer> {
    set_paused(&fleet, peer, named, body, true).await
}

/// Let scheduled runs begin again.
#[utoipa::path(post, path = "/v1/rotations/{name}/resume", tag = "rotations",
    params(("name" = String, Path, description = "The rotation's name", example = "orders")),
    request_body = Option<Wish>,
    responses((status = 200, body = Paused), (status = 400), (status = 404), (status = 413)))]
pub async fn resume(
    State(fleet): State<Fleet>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    named: Named,
    body: Body,
) -> Result<Json<Paused>, Answer> {
    set_paused(&fleet, peer, named, body, false).await
}

async fn set_paused(
    fleet: &Fleet,
    peer: Peer,
    Named(rotation): Named,
    body: Body,
    paused: bool,
) -> Result<Json<Paused>, Answer> {
    let wish: Wish = read(body)?;
    let done = fleet.crew.rotator.set_paused(&rotation, paused).await;
    let done = done.map_err(Answer::from);
    let asked = if paused { "pause" } else { "resume" };
    audit(peer, asked, &rotation, wish.reason.as_deref(), &done);
    done?;
    Ok(Json(Paused {
        rotation: rotation.name.clone(),
        paused,
    }))
}

/// The exact statements that `set` would carry out now, passwords as `***`. Changes nothing.
#[utoipa::path(get, path = "/v1/rotations/{name}/plan", tag = "rotations",
    params(("name" = String, Path, description = "The rotation's name", example = "orders")),
    responses((status = 200, body = Plan), (status = 404), (status = 409),
        (status = 422, description = "What is there cannot be observed")))]
pub async fn plan(
    State(fleet): State<Fleet>,
    Named(rotation): Named,
) -> Result<Json<Plan>, Answer> {
    let _place = fleet.look().await?;
    Ok(Json(fleet.crew.rotator.plan(&rotation).await?))
}

/// The read-only preflight. What cannot be observed is a finding too.
#[utoipa::path(get, path = "/v1/rotations/{name}/check", tag = "rotations",
    params(("name" = String, Path, description = "The rotation's name", example = "orders")),
    responses((status = 200, body = Report), (status = 404)))]
pub async fn check(
    State(fleet): State<Fleet>,
    Named(rotation): Named,
) -> Result<Json<Report>, Answer> {
    let _place = fleet.look().await?;
    Ok(Json(fleet.crew.rotator.check(&rotation).await?))
}
