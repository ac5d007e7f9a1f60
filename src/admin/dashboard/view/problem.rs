//! Error page.

use maud::{Markup, html};

use super::Frame;
use super::parts::notice::problem_notice;
use crate::admin::problem::ApiError;

/// An error as a page.
pub(in crate::admin::dashboard) fn page(error: &ApiError) -> Markup {
    let title = error.title();
    let main = html! {
        h1 { (title) }
        (problem_notice(error))
        p { a.button href="/" { "All rotations" } }
    };
    Frame {
        title,
        ..Frame::default()
    }
    .wrap(&main)
}
