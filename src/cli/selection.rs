//! Selection of rotations by names and patterns, such as `'prod-*'`, and by their states.
//!
//! # Failure modes
//! - A misspelt name, pattern, state, engine or store selects nothing, and the command seems to have
//!   succeeded: each is an error of the command line. A state or an engine that no rotation has now is none,
//!   and the command prints that it selected no rotation.

use std::collections::{HashMap, HashSet};

use glob::Pattern;
use indexmap::IndexSet;

use super::context;
use super::failure::Failure;
use super::remote::RemoteWorker;
use crate::config::settings::{DEFAULT_STORE, Settings};
use crate::journal::{Journal, RotationRecord};
use crate::worker::view_filter::ViewFilter;
use crate::worker::views::{LiveStates, RotationState, RotationView, view};
use twinkey_core::telemetry::Clock;
use twinkey_engines::EngineKind;

/// The rotations that a command line selects.
#[derive(Debug, clap::Args)]
pub(super) struct Selection {
    /// Names of rotations, or patterns such as 'prod-*'
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// Only rotations in this state; may be repeated
    #[arg(long, value_name = "STATE", value_parser = state)]
    state: Vec<RotationState>,
    /// Only rotations of this engine
    #[arg(long, value_name = "ENGINE", value_parser = engine)]
    engine: Option<EngineKind>,
    /// Only rotations of the store with this name; `secrets` for the default one
    #[arg(long, value_name = "NAME")]
    store: Option<String>,
}

impl Selection {
    /// The rotation, if one is selected by its name alone.
    pub(super) fn one(&self) -> Option<&str> {
        match self.names.as_slice() {
            [name] if !is_pattern(name) && !self.has_filter() => Some(name),
            _ => None,
        }
    }

    /// The views of the selected rotations of a config, in its order.
    ///
    /// # Errors
    /// A name or a pattern that selects nothing; an unknown store; `journal_unavailable`.
    pub(super) async fn views(
        &self,
        settings: &Settings,
        journal: &dyn Journal,
    ) -> Result<Vec<RotationView>, Failure> {
        self.check_store(settings)?;
        let selected = select(&self.names, &context::names(settings))?;
        let mut records: HashMap<String, RotationRecord> = journal.rotation_records().await?;
        let now = Clock::system().now();
        let rotations = settings.rotations.iter();
        let mut views: Vec<RotationView> = rotations
            .filter(|rotation| selected.contains(&rotation.name))
            .map(|rotation| {
                let record = records.remove(&rotation.name).unwrap_or_default();
                view(rotation, record, &LiveStates::default(), now)
            })
            .collect();
        let filter = self.filter();
        views.retain(|view| filter.matches(view));
        Ok(views)
    }

    /// The names of the selected rotations of a config, in its order. The journal is read for a state or
    /// an engine only.
    ///
    /// # Errors
    /// As [`Self::views`].
    pub(super) async fn names(
        &self,
        settings: &Settings,
        journal: &dyn Journal,
    ) -> Result<IndexSet<String>, Failure> {
        if !self.has_filter() {
            return select(&self.names, &context::names(settings));
        }
        let views = self.views(settings, journal).await?;
        Ok(views.into_iter().map(|view| view.name).collect())
    }

    /// The names of the selected rotations of a config, and of those that a worker had before: a rotation
    /// that was removed or disarmed keeps its history, and one that was refused has its record.
    ///
    /// # Errors
    /// As [`Self::views`].
    pub(super) async fn names_with_history(
        &self,
        settings: &Settings,
        journal: &dyn Journal,
    ) -> Result<IndexSet<String>, Failure> {
        if self.has_filter() {
            return self.names(settings, journal).await;
        }
        let former = journal.rotation_secrets().await?;
        let found = journal.known_secrets().await?;
        let found = found.iter().filter_map(|one| one.rotation.as_deref());
        let former = former.iter().map(|one| one.rotation.as_str()).chain(found);
        let mut known: IndexSet<&str> = context::names(settings).into_iter().collect();
        known.extend(former);
        select(&self.names, &known.into_iter().collect::<Vec<_>>())
    }

