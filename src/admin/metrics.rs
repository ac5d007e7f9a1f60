//! `GET /metrics`: the process's counters and the current state of every rotation.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_TYPE, VARY};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeGaugeValue, EncodeLabelSet, EncodeMetric,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::admin::auth::Authenticated;
use crate::admin::exposition::TextFormat;
use crate::admin::problem::ApiError;
use crate::admin::routes::health::ReadinessCache;
use crate::config::settings::{DEFAULT_STORE, Discover, RotationSeries};
use crate::discovery::Finding;
use crate::journal::ListingState;
use crate::rotation::context::endpoint_states::EndpointStatus;
use crate::rotation::error::RotationError;
use crate::worker::discovery::listing_query;
use crate::worker::readiness::StoreHealth;
use crate::worker::state::WorkerState;
use crate::worker::summaries::SummaryRow;
use crate::worker::view_filter::Filterable;
use crate::worker::views::{RotationState, RotationView};

const GAUGE: MetricType = MetricType::Gauge;
/// The largest number of rotations with series of their own under `server.metrics = "problems"`.
const MAX_PROBLEMS: usize = 1000;

/// `store`
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StoreLabels {
    /// The name in the config; `secrets` for `[secrets]`.
    store: String,
}

/// `engine`, `state`
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TotalLabels {
    engine: String,
    state: &'static str,
}

/// The gauges of the rotations with series of their own, encoded from samples: registered gauges could be a hundred thousand.
#[derive(Debug)]
struct RotationGauges(Vec<Sample>);

/// The gauge values of one rotation.
#[derive(Debug)]
struct Sample {
    rotation: String,
    state: RotationState,
    last_success: Option<DateTime<Utc>>,
    /// The age of AWSCURRENT's password in seconds, if it is known.
    password_age: Option<u64>,
    next_opening: Option<DateTime<Utc>>,
    /// The number of sessions of its standby, if a run or check listed them.
    sessions: Option<usize>,
    /// Its endpoints, and whether AWSCURRENT signs in there.
    endpoints: BTreeMap<String, bool>,
    /// Whether its AWSCURRENT was refused, if the heartbeat checks it.
    refused: Option<bool>,
}

/// All metrics in the OpenMetrics text format, for Prometheus, or in the text format 0.0.4 if `Accept` prefers it.
#[utoipa::path(get, path = "/metrics", tag = "worker",
    responses(
        (status = 200, description = "All metrics",
            content((String = "application/openmetrics-text"), (String = "text/plain"))),
        (status = 403, description = "The token is limited to some rotations"),
    ))]
#[expect(
    clippy::missing_errors_doc,
    reason = "these docs appear in the OpenAPI document, which lists the responses by status"
)]
pub async fn metrics(
    State(state): State<WorkerState>,
    Authenticated(principal): Authenticated,
    Extension(cache): Extension<Arc<ReadinessCache>>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    principal.require_all_rotations()?;
    let journal = &state.runner.rotator.journal;
    let (rotations, readiness, listed) = tokio::join!(
        rotations(&state),
        cache.readiness(&state),
        journal.listings()
    );
    let is_journal_up = rotations.is_ok() && readiness.journal.is_none();
    // Without the journal, the counters and the state of journal and store are served.
    let (totals, views) = rotations.unwrap_or_default();
    let samples = views.into_iter().map(|view| Sample {
        sessions: view.standby_sessions.map(|sessions| sessions.len()),
        refused: state.heartbeats.refused(&view.name),
        endpoints: endpoints(&view.endpoints),
        rotation: view.name,
        state: view.state,
        last_success: view.last_success,
        password_age: view.password_age,
        next_opening: view.next_window.map(|window| window.opens),
    });
    let mut registry = Registry::with_prefix("twinkey");
    registry.register_collector(Box::new(RotationGauges(samples.collect())));
    let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
    registry.register("build", "Version of twinkey", build);
    let up = |is_up: bool| {
        let gauge = Gauge::<i64>::default();
        gauge.set(i64::from(is_up));
        gauge
    };
    let help = "1 if the journal can be read and written";
    registry.register("journal_up", help, up(is_journal_up));
    let stores = Family::<StoreLabels, Gauge>::default();
    for StoreHealth { name, problem } in &readiness.stores {
        let store = name.clone();
        let gauge = stores.get_or_create(&StoreLabels { store });
        gauge.set(i64::from(problem.is_none()));
    }
    register_discovery(&mut registry, &state, listed.unwrap_or_default());
    registry.register("store_up", "1 if the store responds", stores);
    registry.register("rotations", "The number of rotations", totals);
    let text = state.metrics.text(&registry);
    let text = text.map_err(|error| RotationError::Internal(error.to_string()))?;
    let format = TextFormat::preferred(&headers);
    let headers = [(CONTENT_TYPE, format.content_type()), (VARY, "Accept")];
    Ok((headers, format.convert(text)).into_response())
}

