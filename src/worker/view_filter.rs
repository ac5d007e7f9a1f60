//! Filter of lists of rotations: one rule for the commands, the API and the dashboard.

use crate::config::settings::DEFAULT_STORE;
use crate::worker::views::{RotationState, RotationView};
use twinkey_core::code::Code;

/// A rotation in a list, as a [`RotationView`] or as a summary.
pub trait Filterable {
    fn name(&self) -> &str;
    fn secret(&self) -> &str;
    fn host(&self) -> Option<&str>;
    fn engine(&self) -> Option<&str>;
    /// `None`: `[secrets]`.
    fn store(&self) -> Option<&str>;
    fn state(&self) -> RotationState;
    /// The code of its problem.
    fn code(&self) -> Option<Code>;
}

impl Filterable for RotationView {
    fn name(&self) -> &str {
        &self.name
    }

    fn secret(&self) -> &str {
        &self.secret
    }

    fn host(&self) -> Option<&str> {
        self.host.as_deref()
    }

    fn engine(&self) -> Option<&str> {
        self.engine.as_deref()
    }

    fn store(&self) -> Option<&str> {
        self.store.as_deref()
    }

    fn state(&self) -> RotationState {
        self.state
    }

    fn code(&self) -> Option<Code> {
        self.problem.as_ref().map(|problem| problem.code)
    }
}

/// What a rotation of a list must have. The default matches every rotation.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ViewFilter {
    /// A part of the name of the rotation, secret or host, in lower case.
    pub text: String,
    /// One of these states; empty for any.
    pub states: Vec<RotationState>,
    pub engine: Option<String>,
    /// The name of the store; `secrets` for `[secrets]`.
    pub store: Option<String>,
    /// The code of the problem.
    pub code: Option<Code>,
}

impl ViewFilter {
    /// Whether a rotation matches.
    #[must_use]
    pub fn matches(&self, one: &impl Filterable) -> bool {
        let contains = |name: &str| name.to_lowercase().contains(&self.text);
        let engine = self.engine.as_deref();
        let store = one.store().unwrap_or(DEFAULT_STORE);
        (self.states.is_empty() || self.states.contains(&one.state()))
            && engine.is_none_or(|engine| one.engine() == Some(engine))
            && self.store.as_deref().is_none_or(|wanted| wanted == store)
            && (self.code.is_none() || self.code == one.code())
            && (self.text.is_empty()
                || contains(one.name())
                || contains(one.secret())
                || one.host().is_some_and(contains))
    }
}

/// One page of the matching views, in the order of their names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ViewQuery {
    pub filter: ViewFilter,
    /// The largest number of views.
    pub limit: usize,
    /// Only views of names after this one: the last one of the page before.
    pub after: Option<String>,
}
