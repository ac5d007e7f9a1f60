//! Filter and pages of the list of rotations; rotations that need action come first.

use std::collections::BTreeSet;

use serde::Deserialize;
use twinkey_core::code::Code;

use super::action::BulkAction;
use super::form::selected;
use crate::admin::address::with_query;
use crate::admin::problem::ApiError;
use crate::worker::view_filter::ViewFilter;
use crate::worker::views::{RotationState, RotationView};

/// The number of rows of a page.
pub(super) const ROWS: usize = 50;

/// The query of the page, as its form sends it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct FilterForm {
    /// A part of the name of the rotation, secret or host.
    q: String,
    /// Empty for any state.
    state: String,
    /// Empty for any engine.
    engine: String,
    /// Empty for any code, and for none.
    code: String,
    /// From 1.
    page: Option<usize>,
    /// The action that was just executed on `count` rotations.
    done: Option<BulkAction>,
    count: usize,
}

/// A validated query.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct RotationFilter {
    pub view: ViewFilter,
    /// From 1.
    pub page: usize,
    /// The action that was just executed, and the number of its rotations.
    pub done: Option<(BulkAction, usize)>,
}

/// A rotation on a page.
#[derive(Debug, Clone, Copy)]
pub(super) struct Row<'a> {
    pub view: &'a RotationView,
}

/// One page of the matching rotations.
#[derive(Debug)]
pub(super) struct Page<'a> {
    pub rows: Vec<Row<'a>>,
    /// The number of matches on all pages.
    pub matching: usize,
    pub page: usize,
    pub pages: usize,
}

impl TryFrom<FilterForm> for RotationFilter {
    type Error = ApiError;

    fn try_from(form: FilterForm) -> Result<Self, ApiError> {
        let state = selected(
            "state",
            &form.state,
            &RotationState::ALL,
            RotationState::as_str,
        )?;
        let code = selected("code", &form.code, &Code::ALL, Code::as_str)?;
        Ok(Self {
            view: ViewFilter {
                text: form.q.trim().to_lowercase(),
                states: state.into_iter().collect(),
                engine: Some(form.engine).filter(|engine| !engine.is_empty()),
                code,
                store: None,
            },
            page: form.page.unwrap_or(1).max(1),
            done: form.done.map(|action| (action, form.count)),
        })
    }
}

impl RotationFilter {
    /// Whether a rotation matches.
    pub(super) fn matches(&self, view: &RotationView) -> bool {
        self.view.matches(view)
    }

    /// The state that every match has.
    pub(super) fn state(&self) -> Option<RotationState> {
        self.view.states.first().copied()
    }

    /// An address with this filter: of the list, or of an action on its rotations.
    pub(super) fn address(&self, path: &str, page: Option<usize>) -> String {
        let page = page.map(|page| page.to_string());
        with_query(path, self.query([("page", page.as_deref())]))
    }

    /// The address of the list after an action on `count` rotations.
    pub(super) fn address_when_done(&self, action: BulkAction, count: usize) -> String {
        let (done, count) = (action.action().as_str(), count.to_string());
        with_query(
            "/",
            self.query([("done", Some(done)), ("count", Some(&count))]),
        )
    }

    fn query<'a, const N: usize>(
        &'a self,
        more: [(&'a str, Option<&'a str>); N],
    ) -> impl Iterator<Item = (&'a str, Option<&'a str>)> {
        let own = [
            ("q", Some(self.view.text.as_str())),
            ("state", self.state().map(RotationState::as_str)),
            ("engine", self.view.engine.as_deref()),
            ("code", self.view.code.map(Code::as_str)),
        ];
        own.into_iter().chain(more)
    }

    /// The requested page, or the last one.
    pub(super) fn page<'a>(&self, rows: impl Iterator<Item = Row<'a>>) -> Page<'a> {
        let mut matching: Vec<Row<'a>> = rows.filter(|row| self.matches(row.view)).collect();
        // The sort is stable, so that the order of the config is kept.
        matching.sort_by_key(|row| !row.needs_action());
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
    /// Whether it needs action.
    pub(super) fn needs_action(&self) -> bool {
        matches!(
            self.view.state,
            RotationState::Failed | RotationState::Missed | RotationState::LockedOut
        )
    }
}

/// The engines of the rotations.
pub(super) fn engines(views: &[RotationView]) -> BTreeSet<&str> {
    views
        .iter()
        .filter_map(|view| view.engine.as_deref())
        .collect()
}

/// The codes of the rotations' problems, and that of the filter.
pub(super) fn codes(views: &[RotationView], filter: &RotationFilter) -> BTreeSet<Code> {
    let problems = views.iter().filter_map(|view| view.problem.as_ref());
    problems
        .map(|problem| problem.code)
        .chain(filter.view.code)
        .collect()
}

/// The number of rotations in each state, in the order of [`RotationState::ALL`].
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

    fn rows_and_pages(
        filter: &RotationFilter,
        views: &[RotationView],
    ) -> (Vec<String>, usize, usize) {
        let rows = views.iter().map(|view| Row { view });
        let page = filter.page(rows);
        let names = page.rows.iter().map(|row| row.view.name.clone()).collect();
        (names, page.page, page.pages)
    }

    #[test]
    fn rows_that_need_action_come_first_and_pages_are_clamped() {
        let mut views: Vec<RotationView> = (0..120).map(|n| example(&format!("r{n}"))).collect();
        views[119].state = RotationState::Failed;
        views[7].state = RotationState::LockedOut;
        let mut filter = RotationFilter {
            page: 1,
            ..RotationFilter::default()
        };
        let (names, page, pages) = rows_and_pages(&filter, &views);
        assert_eq!((names.len(), page, pages), (ROWS, 1, 3));
        assert_eq!(names[..4], ["r7", "r119", "r0", "r1"]);
        filter.page = 99;
        let (names, page, _) = rows_and_pages(&filter, &views);
        assert_eq!((names.len(), page), (20, 3));
    }

    #[test]
    fn a_filter_matches_a_part_of_a_name_and_a_state() {
        let mut views: Vec<RotationView> = (0..30).map(|n| example(&format!("r{n}"))).collect();
        views[12].state = RotationState::Paused;
        let filter = |q: &str, state: &str| {
            RotationFilter::try_from(FilterForm {
                q: q.to_owned(),
                state: state.to_owned(),
                ..FilterForm::default()
            })
        };
        let both = filter(" R1", "paused").unwrap();
        assert_eq!(rows_and_pages(&both, &views), (vec!["r12".into()], 1, 1));
        let none = filter("nowhere", "").unwrap();
        assert_eq!(rows_and_pages(&none, &views), (vec![], 1, 1));
        assert!(
            filter("", "sleeping")
                .unwrap_err()
                .to_string()
                .contains("sleeping")
        );
    }
}
