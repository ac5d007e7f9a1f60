//! Filter and pages of the list of rotations; rotations that need action come first.

use std::collections::BTreeSet;

use serde::Deserialize;
use twinkey_core::code::Code;

use super::action::BulkAction;
use super::form::selected;
use crate::admin::address::with_query;
use crate::admin::auth::session::Session;
use crate::admin::problem::ApiError;
use crate::config::settings::DEFAULT_STORE;
use crate::worker::view_filter::{Filterable, ViewFilter};
use crate::worker::views::RotationState;

/// The number of rows of a page.
pub(super) const ROWS: usize = 50;
/// The largest number of matching rotations whose windows are drawn. Each takes microseconds.
pub(super) const CHART_LIMIT: usize = 5_000;

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
    /// Empty for any store; `secrets` for `[secrets]`.
    store: String,
    /// Empty for any code, and for none.
    code: String,
    /// From 1.
    page: Option<usize>,
    /// The action that was just executed on `count` rotations.
    done: Option<BulkAction>,
    count: usize,
    /// The proof of `done` and `count`.
    receipt: String,
}

/// A validated query.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct RotationFilter {
    pub view: ViewFilter,
    /// From 1.
    pub page: usize,
    /// The action that was just executed, and the number of its rotations.
    pub done: Option<(BulkAction, usize)>,
    /// The proof of `done`, as the address has it.
    pub receipt: String,
}

/// One page of the matching rotations.
#[derive(Debug)]
pub(super) struct Page<T> {
    pub rows: Vec<T>,
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
                store: Some(form.store).filter(|store| !store.is_empty()),
            },
            page: form.page.unwrap_or(1).max(1),
            done: form.done.map(|action| (action, form.count)),
            receipt: form.receipt,
        })
    }
}

/// What a receipt of an action on several rotations is about.
fn of_many(action: BulkAction, count: usize) -> String {
    format!("{} of {count}", action.action().as_str())
}

impl RotationFilter {
    /// The state that every match has.
    pub(super) fn state(&self) -> Option<RotationState> {
        self.view.states.first().copied()
    }

    /// An address with this filter: of the list, or of an action on its rotations.
    pub(super) fn address(&self, path: &str, page: Option<usize>) -> String {
        let page = page.map(|page| page.to_string());
        with_query(path, self.query([("page", page.as_deref())]))
    }

    /// The address of the list after an action of the session on `count` rotations.
    pub(super) fn address_when_done(
        &self,
        session: &Session,
        action: BulkAction,
        count: usize,
    ) -> String {
        let (done, number) = (action.action().as_str(), count.to_string());
        let receipt = session.receipt(&of_many(action, count));
        let proved = [
            ("done", Some(done)),
            ("count", Some(number.as_str())),
            ("receipt", Some(receipt.as_str())),
        ];
        with_query("/", self.query(proved))
    }

    /// Removes the action that was just executed, unless the session executed it.
    pub(super) fn keep_proved(&mut self, session: &Session) {
        self.done = self.done.filter(|(action, count)| {
            session.has_receipt(&of_many(*action, *count), &self.receipt)
        });
    }

    fn query<'a, const N: usize>(
        &'a self,
        more: [(&'a str, Option<&'a str>); N],
    ) -> impl Iterator<Item = (&'a str, Option<&'a str>)> {
        let own = [
            ("q", Some(self.view.text.as_str())),
            ("state", self.state().map(RotationState::as_str)),
            ("engine", self.view.engine.as_deref()),
            ("store", self.view.store.as_deref()),
            ("code", self.view.code.map(Code::as_str)),
        ];
        own.into_iter().chain(more)
    }

    /// The requested page of the matching rotations, or the last one.
    pub(super) fn page<T: Filterable>(&self, mut matching: Vec<T>) -> Page<T> {
        // The sort is stable, so that the order of the config is kept.
        matching.sort_by_key(|one| !needs_action(one.state()));
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

/// Whether a rotation in this state needs action.
pub(super) const fn needs_action(state: RotationState) -> bool {
    matches!(
        state,
        RotationState::Failed | RotationState::Missed | RotationState::LockedOut
    )
}

/// The engines of the rotations.
pub(super) fn engines<T: Filterable>(all: &[T]) -> BTreeSet<&str> {
    all.iter().filter_map(Filterable::engine).collect()
}

/// The stores of the rotations.
pub(super) fn stores<T: Filterable>(all: &[T]) -> BTreeSet<&str> {
    let stores = all.iter().map(Filterable::store);
    stores.map(|store| store.unwrap_or(DEFAULT_STORE)).collect()
}

/// The codes of the rotations' problems, and that of the filter.
pub(super) fn codes(all: &[impl Filterable], filter: &RotationFilter) -> BTreeSet<Code> {
    let problems = all.iter().filter_map(Filterable::code);
    problems.chain(filter.view.code).collect()
}

/// The number of rotations in each state, in the order of [`RotationState::ALL`].
pub(super) fn tally(all: &[impl Filterable]) -> Vec<(RotationState, usize)> {
    let mut counts = RotationState::ALL.map(|state| (state, 0));
    for one in all {
        for (state, count) in &mut counts {
            *count += usize::from(*state == one.state());
        }
    }
    counts.into()
}

#[cfg(test)]
mod tests {
    use super::super::view::example;
    use super::*;
    use crate::worker::views::RotationView;

    fn rows_and_pages(
        filter: &RotationFilter,
        views: &[RotationView],
    ) -> (Vec<String>, usize, usize) {
        let matching = views.iter().filter(|view| filter.view.matches(*view));
        let page = filter.page(matching.cloned().collect());
        let names = page.rows.into_iter().map(|view| view.name).collect();
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
    fn a_filter_matches_a_part_of_a_name_a_state_and_a_store() {
        let mut views: Vec<RotationView> = (0..30).map(|n| example(&format!("r{n}"))).collect();
        views[12].state = RotationState::Paused;
        views[13].store = Some("prod-us".into());
        assert_eq!(stores(&views), ["prod-us", "secrets"].into());
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
        let in_store = RotationFilter::try_from(FilterForm {
            store: "prod-us".into(),
            ..FilterForm::default()
        });
        let in_store = in_store.unwrap();
        assert_eq!(in_store.address("/", Some(2)), "/?store=prod-us&page=2");
        let (names, ..) = rows_and_pages(&in_store, &views);
        assert_eq!(names, ["r13"]);
        assert!(
            filter("", "sleeping")
                .unwrap_err()
                .to_string()
                .contains("sleeping")
        );
    }
}