/// The number of rotations by engine and state, and those that have series of their own.
async fn rotations(
    state: &WorkerState,
) -> Result<(Family<TotalLabels, Gauge>, Vec<RotationView>), RotationError> {
    match state.rotation_series {
        RotationSeries::All => {
            let views = state.views().await?;
            Ok((totals(&views), views))
        }
        RotationSeries::Problems => {
            let (summaries, now) = (state.summaries().await?, state.now());
            let rows: Vec<SummaryRow<'_>> = summaries.rows(now).collect();
            let problems = rows.iter().filter(|row| row.state().is_problem());
            let problems: Vec<_> = problems
                .map(|row| row.rotation)
                .take(MAX_PROBLEMS)
                .collect();
            Ok((totals(&rows), state.views_of(&problems).await?))
        }
    }
}

/// Registers the gauges of `[[discover]]`, by store.
fn register_discovery(registry: &mut Registry, state: &WorkerState, listings: Vec<ListingState>) {
    let armed = Family::<StoreLabels, Gauge>::default();
    let refused = Family::<StoreLabels, Gauge>::default();
    let found = state.found_secrets();
    let configured = state.configured();
    let names: BTreeSet<Option<&str>> = configured
        .discover
        .iter()
        .map(Discover::store_name)
        .collect();
    for name in names {
        let count = |is: fn(&Finding) -> bool| {
            let name = name.unwrap_or_default();
            let of_store = found.iter().filter(|one| one.known.store == name);
            let count = of_store.filter(|one| is(&one.finding)).count();
            i64::try_from(count).unwrap_or(i64::MAX)
        };
        let store = name.unwrap_or(DEFAULT_STORE).to_owned();
        let labels = StoreLabels { store };
        let is_armed = |finding: &Finding| *finding == Finding::Armed;
        armed.get_or_create(&labels).set(count(is_armed));
        let is_refused = |finding: &Finding| matches!(finding, Finding::Refused(_));
        refused.get_or_create(&labels).set(count(is_refused));
    }
    let help = "Rotations that [[discover]] has armed";
    registry.register("discovered", help, armed);
    let help = "Secrets with the tags of a [[discover]] that cannot be rotated (discovery_failed)";
    registry.register("discovery_refused", help, refused);
    let failed = Family::<StoreLabels, Gauge>::default();
    let queries: BTreeSet<String> = configured.discover.iter().map(listing_query).collect();
    for listing in listings {
        if !queries.contains(&listing.query) {
            continue;
        }
        let store = match &*listing.store {
            "" => DEFAULT_STORE.to_owned(),
            _ => listing.store,
        };
        let gauge = failed.get_or_create(&StoreLabels { store });
        // A complete listing counts 0, so that its store has the gauge too.
        gauge.inc_by(i64::from(listing.problem.is_some()));
    }
    let help = "Listings for [[discover]] that were not complete at their last try";
    registry.register("discovery_listings_failed", help, failed);
}

