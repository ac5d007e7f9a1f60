//! Recorder of events as metrics.

use chrono::{DateTime, Utc};

use crate::config::settings::RotationSeries;
use crate::journal::{Run, Trigger};
use crate::rotation::event::{Event, Received, Subscription};
use crate::worker::state::WorkerState;

/// Records events as metrics. Does not return; abort its task to stop it.
pub async fn record_metrics(state: WorkerState, mut events: Subscription) {
    let metrics = &state.metrics;
    loop {
        let happened = match events.recv().await {
            Received::Event(happened) => happened,
            Received::Gap(lost) => {
                metrics.events_lost(lost);
                continue;
            }
        };
        match &happened.event {
            Event::RunStarted { run } => {
                if let Some(seconds) = lag(&state, run, happened.at) {
                    metrics.observe_lag(seconds);
                }
            }
            Event::Step { step, .. } => {
                if let Some(finished) = step.finished {
                    let took = finished - step.started;
                    metrics.observe_step(step.name.as_str(), took.as_seconds_f64());
                }
            }
            Event::RunFinished { run } => {
                let engine = engine(&state, &run.rotation).await;
                metrics.run_ended(label(&state, &run.rotation), &engine, run.state.as_str());
                if let Some(finished) = run.finished {
                    metrics.observe_run((finished - run.started).as_seconds_f64());
                }
            }
            Event::WindowMissed { rotation, .. } => {
                let engine = engine(&state, rotation).await;
                metrics.run_ended(label(&state, rotation), &engine, "missed");
            }
            Event::StandbySessions { rotation, sessions } => {
                let sessions = sessions.clone();
                state.standby_sessions.set(rotation, happened.at, sessions);
            }
            _ => {}
        }
    }
}

/// The label of a counter of this rotation. An empty label is no label.
fn label<'a>(state: &WorkerState, rotation: &'a str) -> &'a str {
    match state.rotation_series {
        RotationSeries::All => rotation,
        RotationSeries::Problems => "",
    }
}

/// Seconds between the due time of a window and the start of its first attempt.
fn lag(state: &WorkerState, run: &Run, at: DateTime<Utc>) -> Option<f64> {
    let window = run
        .window
        .filter(|_| run.attempt == 1 && run.trigger == Trigger::Schedule)?;
    let rotation = state.rotation(&run.rotation)?;
    let due = rotation.windows.as_ref()?.starts(&window);
    Some((at - due).as_seconds_f64())
}

/// The engine of a rotation in its last observation, else in the config.
async fn engine(state: &WorkerState, name: &str) -> String {
    let memory = state.runner.rotator.journal.rotation_record(name).await;
    let seen = memory.ok().flatten().and_then(|memory| memory.seen);
    let engine = seen.map(|seen| seen.engine).or_else(|| {
        let rotation = state.rotation(name)?;
        Some(rotation.engine?.to_string())
    });
    engine.unwrap_or_else(|| "unknown".into())
}
