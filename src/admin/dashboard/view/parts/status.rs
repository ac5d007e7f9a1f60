//! The state of a rotation as a badge and as notices.

use maud::{Markup, html};

use super::notice::{Tone, notice};
use crate::worker::views::{RotationState, RotationView};
use twinkey_core::code::Code;

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

/// The notices of a rotation. `refused`: AWSCURRENT did not sign in at the last heartbeat.
pub(in super::super) fn notices(view: &RotationView, refused: bool) -> Vec<Notice> {
    let mut all = Vec::new();
    if refused {
        all.push(Notice {
            tone: Tone::Bad,
            message: "AWSCURRENT did not sign in at the last heartbeat.".into(),
            code: Some(Code::CurrentSigninFailed),
            hint: Some("Check the database below: the password was changed outside the secret, or the server is unreachable.".into()),
        });
    }
    let error = view.last_run.as_ref().and_then(|run| run.error.as_ref());
    let tone = match view.state {
        RotationState::Failed | RotationState::Missed => Tone::Bad,
        _ => Tone::Warning,
    };
    match view.state {
        RotationState::Failed | RotationState::Missed | RotationState::Waiting => {
            all.extend(error.map(|problem| Notice {
                tone,
                message: problem.message.clone(),
                code: Some(problem.code),
                hint: Some(problem.hint.clone()),
            }));
        }
        RotationState::Paused => all.push(Notice {
            tone,
            message: "No scheduled run starts while this is paused.".into(),
            code: None,
            hint: None,
        }),
        RotationState::Idle | RotationState::Running => {}
    }
    all
}
