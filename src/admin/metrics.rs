//! `GET /metrics`: the process's counters, and where every rotation stands now.

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::admin::problem::Answer;
use crate::rotation::error::RotationError;
use crate::worker::fleet::Fleet;
use crate::worker::views::{RotationState, RotationView};

/// As of the OpenMetrics specification, version 1.0.
const KIND: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// `rotation`
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Of {
    rotation: String,
}

/// `rotation`, `state`
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Stands {
    rotation: String,
    state: &'static str,
}

/// What Prometheus scrapes, in the OpenMetrics text format.
#[utoipa::path(get, path = "/metrics", tag = "worker",
    responses((status = 200, description = "All metrics", content_type = "application/openmetrics-text", body = String)))]
#[expect(
    clippy::missing_errors_doc,
    reason = "these docs are those of the OpenAPI document, which tells every answer by its status"
)]
pub async fn metrics(State(fleet): State<Fleet>) -> Result<Response, Answer> {
    let views = fleet.views().await?;
    let gauges = gauges(
        &views,
        |rotation| fleet.sessions_of(rotation),
        |rotation| fleet.hearts.refused(rotation),
    );
    let text = fleet.metrics.text(&gauges);
    let text = text.map_err(|error| RotationError::Internal(error.to_string()))?;
    Ok(([(CONTENT_TYPE, KIND)], text).into_response())
}

/// Where every rotation stands. `sessions`: how many were signed in as a rotation's standby, where that was
/// looked at. `refused`: whether its AWSCURRENT was, where the heartbeat tries it.
fn gauges(
    views: &[RotationView],
    sessions: impl Fn(&str) -> Option<usize>,
    refused: impl Fn(&str) -> Option<bool>,
) -> Registry {
    let mut registry = Registry::with_prefix("twinkey");
    let success = Family::<Of, Gauge<f64, std::sync::atomic::AtomicU64>>::default();
    let next = Family::<Of, Gauge<f64, std::sync::atomic::AtomicU64>>::default();
    let standby = Family::<Of, Gauge>::default();
    let current = Family::<Of, Gauge>::default();
    let state = Family::<Stands, Gauge>::default();
    for view in views {
        let of = Of {
            rotation: view.name.clone(),
        };
        if let Some(at) = view.last_success {
            success.get_or_create(&of).set(seconds(at));
        }
        if let Some(window) = view.next_window {
            next.get_or_create(&of).set(seconds(window.opens));
        }
        if let Some(sessions) = sessions(&view.name) {
            let sessions = i64::try_from(sessions).unwrap_or(i64::MAX);
            standby.get_or_create(&of).set(sessions);
        }
        if let Some(refused) = refused(&view.name) {
            current.get_or_create(&of).set(i64::from(refused));
        }
        for possible in RotationState::ALL {
            let stands = Stands {
                rotation: view.name.clone(),
                state: possible.as_str(),
            };
            let here = i64::from(possible == view.state);
            state.get_or_create(&stands).set(here);
        }
    }
    let unit = Unit::Seconds;
    registry.register_with_unit(
        "last_success_timestamp",
        "When a rotation last succeeded, in seconds since 1970",
        unit.clone(),
        success,
    );
    registry.register_with_unit(
        "next_window_timestamp",
        "When a rotation's next window opens, in seconds since 1970; absent where none does",
        unit,
        next,
    );
    registry.register(
        "standby_sessions",
        "Who was signed in as the standby when a run or a check last looked",
        standby,
    );
    registry.register(
        "current_refused",
        "1 where AWSCURRENT did not sign in when the heartbeat last tried it",
        current,
    );
    registry.register(
        "rotation_state",
        "1 for the state that a rotation is in, 0 for the others",
        state,
    );
    let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
    registry.register("build", "Which twinkey this is", build);
    registry
}

fn seconds(at: DateTime<Utc>) -> f64 {
    at.timestamp_micros() as f64 / 1e6
}
