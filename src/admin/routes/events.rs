//! Route `GET /v1/events`: server-sent events.
//!
//! # Failure modes
//! - A reader is slow or stuck: it blocks no other task and holds only its position; a `gap` reports the
//!   events that it missed.
//! - Readers accumulate: at most [`max_event_readers`] are connected at once.
//! - Open streams delay the stop of the worker: the streams end when it drains.
//! - A proxy closes a silent connection: a comment is sent every 15 s.

#![expect(
    clippy::missing_errors_doc,
    reason = "these docs appear in the OpenAPI document, which lists the responses by status"
)]

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Sse;
use axum::response::sse::{self, KeepAlive};
use futures_util::Stream;
use futures_util::stream::unfold;
use serde::Deserialize;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use utoipa::IntoParams;

use crate::admin::auth::{Authenticated, Principal};
use crate::admin::problem::ApiError;
use crate::rotation::event::{Event, EventId, Received, Subscription};
use crate::worker::state::{WorkerState, max_event_readers};

const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The filter of the events.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Filter {
    /// Only events of this rotation.
    #[param(example = "orders")]
    rotation: Option<String>,
}

struct Reader {
    principal: Arc<Principal>,
    subscription: Subscription,
    rotation: Option<String>,
    drain: CancellationToken,
    _permit: OwnedSemaphorePermit,
}

/// A stream of the events of all rotations that the token sees, until the worker stops.
///
/// Each event has its name as `event`, its position as `id`, and JSON as `data`. With `Last-Event-ID` the
/// stream continues after that event. `gap` reports lost events (`{"lost": n}`; `null` if the number is not
/// known): read the missing runs from `GET /v1/runs`.
#[utoipa::path(get, path = "/v1/events", tag = "events",
    params(Filter, ("Last-Event-ID" = Option<String>, Header, description = "The `id` of the last event that was read")),
    responses(
        (status = 200, description = "An endless stream", content_type = "text/event-stream", body = Event),
        (status = 400),
    ))]
pub async fn events(
    State(state): State<WorkerState>,
    Authenticated(principal): Authenticated,
    filter: Result<Query<Filter>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<sse::Event, Infallible>>>, ApiError> {
    let bad_request =
        |detail: String, hint: &str| ApiError::new(StatusCode::BAD_REQUEST, detail, hint);
    let Query(filter) = filter
        .map_err(|refused| bad_request(refused.body_text(), "the only parameter is rotation"))?;
    let events = &state.runner.rotator.events;
    let subscription = match headers.get("last-event-id") {
        None => events.subscribe(),
        Some(id) => {
            let id = id.to_str().ok().and_then(|id| id.parse::<EventId>().ok());
            let id = id.ok_or_else(|| {
                let hint = "send the id of an event, or no Last-Event-ID at all";
                bad_request("Last-Event-ID is not the id of an event".into(), hint)
            })?;
            events.subscribe_after(id)
        }
    };
    let permit = Arc::clone(&state.event_readers)
        .try_acquire_owned()
        .map_err(|_| {
            ApiError::new(
                StatusCode::SERVICE_UNAVAILABLE,
                format!(
                    "{} readers of events are connected already",
                    max_event_readers()
                ),
                "close some of them, or share one reader",
            )
        })?;
    let reader = Reader {
        principal,
        subscription,
        rotation: filter.rotation,
        drain: state.runner.shutdown.drain.clone(),
        _permit: permit,
    };
    let stream = unfold(reader, async |mut reader| {
        let event = next(&mut reader).await?;
        Some((Ok(event), reader))
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

/// The next event for a reader; `None` when the worker drains.
async fn next(reader: &mut Reader) -> Option<sse::Event> {
    loop {
        let received = tokio::select! {
            received = reader.subscription.recv() => received,
            () = reader.drain.cancelled() => return None,
        };
        let recorded = match received {
            Received::Gap(lost) => {
                // The number may count events of other rotations.
                let lost = lost.filter(|_| !reader.principal.is_scoped());
                let lost = lost.map_or("null".into(), |lost| lost.to_string());
                let gap = sse::Event::default().event("gap");
                return Some(gap.data(format!("{{\"lost\":{lost}}}")));
            }
            Received::Event(recorded) => recorded,
        };
        let filter = reader.rotation.as_deref();
        let rotation = recorded.event.rotation();
        if filter.is_some_and(|name| name != rotation) || !reader.principal.sees(rotation) {
            continue;
        }
        match recorded.json() {
            Ok(json) => {
                let event = sse::Event::default().id(recorded.id.to_string());
                return Some(event.event(recorded.event.name()).data(json));
            }
            Err(error) => tracing::error!(%error, "event serialization failed"),
        }
    }
}
