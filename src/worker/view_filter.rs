//! Filter of the views of rotations: one rule for the commands, the API and the dashboard.

use crate::config::settings::DEFAULT_STORE;
use crate::worker::views::{RotationState, RotationView};
use twinkey_core::code::Code;

/// What a view must have. The default matches every view.
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
    /// Whether a view matches.
    #[must_use]
    pub fn matches(&self, view: &RotationView) -> bool {
        let contains = |name: &str| name.to_lowercase().contains(&self.text);
        let engine = self.engine.as_deref();
        let store = view.store.as_deref().unwrap_or(DEFAULT_STORE);
        let code = view.problem.as_ref().map(|problem| problem.code);
        (self.states.is_empty() || self.states.contains(&view.state))
            && engine.is_none_or(|engine| view.engine.as_deref() == Some(engine))
            && self.store.as_deref().is_none_or(|wanted| wanted == store)
            && (self.code.is_none() || self.code == code)
            && (contains(&view.name)
                || contains(&view.secret)
                || view.host.as_deref().is_some_and(contains))
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
