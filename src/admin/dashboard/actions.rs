//! What a person does to a rotation: asked once more on a page that says what will happen, then done by the
//! same functions, and with the same line in the log, as through the API.

use axum::Extension;
use axum::extract::rejection::FormRejection;
use axum::extract::{ConnectInfo, Form, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use uuid::Uuid;

use super::door::Visitor;
use super::view::confirm::Confirm;
use super::{Trouble, view};
use crate::admin::problem::Answer;
use crate::admin::routes::wish::{Caller, Named, audit, check_reason};
use crate::worker::fleet::Fleet;
use crate::worker::views::RotationState;
use twinkey_stores::listener::Peer;

/// What can be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Action {
    Rotate,
    Pause,
    Resume,
    Rollback,
}

impl Action {
    /// All of them, in the order of their buttons.
    pub(super) const ALL: [Self; 4] = [Self::Rotate, Self::Pause, Self::Resume, Self::Rollback];

    /// As in the path.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Rotate => "rotate",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Rollback => "rollback",
        }
    }

    pub(super) const fn route(self) -> &'static str {
        match self {
            Self::Rotate => "/rotations/{name}/rotate",
            Self::Pause => "/rotations/{name}/pause",
            Self::Resume => "/rotations/{name}/resume",
            Self::Rollback => "/rotations/{name}/rollback",
        }
    }

    /// As on its button.
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Rotate => "Rotate",
            Self::Pause => "Pause",
            Self::Resume => "Resume",
            Self::Rollback => "Roll back",
        }
    }

    /// What a person is told when it is done.
    pub(super) const fn done(self) -> &'static str {
        match self {
            Self::Rotate => "A run has begun. Its steps are below.",
            Self::Pause => "Paused: no scheduled run begins.",
            Self::Resume => "Resumed: scheduled runs begin again.",
            Self::Rollback => "Rolled back: AWSCURRENT is what AWSPREVIOUS was.",
        }
    }

    /// Whether it is offered for a rotation in this state. What is not offered is refused by the worker, or does
    /// nothing.
    pub(super) fn fits(self, state: RotationState) -> bool {
        let paused = state == RotationState::Paused;
        match self {
            Self::Rotate | Self::Rollback => true,
            Self::Pause => !paused,
            Self::Resume => paused,
        }
    }
}

/// What the form sends besides its mark.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Wish {
    reason: String,
    force: Option<String>,
    key: Option<Uuid>,
}

/// `GET`: says what it will do.
pub(super) async fn confirm(
    action: Action,
    State(fleet): State<Fleet>,
    Extension(visitor): Extension<Visitor>,
    named: Result<Named, Answer>,
) -> Result<Response, Trouble> {
    let named = named?;
    let page = asked(action, &fleet, &visitor, &named, None, "").await?;
    Ok(view::page(StatusCode::OK, page))
}

async fn asked(
    action: Action,
    fleet: &Fleet,
    visitor: &Visitor,
    Named(rotation): &Named,
    refused: Option<&Answer>,
    reason: &str,
) -> Result<maud::Markup, Trouble> {
    let view = fleet.view(rotation).await?;
    Ok(view::confirm::page(&Confirm {
        visitor,
        worker: &fleet.crew.rotator.worker,
        now: fleet.now(),
        action,
        rotation,
        view: &view,
        key: &Uuid::new_v4().to_string(),
        refused,
        reason,
    }))
}

/// `POST`: does it, or says on the same page why not.
pub(super) async fn carry_out(
    action: Action,
    State(fleet): State<Fleet>,
    Extension(visitor): Extension<Visitor>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    named: Result<Named, Answer>,
    form: Result<Form<Wish>, FormRejection>,
) -> Result<Response, Trouble> {
    let named = named?;
    let Form(wish) = form.map_err(|refused| {
        let hint = "open the page again and send its form";
        Answer::new(refused.status(), refused.body_text(), hint)
    })?;
    let Named(rotation) = &named;
    let done = act(action, &fleet, &named, &wish).await;
    let asked_for = match action {
        Action::Rotate if wish.force.is_some() => "rotate, by force",
        _ => action.as_str(),
    };
    let reason = wish.reason.trim();
    let who = Caller::session(peer, &visitor.session);
    audit(who, asked_for, rotation, Some(reason), &done);
    match done {
        Ok(()) => {
            let to = format!("/rotations/{}?done={}", rotation.name, action.as_str());
            Ok(Redirect::to(&to).into_response())
        }
        Err(refused) => {
            let page = asked(action, &fleet, &visitor, &named, Some(&refused), reason).await?;
            Ok(view::page(refused.status(), page))
        }
    }
}

async fn act(
    action: Action,
    fleet: &Fleet,
    Named(rotation): &Named,
    wish: &Wish,
) -> Result<(), Answer> {
    let reason = Some(wish.reason.trim()).filter(|r| !r.is_empty());
    check_reason(reason)?;
    let (reason, rotator) = (reason.map(str::to_owned), &fleet.crew.rotator);
    match action {
        Action::Rotate => {
            let key = wish.key.map(|key| key.to_string());
            let force = wish.force.is_some();
            fleet
                .rotate(rotation.clone(), force, reason, key.as_deref())
                .await?;
        }
        Action::Rollback => drop(fleet.roll_back(rotation.clone(), reason).await?),
        Action::Pause => rotator.set_paused(rotation, true).await?,
        Action::Resume => rotator.set_paused(rotation, false).await?,
    }
    Ok(())
}
