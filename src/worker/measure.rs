//! Counts what happens, for as long as the worker runs.

use chrono::{DateTime, Utc};

use crate::journal::{Run, Trigger};
use crate::rotation::event::{Event, Heard, Subscription};
use crate::worker::fleet::Fleet;

/// Follows the events and counts them. Ends with the task that it runs in.
pub async fn measure(fleet: Fleet, mut events: Subscription) {
    let metrics = &fleet.metrics;
    loop {
        let happened = match events.recv().await {
            Heard::Event(happened) => happened,
            Heard::Gap(lost) => {
                metrics.lost(lost);
                continue;
            }
        };
        match &happened.event {
            Event::RunStarted { run } => {
                if let Some(seconds) = lag(&fleet, run, happened.at) {
                    metrics.lag(seconds);
                }
            }
            Event::Step { step, .. } => {
                if let Some(finished) = step.finished {
                    let took = finished - step.started;
                    metrics.step_took(step.name.as_str(), took.as_seconds_f64());
                }
            }
            Event::RunFinished { run } => {
                let engine = engine(&fleet, &run.rotation).await;
                metrics.ended(&run.rotation, &engine, run.state.as_str());
                if let Some(finished) = run.finished {
                    metrics.run_took((finished - run.started).as_seconds_f64());
                }
            }
            Event::WindowMissed { rotation, .. } => {
                metrics.ended(rotation, &engine(&fleet, rotation).await, "missed");
            }
            Event::StandbySessions { rotation, sessions } => {
                fleet.remember_sessions(rotation, sessions.len());
            }
            _ => {}
        }
    }
}

/// How long after it was due a window's first try began, in seconds.
fn lag(fleet: &Fleet, run: &Run, at: DateTime<Utc>) -> Option<f64> {
    let window = run
        .window
        .filter(|_| run.attempt == 1 && run.trigger == Trigger::Schedule)?;
    let rotation = fleet.rotation(&run.rotation)?;
    let due = rotation.windows.as_ref()?.starts(&window);
    Some((at - due).as_seconds_f64())
}

/// The engine of a rotation, once it was seen; else what the config says.
async fn engine(fleet: &Fleet, name: &str) -> String {
    let memory = fleet.crew.rotator.journal.memory_of(name).await;
    let seen = memory.ok().flatten().and_then(|memory| memory.seen);
    let engine = seen.map(|seen| seen.engine).or_else(|| {
        let rotation = fleet.rotation(name)?;
        Some(rotation.engine?.to_string())
    });
    engine.unwrap_or_else(|| "unknown".into())
}
