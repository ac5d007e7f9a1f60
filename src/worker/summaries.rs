//! Summaries of all rotations: what a list selects, counts and sorts by, without a read of every record.
//!
//! # Failure modes
//! - Another worker or a command changes a rotation, and a list shows its former state. Each use of the
//!   summaries first reads the records that changed, by the revision of the journal.
//! - A list decides a state by rules of its own. A summary yields the part of the record that a state
//!   depends on, and [`derive()`] decides.
//! - A hundred thousand summaries need as much memory as the records. They have no texts of their own,
//!   engines and hosts are shared, and records are read in batches.
//! - The journal was replaced, and its revisions began anew. A lower revision reads all records.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::config::settings::Rotation;
use crate::journal::{
    CurrentRefusal, Journal, JournalError, Pause, Revision, RotationRecord, Run, RunState, Trigger,
};
use crate::rotation::context::rotation_set::RotationSet;
use crate::schedule::Window;
use crate::worker::rotation_state::{RotationState, derive, pause};
use crate::worker::upcoming::{WindowGroup, upcoming};
use crate::worker::view_filter::Filterable;
use twinkey_core::code::{Code, Problem};
use twinkey_stores::VersionId;

/// The records that are in memory at a time while all are read.
const BATCH: usize = 1_000;

/// The part of a [`RotationRecord`] that lists and the scheduler need.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Summary {
    first_seen: Option<DateTime<Utc>>,
    last_success: Option<DateTime<Utc>>,
    /// The end of its pause, if it has one.
    paused: Option<Option<DateTime<Utc>>>,
    refused: Option<Code>,
    last_run: Option<LastRun>,
    last_in_window: Option<LastRun>,
    engine: Option<Arc<str>>,
    host: Option<Arc<str>>,
}

/// The part of a last run that the state and the windows depend on.
#[derive(Debug, Clone, PartialEq, Eq)]
struct LastRun {
    state: RunState,
    window: Option<Window>,
    error: Option<Code>,
}

impl LastRun {
    fn new(run: &Run) -> Self {
        Self {
            state: run.state,
            window: run.window,
            error: run.error.as_ref().map(|error| error.code),
        }
    }

    /// A run with empty texts.
    fn run(&self) -> Run {
        Run {
            id: Uuid::nil(),
            rotation: String::new(),
            trigger: Trigger::Schedule,
            actor: None,
            reason: None,
            window: self.window,
            state: self.state,
            worker: String::new(),
            version_id: VersionId(String::new()),
            from_user: None,
            to_user: None,
            started: DateTime::default(),
            finished: None,
            attempt: 1,
            steps: Vec::new(),
            error: self.error.map(empty_problem),
        }
    }
}

/// Nothing shows its texts.
fn empty_problem(code: Code) -> Problem {
    let empty = String::new;
    Problem {
        code,
        message: empty(),
        hint: empty(),
    }
}

/// Texts that many summaries share.
#[derive(Debug, Default)]
struct Texts(HashSet<Arc<str>>);

impl Texts {
    fn shared(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.0.get(text) {
            return Arc::clone(known);
        }
        let text: Arc<str> = text.into();
        self.0.insert(Arc::clone(&text));
        text
    }
}

impl Summary {
    fn new(record: &RotationRecord, texts: &mut Texts) -> Self {
        let seen = record.seen.as_ref();
        Self {
            first_seen: record.first_seen,
            last_success: record.last_success,
            paused: record.paused.as_ref().map(|pause| pause.until),
            refused: record.refused.as_ref().map(|refusal| refusal.problem.code),
            last_run: record.last_run.as_ref().map(LastRun::new),
            last_in_window: record.last_in_window.as_ref().map(LastRun::new),
            engine: seen.map(|seen| texts.shared(&seen.engine)),
            host: seen.and_then(|seen| Some(texts.shared(seen.host.as_deref()?))),
        }
    }

