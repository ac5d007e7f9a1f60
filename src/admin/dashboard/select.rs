//! Which rotations a page shows: by name, by state, so many at a time, those that need somebody first.

use axum::http::StatusCode;
use serde::Deserialize;

use crate::admin::problem::Answer;
use crate::worker::views::{RotationState, RotationView};

/// How many rows a page has.
pub(super) const ROWS: usize = 50;

/// What the page was asked for, as its form sends it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    /// A part of the rotation's, the secret's or the host's name.
    q: String,
    /// Empty: any.
    state: String,
    /// From 1.
    page: Option<usize>,
}

/// Which rotations are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    pub text: String,
    pub state: Option<RotationState>,
    /// From 1.
    pub page: usize,
}

/// A rotation on a page.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<'a> {
    pub view: &'a RotationView,
    /// The heartbeat found that AWSCURRENT does not sign in.
    pub refused: bool,
}

/// One page of what was wanted.
#[derive(Debug)]
pub(super) struct Page<'a> {
    pub rows: Vec<Row<'a>>,
    /// How many match, on all pages.
    pub matching: usize,
    pub page: usize,
    pub pages: usize,
}

impl TryFrom<Asked> for Wanted {
    type Error = Answer;

    fn try_from(asked: Asked) -> Result<Self, Answer> {
        let named = RotationState::ALL
            .into_iter()
            .find(|s| s.as_str() == asked.state);
        if named.is_none() && !asked.state.is_empty() {
            let known = RotationState::ALL.map(RotationState::as_str).join(", ");
            return Err(Answer::new(
                StatusCode::BAD_REQUEST,
                format!("there is no state {:?}", asked.state),
                format!("the states are {known}"),
            ));
        }
        Ok(Self {
            text: asked.q.trim().to_lowercase(),
            state: named,
            page: asked.page.unwrap_or(1).max(1),
        })
    }
}

impl Wanted {
    /// Whether a rotation is wanted.
    pub(super) fn has(&self, view: &RotationView) -> bool {
        let named = |name: &str| name.to_lowercase().contains(&self.text);
        self.state.is_none_or(|state| state == view.state)
            && (named(&view.name) || named(&view.secret) || view.host.as_deref().is_some_and(named))
    }

    /// The page that is wanted, or the last one that there is.
    pub(super) fn page<'a>(&self, rows: impl Iterator<Item = Row<'a>>) -> Page<'a> {
        let mut matching: Vec<Row<'a>> = rows.filter(|row| self.has(row.view)).collect();
        // Stable: the config's order otherwise.
        matching.sort_by_key(|row| !row.needs_somebody());
        let count = matching.len();
        let pages = count.div_ceil(ROWS).max(1);
        let page = self.page.min(pages);
        let rows = matching.into_iter().skip((page - 1) * ROWS).take(ROWS);
        Page {
            rows: rows.collect(),
            matching: count,
            page,
            pages,
        }
    }
}

impl Row<'_> {
    /// Whether a person should look at it.
    pub(super) fn needs_somebody(&self) -> bool {
        self.refused
            || matches!(
                self.view.state,
                RotationState::Failed | RotationState::Missed
            )
    }
}

/// How many rotations are in each state, in the order of [`RotationState::ALL`].
pub(super) fn tally(views: &[RotationView]) -> Vec<(RotationState, usize)> {
    let count = |state| views.iter().filter(|view| view.state == state).count();
    RotationState::ALL
        .into_iter()
        .map(|state| (state, count(state)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::view::example;
    use super::*;

    fn shown(wanted: &Wanted, views: &[RotationView]) -> (Vec<String>, usize, usize) {
        let rows = views.iter().map(|view| Row {
            view,
            refused: view.name == "r7",
        });
        let page = wanted.page(rows);
        let names = page.rows.iter().map(|row| row.view.name.clone()).collect();
        (names, page.page, page.pages)
    }

    #[test]
    fn what_needs_somebody_comes_first_and_a_page_past_the_end_is_the_last_one() {
        let mut views: Vec<RotationView> = (0..120).map(|n| example(&format!("r{n}"))).collect();
        views[119].state = RotationState::Failed;
        let mut wanted = Wanted {
            page: 1,
            ..Wanted::default()
        };
        let (names, page, pages) = shown(&wanted, &views);
        assert_eq!((names.len(), page, pages), (ROWS, 1, 3));
        assert_eq!(names[..4], ["r7", "r119", "r0", "r1"]);
        wanted.page = 99;
        let (names, page, _) = shown(&wanted, &views);
        assert_eq!((names.len(), page), (20, 3));
    }

    #[test]
    fn a_filter_takes_a_part_of_a_name_and_a_state() {
        let mut views: Vec<RotationView> = (0..30).map(|n| example(&format!("r{n}"))).collect();
        views[12].state = RotationState::Paused;
        let wanted = |q: &str, state: &str| {
            let (q, state) = (q.to_owned(), state.to_owned());
            Wanted::try_from(Asked {
                q,
                state,
                page: None,
            })
        };
        let both = wanted(" R1", "paused").unwrap();
        assert_eq!(shown(&both, &views), (vec!["r12".into()], 1, 1));
        let none = wanted("nowhere", "").unwrap();
        assert_eq!(shown(&none, &views), (vec![], 1, 1));
        assert!(
            wanted("", "sleeping")
                .unwrap_err()
                .to_string()
                .contains("sleeping")
        );
    }
}
