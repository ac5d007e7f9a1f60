//! Where a rotation stands, in a word and in a sentence.

use maud::{Markup, html};

use super::{Tone, notice};
use crate::worker::views::{RotationState, RotationView};
use twinkey_core::code::Code;

/// The word, with a shape that does not depend on colour.
pub(super) fn badge(state: &str) -> Markup {
    html! {
        span.badge data-state=(state) { span.mark aria-hidden="true" {} span.word { (state) } }
    }
}

/// What a person should know about it now: `None` where all is well.
pub(super) struct Told {
    pub tone: Tone,
    pub what: String,
    pub code: Option<Code>,
    pub hint: Option<String>,
}

impl Told {
    pub(super) fn notice(&self) -> Markup {
        let code = self.code.map(|code| code.as_str());
        notice(self.tone, &self.what, code, self.hint.as_deref())
    }
}

/// All that a person should know about it now; `refused`: AWSCURRENT did not sign in between the windows.
pub(super) fn told(view: &RotationView, refused: bool) -> Vec<Told> {
    let mut all = Vec::new();
    if refused {
        all.push(Told {
            tone: Tone::Bad,
            what: "AWSCURRENT did not sign in when it was last tried.".into(),
            code: Some(Code::CurrentSigninFailed),
            hint: Some("Look at the database below: the password may have been changed behind the secret, or the server is away.".into()),
        });
    }
    let error = view.last_run.as_ref().and_then(|run| run.error.as_ref());
    let tone = match view.state {
        RotationState::Failed | RotationState::Missed => Tone::Bad,
        _ => Tone::Warning,
    };
    match view.state {
        RotationState::Failed | RotationState::Missed | RotationState::Waiting => {
            all.extend(error.map(|problem| Told {
                tone,
                what: problem.message.clone(),
                code: Some(problem.code),
                hint: Some(problem.hint.clone()),
            }));
        }
        RotationState::Paused => all.push(Told {
            tone,
            what: "No scheduled run begins while this is paused.".into(),
            code: None,
            hint: None,
        }),
        RotationState::Idle | RotationState::Running => {}
    }
    all
}