    /// A record with the same state, code, pause and windows. Its texts are empty.
    fn record(&self) -> RotationRecord {
        RotationRecord {
            first_seen: self.first_seen,
            last_success: self.last_success,
            paused: self.paused.map(|until| Pause {
                until,
                ..Pause::default()
            }),
            refused: self.refused.map(|code| CurrentRefusal {
                since: DateTime::default(),
                problem: empty_problem(code),
            }),
            last_run: self.last_run.as_ref().map(LastRun::run),
            last_in_window: self.last_in_window.as_ref().map(LastRun::run),
            ..RotationRecord::default()
        }
    }
}

/// The summaries of a set of rotations, in its order.
#[derive(Debug, Clone, Default)]
pub struct Summaries {
    rotations: Arc<RotationSet>,
    all: Vec<Summary>,
    /// The places in `all` in the order of the names.
    by_name: Vec<usize>,
}

impl Summaries {
    async fn read(
        rotations: Arc<RotationSet>,
        journal: &dyn Journal,
    ) -> Result<Self, JournalError> {
        let names: Vec<&str> = rotations.iter().map(|one| one.name.as_str()).collect();
        let mut by_name: Vec<usize> = (0..names.len()).collect();
        by_name.sort_unstable_by_key(|&place| names.get(place));
        let mut summaries = Self {
            rotations: Arc::clone(&rotations),
            all: vec![Summary::default(); names.len()],
            by_name,
        };
        let mut texts = Texts::default();
        for batch in names.chunks(BATCH) {
            summaries.update(&journal.rotation_records_of(batch).await?, &mut texts);
        }
        Ok(summaries)
    }

    fn update(&mut self, records: &HashMap<String, RotationRecord>, texts: &mut Texts) {
        for (name, record) in records {
            let place = self.rotations.index_of(name);
            if let Some(summary) = place.and_then(|place| self.all.get_mut(place)) {
                *summary = Summary::new(record, texts);
            }
        }
    }

    /// The record of a rotation as far as its windows, its pause and its last success need it. Its texts
    /// are empty.
    #[must_use]
    pub fn record(&self, name: &str) -> RotationRecord {
        let place = self.rotations.index_of(name);
        let summary = place.and_then(|place| self.all.get(place));
        summary.map(Summary::record).unwrap_or_default()
    }

    /// All rotations with what the schedule of each needs of its record, in the order of the config. The
    /// texts of the records are empty.
    pub fn records(&self) -> impl Iterator<Item = (&Arc<Rotation>, RotationRecord)> {
        let both = self.rotations.iter().zip(&self.all);
        both.map(|(rotation, summary)| (rotation, summary.record()))
    }

    /// The rotations that follow a name with their states at `now`, in the order of their names. A page
    /// computes no more of them than it shows, if all match.
    pub fn rows_after(
        &self,
        name: Option<&str>,
        now: DateTime<Utc>,
    ) -> impl Iterator<Item = SummaryRow<'_>> {
        let rotation = |place: usize| self.rotations.at(place);
        let first = self.by_name.partition_point(|&place| {
            name.is_some_and(|name| rotation(place).is_some_and(|one| *one.name <= *name))
        });
        let places = self.by_name.iter().skip(first);
        places.filter_map(move |&place| {
            let (rotation, summary) = (rotation(place)?, self.all.get(place)?);
            Some(SummaryRow::new(rotation, summary, now))
        })
    }

    /// All rotations with their states at `now`, in the order of the config.
    pub fn rows(&self, now: DateTime<Utc>) -> impl Iterator<Item = SummaryRow<'_>> {
        let both = self.rotations.iter().zip(&self.all);
        both.map(move |(rotation, summary)| SummaryRow::new(rotation, summary, now))
    }
}

/// A rotation of a list.
#[derive(Debug, Clone, Copy)]
pub struct SummaryRow<'a> {
    pub rotation: &'a Arc<Rotation>,
    summary: &'a Summary,
    state: RotationState,
    code: Option<Code>,
    /// While it lasts, no scheduled run starts, whatever the state is.
    pub is_paused: bool,
}

impl<'a> SummaryRow<'a> {
    fn new(rotation: &'a Arc<Rotation>, summary: &'a Summary, now: DateTime<Utc>) -> Self {
        let record = summary.record();
        let derived = derive(rotation, &record, now);
        Self {
            rotation,
            summary,
            state: derived.state,
            code: derived.problem.map(|problem| problem.code),
            is_paused: pause(rotation, &record, now).is_some(),
        }
    }

