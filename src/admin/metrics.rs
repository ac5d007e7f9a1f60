//! `GET /metrics`: the process's counters, and where every rotation stands now.

use std::fmt;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeGaugeValue, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::admin::problem::Answer;
use crate::rotation::error::RotationError;
use crate::worker::fleet::Fleet;
use crate::worker::views::RotationState;

const GAUGE: MetricType = MetricType::Gauge;
/// As of the OpenMetrics specification, version 1.0.
const KIND: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Where every rotation stands: written out as it is, for a gauge each in a registry would be a hundred thousand.
#[derive(Debug)]
struct Standing(Vec<Stands>);

/// Where one rotation stands.
#[derive(Debug)]
struct Stands {
    rotation: String,
    state: RotationState,
    last_success: Option<DateTime<Utc>>,
    next_opening: Option<DateTime<Utc>>,
    /// How many were signed in as its standby, where that was looked at.
    sessions: Option<usize>,
    /// Whether its AWSCURRENT was refused, where the heartbeat tries it.
    refused: Option<bool>,
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
    let standing = views.into_iter().map(|view| Stands {
        sessions: fleet.sessions_of(&view.name),
        refused: fleet.hearts.refused(&view.name),
        rotation: view.name,
        state: view.state,
        last_success: view.last_success,
        next_opening: view.next_window.map(|window| window.opens),
    });
    let mut registry = Registry::with_prefix("twinkey");
    registry.register_collector(Box::new(Standing(standing.collect())));
    let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
    registry.register("build", "Which twinkey this is", build);
    let text = fleet.metrics.text(&registry);
    let text = text.map_err(|error| RotationError::Internal(error.to_string()))?;
    Ok(([(CONTENT_TYPE, KIND)], text).into_response())
}

impl Collector for Standing {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let seconds_since = Some(&Unit::Seconds);
        self.each(
            &mut encoder,
            "last_success_timestamp",
            "When a rotation last succeeded, in seconds since 1970",
            seconds_since,
            |stands| stands.last_success.map(seconds),
        )?;
        self.each(
            &mut encoder,
            "next_window_timestamp",
            "When a rotation's next window opens, in seconds since 1970; absent where none does",
            seconds_since,
            |stands| stands.next_opening.map(seconds),
        )?;
        self.each(
            &mut encoder,
            "standby_sessions",
            "Who was signed in as the standby when a run or a check last looked",
            None,
            |stands| Some(i64::try_from(stands.sessions?).unwrap_or(i64::MAX)),
        )?;
        self.each(
            &mut encoder,
            "current_refused",
            "1 where AWSCURRENT did not sign in when the heartbeat last tried it",
            None,
            |stands| stands.refused.map(i64::from),
        )?;
        let what = "1 for the state that a rotation is in, 0 for the others";
        let mut states = encoder.encode_descriptor("rotation_state", what, None, GAUGE)?;
        for stands in &self.0 {
            for possible in RotationState::ALL {
                let rotation = ("rotation", stands.rotation.as_str());
                let labels = [rotation, ("state", possible.as_str())];
                let here = ConstGauge::new(i64::from(possible == stands.state));
                here.encode(states.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

impl Standing {
    /// One gauge a rotation, where it has a value.
    fn each<N: EncodeGaugeValue>(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        what: &str,
        unit: Option<&Unit>,
        value: impl Fn(&Stands) -> Option<N>,
    ) -> fmt::Result {
        let mut family = encoder.encode_descriptor(name, what, unit, GAUGE)?;
        for stands in &self.0 {
            if let Some(value) = value(stands) {
                let labels = [("rotation", stands.rotation.as_str())];
                ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

fn seconds(at: DateTime<Utc>) -> f64 {
    at.timestamp_micros() as f64 / 1e6
}
