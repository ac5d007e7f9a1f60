//! Selection of rotations by names and patterns, such as `'prod-*'`.
//!
//! # Failure modes
//! - A misspelt name or pattern selects nothing, and the command seems to have succeeded: both are
//!   errors of the command line.

use glob::Pattern;
use indexmap::IndexSet;

use super::failure::Failure;
use super::remote::RemoteWorker;
use crate::worker::views::RotationView;

/// The known rotations that names and patterns select, in the order of the config; all for none.
///
/// # Errors
/// A name or a pattern that selects nothing, or no pattern.
pub(super) fn select(patterns: &[String], known: &[&str]) -> Result<IndexSet<String>, Failure> {
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

/// The selected rotations of a worker. Names alone are not looked up: the worker reports an unknown one.
pub(super) async fn of_worker(
    worker: &RemoteWorker,
    patterns: &[String],
) -> Result<IndexSet<String>, Failure> {
    if !patterns.is_empty() && !patterns.iter().any(|one| is_pattern(one)) {
        return Ok(patterns.iter().cloned().collect());
    }
    let all: Vec<RotationView> = worker.get(&["rotations"], &[]).await?;
    let names: Vec<&str> = all.iter().map(|view| view.name.as_str()).collect();
    select(patterns, &names)
}

/// Whether a text selects by wildcards. Names contain none of these characters.
pub(super) fn is_pattern(text: &str) -> bool {
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