    /// Its windows, for the chart of the next hours.
    #[must_use]
    pub fn upcoming(&self, now: DateTime<Utc>) -> Vec<WindowGroup> {
        upcoming(self.rotation, &self.summary.record(), now)
    }
}

impl Filterable for SummaryRow<'_> {
    fn name(&self) -> &str {
        &self.rotation.name
    }

    fn secret(&self) -> &str {
        &self.rotation.secret
    }

    fn host(&self) -> Option<&str> {
        self.summary.host.as_deref()
    }

    fn engine(&self) -> Option<&str> {
        let of_config = || self.rotation.engine.map(|engine| engine.as_str());
        self.summary.engine.as_deref().or_else(of_config)
    }

    fn store(&self) -> Option<&str> {
        self.rotation.store_name()
    }

    fn state(&self) -> RotationState {
        self.state
    }

    fn code(&self) -> Option<Code> {
        self.code
    }
}

/// The summaries of the active rotations, and the revision of the journal that they have.
#[derive(Debug, Default)]
pub struct SummaryCache {
    summaries: Arc<Summaries>,
    revision: Revision,
}

impl SummaryCache {
    /// Reads the records of these rotations.
    ///
    /// # Errors
    /// `journal_unavailable`
    pub async fn read(
        rotations: Arc<RotationSet>,
        journal: &dyn Journal,
    ) -> Result<Self, JournalError> {
        // A record that changes meanwhile is read again.
        let before = journal.changed_rotations(None).await?;
        Ok(Self {
            summaries: Arc::new(Summaries::read(rotations, journal).await?),
            revision: before.revision,
        })
    }

    /// The summaries as they were last read.
    #[must_use]
    pub fn summaries(&self) -> Arc<Summaries> {
        Arc::clone(&self.summaries)
    }

