//! The user pair of a rotation, with the active user marked.
//!
//! The base user is always left and its clone right, so that a flip is visible.

use maud::{Markup, html};

use crate::worker::views::RotationView;

/// The pair, or a placeholder before the first run.
pub(in super::super) fn picture(view: &RotationView) -> Markup {
    let (Some(active), Some(standby)) = (&view.active_user, &view.standby_user) else {
        return html! { span.faint { "not known before the first run" } };
    };
    // The clone's name is the base user's name with a suffix.
    let clone_is_active = active.len() > standby.len();
    let active = html! {
        li.user.active {
            (key())
            span.user-name { (active) }
            span.user-part { "active" }
        }
    };
    let standby = html! {
        li.user.standby {
            span.user-name { (standby) }
            span.user-part { "standby" }
        }
    };
    html! {
        ul.pair aria-label="The pair of users" {
            @if clone_is_active { (standby) (active) } @else { (active) (standby) }
        }
    }
}

fn key() -> Markup {
    html! {
        svg.key viewBox="0 0 16 16" width="14" height="14" aria-hidden="true" {
            circle cx="5" cy="5" r="3.2" {}
            path d="M7.300 7.300 14 14 M11 11l2-2" {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::example;
    use super::*;

    #[test]
    fn each_user_keeps_its_place_and_the_active_one_is_marked() {
        let mut view = example("orders");
        let order = |view: &RotationView| {
            let html = picture(view).into_string();
            let place = |part: &str| html.find(part).unwrap();
            (
                place("user active") < place("user standby"),
                place(">app<") < place(">app_clone<"),
            )
        };
        assert_eq!(
            order(&view),
            (false, true),
            "the clone is active, on the right"
        );
        (view.active_user, view.standby_user) = (view.standby_user, view.active_user);
        assert_eq!(
            order(&view),
            (true, true),
            "the first user is active, on the left"
        );
        view.active_user = None;
        assert!(picture(&view).into_string().contains("not known"));
    }
}
