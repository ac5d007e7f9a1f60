//! `GET /v1/events`: what happens, as server-sent events.
//!
//! What can go wrong, and what prevents it:
//! - a reader is slow or stuck: it keeps nobody waiting and no memory but its place; what it was too slow for
//!   is told it as a `gap`;
//! - readers pile up: there are [`READERS`] places;
//! - readers keep the worker from stopping: the streams end when it winds down;
//! - a silent connection is cut by something between: a comment comes every 15 s.

#![expect(
    clippy::missing_errors_doc,
    reason = "these docs are those of the OpenAPI document, which tells every answer by its status"
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

use crate::admin::problem::Answer;
use crate::rotation::event::{Event, EventId, Heard, Subscription};
use crate::worker::fleet::{Fleet, READERS};

const ALIVE: Duration = Duration::from_secs(15);

/// Which events.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Filter {
    /// About this rotation.
    #[param(example = "orders")]
    rotation: Option<String>,
}

struct Reader {
    subscription: Subscription,
    rotation: Option<String>,
    end: CancellationToken,
    _place: OwnedSemaphorePermit,
}

/// What happens, as it happens, until the worker stops.
///
/// Each event has the event's name as `event`, its place as `id`, and JSON as `data`. With `Last-Event-ID` the
/// stream goes on after that event. `gap` says that events were lost (`{"lost": n}`, `null` where that is not
/// known): read what is missing from `GET /v1/runs`.
#[utoipa::path(get, path = "/v1/events", tag = "events",
    params(Filter, ("Last-Event-ID" = Option<String>, Header, description = "The `id` of the event that was read last")),
    responses(
        (status = 200, description = "A stream without end", content_type = "text/event-stream", body = Event),
        (status = 400),
    ))]
pub async fn events(
    State(fleet): State<Fleet>,
    filter: Result<Query<Filter>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<sse::Event, Infallible>>>, Answer> {
    let wrong = |detail: String, hint: &str| Answer::new(StatusCode::BAD_REQUEST, detail, hint);
    let Query(filter) =
        filter.map_err(|refused| wrong(refused.body_text(), "only rotation is known"))?;
    let events = &fleet.crew.rotator.events;
    let subscription = match headers.get("last-event-id") {
        None => events.subscribe(),
        Some(id) => {
            let id = id.to_str().ok().and_then(|id| id.parse::<EventId>().ok());
            let id = id.ok_or_else(|| {
                let hint = "send the id of an event, or no Last-Event-ID at all";
                wrong("Last-Event-ID is not the id of an event".into(), hint)
            })?;
            events.subscribe_after(id)
        }
    };
    let place = Arc::clone(&fleet.readers)
        .try_acquire_owned()
        .map_err(|_| {
            Answer::new(
                StatusCode::SERVICE_UNAVAILABLE,
                format!("{READERS} readers of events are there already"),
                "close some of them; one reader can serve many",
            )
        })?;
    let reader = Reader {
        subscription,
        rotation: filter.rotation,
        end: fleet.crew.stop.winding_down.clone(),
        _place: place,
    };
    let stream = unfold(reader, async |mut reader| {
        let event = next(&mut reader).await?;
        Some((Ok(event), reader))
    });
    Ok(Sse::new(stream).keep_alive(KeepAlive::new().interval(ALIVE)))
}

/// The next event for a reader; `None` at the end.
async fn next(reader: &mut Reader) -> Option<sse::Event> {
    loop {
        let heard = tokio::select! {
            heard = reader.subscription.recv() => heard,
            () = reader.end.cancelled() => return None,
        };
        let happened = match heard {
            Heard::Gap(lost) => {
                let lost = lost.map_or("null".into(), |lost| lost.to_string());
                let gap = sse::Event::default().event("gap");
                return Some(gap.data(format!("{{\"lost\":{lost}}}")));
            }
            Heard::Event(happened) => happened,
        };
        let of = reader.rotation.as_deref();
        if of.is_some_and(|name| name != happened.event.rotation()) {
            continue;
        }
        match happened.json() {
            Ok(json) => {
                let event = sse::Event::default().id(happened.id.to_string());
                return Some(event.event(happened.event.name()).data(json));
            }
            Err(error) => tracing::error!(%error, "an event cannot be written as JSON"),
        }
    }
}