    /// Reads the records that changed, and all if the rotations are others.
    ///
    /// # Errors
    /// `journal_unavailable`; the summaries stay as they were.
    pub async fn refreshed(
        &mut self,
        rotations: Arc<RotationSet>,
        journal: &dyn Journal,
    ) -> Result<Arc<Summaries>, JournalError> {
        if !Arc::ptr_eq(&self.summaries.rotations, &rotations) {
            *self = Self::read(rotations, journal).await?;
            return Ok(self.summaries());
        }
        let mut changes = journal.changed_rotations(Some(self.revision)).await?;
        if changes.revision < self.revision {
            *self = Self::read(rotations, journal).await?;
            return Ok(self.summaries());
        }
        changes
            .rotations
            .retain(|name| rotations.get(name).is_some());
        if !changes.rotations.is_empty() {
            let names: Vec<&str> = changes.rotations.iter().map(String::as_str).collect();
            let records = journal.rotation_records_of(&names).await?;
            Arc::make_mut(&mut self.summaries).update(&records, &mut Texts::default());
        }
        self.revision = changes.revision;
        Ok(self.summaries())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::testing::{local, rotation};
    use crate::journal::SqliteJournal;
    use crate::journal::tests::fixture::{
        at, by, claimed, end, pause as paused_by_command, request,
    };
    use crate::worker::catch_up::{next_due, window_state};

    #[test]
    fn a_summary_has_the_state_of_its_record() {
        let now: DateTime<Utc> = "2026-11-23T07:40:00Z".parse().unwrap();
        let window = |minutes: i64| Window {
            opens: now - chrono::TimeDelta::minutes(minutes),
            closes: now - chrono::TimeDelta::minutes(minutes - 30),
        };
        let problem = Problem {
            code: Code::StoreDenied,
            message: "why".into(),
            hint: "do".into(),
        };
        let run = |state, window, error: bool| Run {
            window,
            state,
            error: error.then(|| problem.clone()),
            worker: "w".into(),
            ..Summary {
                last_run: Some(LastRun {
                    state,
                    window: None,
                    error: None,
                }),
                ..Summary::default()
            }
            .record()
            .last_run
            .unwrap()
        };
        let states = [
            RunState::Running,
            RunState::Succeeded,
            RunState::Failed,
            RunState::Missed,
            RunState::Deferred,
        ];
        let mut runs = vec![None];
        for state in states {
            for window in [None, Some(window(10)), Some(window(60))] {
                for error in [false, true] {
                    runs.push(Some(run(state, window, error)));
                }
            }
        }
        let pauses = [None, Some(-5), Some(5)].map(|minutes| {
            minutes.map(|minutes| Pause {
                until: Some(now + chrono::TimeDelta::minutes(minutes)),
                ..Pause::default()
            })
        });
        let refusals = [
            None,
            Some(CurrentRefusal {
                since: now,
                problem: problem.clone(),
            }),
        ];
        let daily = "schedule = \"cron(30 7 * * ? *)\"\nwindow = \"30m\"\n";
        let keys = ["", "heartbeat = \"5m\"", "paused = true"].map(|key| format!("{daily}{key}"));
        let mut compared = 0;
        for last_run in &runs {
            for paused in &pauses {
                for refused in &refusals {
                    for (keys, last_success) in keys.iter().zip([None, Some(now), None]) {
                        let record = RotationRecord {
                            first_seen: Some(now - chrono::TimeDelta::days(2)),
                            last_run: last_run.clone(),
                            last_in_window: last_run.clone(),
                            paused: paused.clone(),
                            refused: refused.clone(),
                            last_success,
                            ..RotationRecord::default()
                        };
                        let rotation = Arc::new(rotation(keys));
                        let summary = Summary::new(&record, &mut Texts::default());
                        let row = SummaryRow::new(&rotation, &summary, now);
                        let whole = derive(&rotation, &record, now);
                        let code = whole.problem.map(|problem| problem.code);
                        assert_eq!((row.state(), row.code()), (whole.state, code), "{record:?}");
                        let is_paused = pause(&rotation, &record, now).is_some();
                        assert_eq!(row.is_paused, is_paused, "{record:?}");
                        let windows = |record| {
                            let state = window_state(&rotation, record, now);
                            (state, next_due(&rotation, record, now))
                        };
                        assert_eq!(windows(&summary.record()), windows(&record), "{record:?}");
                        compared += 1;
                    }
                }
            }
        }
        assert_eq!(compared, 31 * 3 * 2 * 3);
    }

    #[tokio::test]
    async fn only_changed_records_are_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let journal = SqliteJournal::open(&folder.path().join("j.db"))
            .await
            .unwrap();
        let text: String = (0..3)
            .map(|n| format!("[[rotation]]\nname = \"r{n}\"\nsecret = \"s{n}\"\n"))
            .collect();
        let set: Arc<RotationSet> = Arc::new(local(&text).rotations.into_iter().collect());
        let mut cache = SummaryCache::default();
        let states = async |cache: &mut SummaryCache| {
            let summaries = cache.refreshed(Arc::clone(&set), &journal).await.unwrap();
            let rows = summaries.rows(at(100_000));
            rows.map(|row| row.state().as_str()).collect::<Vec<_>>()
        };
        assert_eq!(states(&mut cache).await, ["new", "new", "new"]);
        // A run of another process, and a rotation that the config does not have.
        for name in ["r1", "other"] {
            let run = claimed(&journal, &by("b", at(0), request(name, 1))).await;
            end(&journal, &run, RunState::Failed, at(1)).await;
        }
        assert_eq!(states(&mut cache).await, ["new", "failed", "new"]);
        paused_by_command(&journal, "r2").await;
        assert_eq!(states(&mut cache).await, ["new", "failed", "paused"]);
        // What did not change is not read: a summary that was altered stays.
        Arc::make_mut(&mut cache.summaries).all[0].last_success = Some(at(0));
        assert_eq!(states(&mut cache).await, ["idle", "failed", "paused"]);
        // A journal that replaces it has lower revisions.
        let other = SqliteJournal::open(&folder.path().join("other.db"))
            .await
            .unwrap();
        let summaries = cache.refreshed(Arc::clone(&set), &other).await.unwrap();
        let mut rows = summaries.rows(at(100_000));
        assert!(rows.all(|row| row.state() == RotationState::New));
    }
}
