//! What cannot be shown, and why.

use maud::{Markup, html};

use super::{Frame, Tone, notice};
use crate::admin::problem::Answer;

/// A problem on a page of its own.
pub(in crate::admin::dashboard) fn page(answer: &Answer) -> Markup {
    let title = answer.title();
    let main = html! {
        h1 { (title) }
        (told(answer))
        p { a.button href="/" { "All rotations" } }
    };
    Frame {
        title,
        ..Frame::default()
    }
    .around(&main)
}

/// A problem as a part of a page.
pub(super) fn told(answer: &Answer) -> Markup {
    let code = answer.code().map(|code| code.as_str());
    notice(Tone::Bad, answer.detail(), code, Some(answer.hint()))
}