    /// The names of the selected rotations of a config, in its order, without a journal.
    ///
    /// # Errors
    /// A name or a pattern that selects nothing; an unknown store; a state or an engine, which the journal
    /// has.
    pub(super) fn names_of_config(&self, settings: &Settings) -> Result<IndexSet<String>, Failure> {
        if self.needs_journal() {
            return Err(Failure::usage(
                "--state and --engine select by the journal, which --offline does not open",
                "select by names, patterns or --store",
            ));
        }
        self.check_store(settings)?;
        let mut names = select(&self.names, &context::names(settings))?;
        let in_store = settings.rotations.iter();
        let in_store = in_store.filter(|one| self.is_in_store(one.store_name()));
        let in_store: HashSet<&str> = in_store.map(|one| one.name.as_str()).collect();
        names.retain(|name| in_store.contains(name.as_str()));
        Ok(names)
    }

    /// The views of the selected rotations of a worker.
    ///
    /// # Errors
    /// A name or a pattern that selects nothing; an unknown store; the worker's error.
    pub(super) async fn views_of(
        &self,
        worker: &RemoteWorker,
    ) -> Result<Vec<RotationView>, Failure> {
        if let Some(name) = self.one() {
            return Ok(vec![worker.get(&["rotations", name], &[]).await?]);
        }
        let mut views: Vec<RotationView> = worker.get(&["rotations"], &self.query()).await?;
        let known: Vec<&str> = views.iter().map(|view| view.name.as_str()).collect();
        let selected = select(&self.names, &known)?;
        let filter = self.filter();
        views.retain(|view| selected.contains(&view.name) && filter.matches(view));
        if views.is_empty() {
            self.check_store_of(worker).await?;
        }
        Ok(views)
    }

    /// The names of the selected rotations of a worker. Names alone are not looked up: the worker reports
    /// an unknown one.
    ///
    /// # Errors
    /// As [`Self::views_of`].
    pub(super) async fn names_of(
        &self,
        worker: &RemoteWorker,
    ) -> Result<IndexSet<String>, Failure> {
        let are_names = !self.names.is_empty() && !self.names.iter().any(|one| is_pattern(one));
        if are_names && !self.has_filter() {
            return Ok(self.names.iter().cloned().collect());
        }
        let views = self.views_of(worker).await?;
        Ok(views.into_iter().map(|view| view.name).collect())
    }

    /// Whether nothing was given: all rotations.
    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty() && !self.has_filter()
    }

    fn has_filter(&self) -> bool {
        self.needs_journal() || self.store.is_some()
    }

    fn needs_journal(&self) -> bool {
        !self.state.is_empty() || self.engine.is_some()
    }

    /// Refuses a store that a config does not have.
    fn check_store(&self, settings: &Settings) -> Result<(), Failure> {
        let Some(store) = self.store.as_deref() else {
            return Ok(());
        };
        let known = settings.stores.iter().map(|one| &*one.name);
        let known: Vec<&str> = [DEFAULT_STORE].into_iter().chain(known).collect();
        let message = || format!("there is no store {store:?} in the config");
        is_known(store, &known, message)
    }

    /// Refuses a store that no rotation of a worker has. The worker does not list its stores.
    async fn check_store_of(&self, worker: &RemoteWorker) -> Result<(), Failure> {
        let Some(store) = self.store.as_deref() else {
            return Ok(());
        };
        let views: Vec<RotationView> = worker.get(&["rotations"], &[]).await?;
        let known = views.iter().filter_map(|view| view.store.as_deref());
        let known: IndexSet<&str> = [DEFAULT_STORE].into_iter().chain(known).collect();
        let known: Vec<&str> = known.into_iter().collect();
        let message = || format!("no rotation of the worker is in a store {store:?}");
        is_known(store, &known, message)
    }

    fn is_in_store(&self, store: Option<&str>) -> bool {
        let store = store.unwrap_or(DEFAULT_STORE);
        self.store.as_deref().is_none_or(|wanted| wanted == store)
    }

    /// The part of the filter that a worker applies. A name or a pattern is looked up among all rotations.
    fn query(&self) -> Vec<(&'static str, String)> {
        if !self.names.is_empty() {
            return Vec::new();
        }
        let state = match self.state.as_slice() {
            [one] => Some(one.as_str().to_owned()),
            _ => None,
        };
        let parts = [
            ("state", state),
            ("engine", self.engine.map(|engine| engine.to_string())),
            ("store", self.store.clone()),
        ];
        let parts = parts.into_iter();
        parts
            .filter_map(|(key, value)| Some((key, value?)))
            .collect()
    }

    fn filter(&self) -> ViewFilter {
        ViewFilter {
            states: self.state.clone(),
            engine: self.engine.map(|engine| engine.to_string()),
            store: self.store.clone(),
            ..ViewFilter::default()
        }
    }
}

