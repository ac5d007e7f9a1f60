//! The state of a rotation as a badge and as notices.

use maud::{Markup, html};

use super::notice::{Tone, notice};
use crate::worker::views::{RotationState, RotationView};
use twinkey_core::code::{Code, Problem};

/// A resume did not end a pause.
pub(in super::super) const STILL_PAUSED: &str = "Still paused by the config.";
/// How a pause of the config ends.
pub(in super::super) const END_OF_PAUSE: &str =
    "Remove `paused = true` or its tag twinkey:paused to resume the schedule.";

/// The state as a word, with a shape that does not depend on colour.
pub(in super::super) fn badge(state: &str) -> Markup {
    html! {
        span.badge data-state=(state) { span.mark aria-hidden="true" {} span.word { (state) } }
    }
}

/// A message about the current state of a rotation.
pub(in super::super) struct Notice {
    pub tone: Tone,
    pub message: String,
    pub code: Option<Code>,
    pub hint: Option<String>,
}

impl Notice {
    /// The notice as markup.
    pub(in super::super) fn render(&self) -> Markup {
        let code = self.code.map(|code| code.as_str());
        notice(self.tone, &self.message, code, self.hint.as_deref())
    }
}

/// The notices of a rotation.
pub(in super::super) fn notices(view: &RotationView) -> Vec<Notice> {
    let mut all = Vec::new();
    let last = view.last_run.as_ref().and_then(|run| run.error.as_ref());
    let tone = match view.state {
        RotationState::Failed | RotationState::Missed | RotationState::LockedOut => Tone::Bad,
        _ => Tone::Warning,
    };
    let mut add = |problem: &Problem| {
        all.push(Notice {
            tone,
            message: problem.message.clone(),
            code: Some(problem.code),
            hint: Some(problem.hint.clone()),
        });
    };
    if let Some(problem) = &view.problem {
        add(problem);
    }
    // The last run may have failed for another reason.
    if view.state == RotationState::LockedOut {
        last.into_iter().for_each(&mut add);
    }
    if view.paused.is_some() {
        all.push(Notice {
            tone: Tone::Warning,
            message: format!(
                "No scheduled run starts: {}.",
                view.paused.clone().unwrap_or_default()
            ),
            code: None,
            hint: None,
        });
    }
    all
}
