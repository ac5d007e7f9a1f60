//! The four steps of a run. The script updates them by `data-step` and `data-state` during a run.

use chrono::{DateTime, Utc};
use maud::{Markup, html};

use super::time::length;
use crate::journal::{Run, RunState, Step, StepName, StepState};

const NAMES: [StepName; 4] = [
    StepName::Create,
    StepName::Set,
    StepName::Test,
    StepName::Finish,
];

/// The state of a step; `waiting` before it starts.
fn state(step: Option<&Step>) -> &'static str {
    step.map_or("waiting", |step| step.state.as_str())
}

fn step_of(run: Option<&Run>, name: StepName) -> Option<&Step> {
    run?.steps.iter().rfind(|step| step.name == name)
}

/// The steps in one line.
pub(in super::super) fn line(run: Option<&Run>) -> Markup {
    html! {
        ol.steps aria-label="Steps of the last run" {
            @for name in NAMES {
                @let state = state(step_of(run, name));
                li data-step=(name.as_str()) data-state=(state) {
                    span.mark aria-hidden="true" {}
                    (name.as_str())
                    span.unseen.step-state { " " (state) }
                }
            }
        }
    }
}

/// The steps with their details and durations.
pub(in super::super) fn list(run: &Run, now: DateTime<Utc>) -> Markup {
    html! {
        ol.steps.long aria-label="Steps" {
            @for name in NAMES {
                @let step = step_of(Some(run), name);
                @let state = state(step);
                li data-step=(name.as_str()) data-state=(state) {
                    span.mark aria-hidden="true" {}
                    span.step-name { (name.as_str()) }
                    span.unseen.step-state { " " (state) }
                    span.step-detail {
                        @if let Some(step) = step {
                            @if let Some(detail) = &step.detail { (detail) }
                            @if step.state == StepState::Running && run.state == RunState::Running {
                                span.far { " since " (length(now - step.started)) }
                            }
                        }
                    }
                    @if let Some((finished, step)) = step.and_then(|s| s.finished.zip(Some(s))) {
                        span.far { (length(finished - step.started)) }
                    }
                }
            }
        }
    }
}