/// A state by its name.
fn state(text: &str) -> Result<RotationState, String> {
    let mut states = RotationState::ALL.into_iter();
    states.find(|state| state.as_str() == text).ok_or_else(|| {
        let names = RotationState::ALL.map(RotationState::as_str);
        format!("the states are {}", names.join(", "))
    })
}

/// An engine by one of its names.
pub(super) fn engine(text: &str) -> Result<EngineKind, String> {
    text.parse().map_err(|()| {
        let names = EngineKind::ALL.map(EngineKind::as_str);
        format!("the engines are {}", names.join(", "))
    })
}

/// Refuses a store that is not known.
fn is_known(store: &str, known: &[&str], message: impl FnOnce() -> String) -> Result<(), Failure> {
    if known.contains(&store) {
        return Ok(());
    }
    let hint = format!("the stores are {}", known.join(", "));
    Err(Failure::usage(message(), hint))
}

/// The known rotations that names and patterns select, in the order of the config; all for none.
///
/// # Errors
/// A name or a pattern that selects nothing, or no pattern.
fn select(patterns: &[String], known: &[&str]) -> Result<IndexSet<String>, Failure> {
    let mut selected = vec![patterns.is_empty(); known.len()];
    for pattern in patterns {
        let matches = matcher(pattern)?;
        let mut found = false;
        for (name, selected) in known.iter().zip(&mut selected) {
            if matches(name) {
                (*selected, found) = (true, true);
            }
        }
        if !found {
            return Err(unknown(pattern, known));
        }
    }
    let names = known.iter().zip(selected);
    Ok(names
        .filter(|(_, selected)| *selected)
        .map(|(name, _)| (*name).to_owned())
        .collect())
}

/// Whether a text selects by wildcards. Names contain none of these characters.
fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

fn matcher(text: &str) -> Result<impl Fn(&str) -> bool, Failure> {
    let pattern = Pattern::new(text).map_err(|error| {
        Failure::usage(
            format!("{text:?} is no pattern: {error}"),
            "a pattern has * for any text and ? for one character",
        )
    })?;
    Ok(move |name: &str| pattern.matches(name))
}

/// The error of a name or pattern that no rotation has.
pub(super) fn unknown(text: &str, known: &[&str]) -> Failure {
    if is_pattern(text) {
        return Failure::usage(
            format!("no rotation matches {text:?}"),
            "`twinkey status` lists the names",
        );
    }
    let nearest = (known.iter())
        .map(|name| (strsim::damerau_levenshtein(name, text), name))
        .min();
    Failure::usage(
        format!("there is no rotation {text:?} in the config"),
        nearest.map_or_else(
            || "the config has no [[rotation]] yet".into(),
            |(_, near)| format!("did you mean {near:?}?"),
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_patterns_select_in_the_order_of_the_config() {
        let known = ["prod-a", "test-a", "prod-b"];
        let selected = |patterns: &[&str]| {
            let patterns: Vec<String> = patterns.iter().map(|&one| one.to_owned()).collect();
            let selected = select(&patterns, &known).map_err(|failure| format!("{failure:?}"))?;
            Ok::<_, String>(Vec::from_iter(selected))
        };
        assert_eq!(selected(&[]).unwrap(), known);
        assert_eq!(selected(&["prod-*"]).unwrap(), ["prod-a", "prod-b"]);
        assert_eq!(
            selected(&["test-a", "prod-?", "prod-a"]).unwrap(),
            ["prod-a", "test-a", "prod-b"]
        );
        for (patterns, words) in [
            (["prod-c"], "there is no rotation"),
            (["dev-*"], "no rotation matches"),
            (["[a"], "is no pattern"),
        ] {
            let error = selected(&patterns).unwrap_err();
            assert!(error.contains(words), "{error}");
        }
    }
}