impl Collector for RotationGauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let seconds_since = Some(&Unit::Seconds);
        self.encode_each(
            &mut encoder,
            "last_success_timestamp",
            "Time of a rotation's last success, in seconds since 1970",
            seconds_since,
            |sample| sample.last_success.map(seconds),
        )?;
        self.encode_each(
            &mut encoder,
            "password_age",
            "Seconds since a run moved AWSCURRENT to its password; absent if AWSCURRENT was moved later",
            seconds_since,
            |sample| Some(i64::try_from(sample.password_age?).unwrap_or(i64::MAX)),
        )?;
        self.encode_each(
            &mut encoder,
            "next_window_timestamp",
            "Opening of a rotation's next window, in seconds since 1970; absent without one",
            seconds_since,
            |sample| sample.next_opening.map(seconds),
        )?;
        self.encode_each(
            &mut encoder,
            "standby_sessions",
            "Sessions of the standby user that a run or check listed since AWSCURRENT last moved",
            None,
            |sample| Some(i64::try_from(sample.sessions?).unwrap_or(i64::MAX)),
        )?;
        self.encode_each(
            &mut encoder,
            "current_refused",
            "1 if AWSCURRENT did not sign in at the last heartbeat",
            None,
            |sample| sample.refused.map(i64::from),
        )?;
        let help = "1 if AWSCURRENT signed in at an endpoint at the last run, check or heartbeat";
        let mut endpoints = encoder.encode_descriptor("endpoint_up", help, None, GAUGE)?;
        for sample in &self.0 {
            for (endpoint, is_up) in &sample.endpoints {
                let rotation = ("rotation", sample.rotation.as_str());
                let labels = [rotation, ("endpoint", endpoint.as_str())];
                let gauge = ConstGauge::new(i64::from(*is_up));
                gauge.encode(endpoints.encode_family(&labels)?)?;
            }
        }
        let help = "1 for the current state of a rotation, 0 for the others";
        let mut states = encoder.encode_descriptor("rotation_state", help, None, GAUGE)?;
        for sample in &self.0 {
            for possible in RotationState::ALL {
                let rotation = ("rotation", sample.rotation.as_str());
                let labels = [rotation, ("state", possible.as_str())];
                let gauge = ConstGauge::new(i64::from(possible == sample.state));
                gauge.encode(states.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

impl RotationGauges {
    /// Encodes one gauge per rotation that has a value.
    fn encode_each<N: EncodeGaugeValue>(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        value: impl Fn(&Sample) -> Option<N>,
    ) -> fmt::Result {
        let mut family = encoder.encode_descriptor(name, help, unit, GAUGE)?;
        for sample in &self.0 {
            if let Some(value) = value(sample) {
                let labels = [("rotation", sample.rotation.as_str())];
                ConstGauge::new(value).encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

/// The number of rotations of each engine in each state. A state without any is 0.
fn totals(all: &[impl Filterable]) -> Family<TotalLabels, Gauge> {
    let totals = Family::<TotalLabels, Gauge>::default();
    let mut counts = BTreeMap::<&str, BTreeMap<&str, i64>>::new();
    for one in all {
        let none = || RotationState::ALL.map(|state| (state.as_str(), 0)).into();
        let engine = one.engine().unwrap_or("unknown");
        let of_engine = counts.entry(engine).or_insert_with(none);
        *of_engine.entry(one.state().as_str()).or_default() += 1;
    }
    for (engine, states) in counts {
        for (state, count) in states {
            let engine = engine.to_owned();
            let labels = TotalLabels { engine, state };
            totals.get_or_create(&labels).set(count);
        }
    }
    totals
}

/// The endpoints whose state is known. A host that is two of them is up if both are.
fn endpoints(all: &[EndpointStatus]) -> BTreeMap<String, bool> {
    let mut known = BTreeMap::new();
    for one in all {
        if let Some(is_up) = one.state.is_up() {
            let both = known.entry(one.host.clone()).or_insert(true);
            *both = *both && is_up;
        }
    }
    known
}

fn seconds(at: DateTime<Utc>) -> f64 {
    at.timestamp_micros() as f64 / 1e6
}
