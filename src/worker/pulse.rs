//! When each rotation's next heartbeat is due. Pure: the time is a value.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::config::settings::Rotation;
use crate::schedule::window::spread_offset;
use crate::worker::roster::Roster;
use twinkey_stores::batch;

/// How long a beat that is due may wait for others, to be read in one call with them.
pub(super) const GATHER: Duration = Duration::from_secs(1);

/// When each rotation is due.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    config: Option<Arc<Roster>>,
    due: BTreeMap<(Instant, String), Arc<Rotation>>,
    beating: HashSet<String>,
}

impl Pulse {
    /// Takes up a config that is new, and says whether it was.
    pub(super) fn follow(&mut self, config: &Arc<Roster>, now: Instant) -> bool {
        if self
            .config
            .as_ref()
            .is_some_and(|old| Arc::ptr_eq(old, config))
        {
            return false;
        }
        let before: HashMap<String, Instant> = std::mem::take(&mut self.due)
            .into_keys()
            .map(|(at, name)| (name, at))
            .collect();
        for rotation in config.iter() {
            let name = &rotation.name;
            if let Some(pace) = rotation.heartbeat
                && !self.beating.contains(name)
            {
                let first = now + spread_offset(name, pace);
                let at = (before.get(name)).map_or(first, |at| (*at).min(now + pace));
                self.due.insert((at, name.clone()), Arc::clone(rotation));
            }
        }
        self.config = Some(Arc::clone(config));
        true
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.due.keys().next().map(|(at, _)| *at)
    }

    /// One that is due `now`.
    fn take_due(&mut self, now: Instant) -> Option<Arc<Rotation>> {
        let first = self
            .due
            .first_entry()
            .filter(|first| first.key().0 <= now)?;
        let rotation = first.remove();
        self.beating.insert(rotation.name.clone());
        Some(rotation)
    }

    /// What is due `now` and is read in one call: nothing, as long as nothing has been due for [`GATHER`].
    pub(super) fn take_round(&mut self, now: Instant) -> Vec<Arc<Rotation>> {
        if self.next().is_none_or(|due| due + GATHER > now) {
            return Vec::new();
        }
        let due = std::iter::from_fn(|| self.take_due(now));
        due.take(batch::MOST).collect()
    }

    /// Its beat has ended; the next one is counted from `now`.
    pub(super) fn done(&mut self, name: &str, now: Instant) {
        self.beating.remove(name);
        let config = self.config.as_ref();
        if let Some(rotation) = config.and_then(|config| config.find(name))
            && let Some(pace) = rotation.heartbeat
        {
            let key = (now + pace, name.to_owned());
            self.due.insert(key, Arc::clone(rotation));
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    const PACE: Duration = Duration::from_secs(300);

    pub fn config(names: &[&str], keys: &str) -> Arc<Roster> {
        let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
        let mut text = String::from("[secrets]\nbackend = \"local\"\n");
        for name in names {
            text += &format!("[[rotation]]\nname = \"{name}\"\nsecret = \"{name}/db\"\n{keys}\n");
        }
        std::fs::write(file.path(), text).unwrap();
        let settings = crate::config::load(Some(file.path()), &BTreeMap::new()).unwrap();
        Arc::new(Roster::new(settings.rotations))
    }

    fn beating(names: &[&str]) -> Arc<Roster> {
        config(names, "heartbeat = \"5m\"")
    }

    fn all_due(pulse: &mut Pulse, now: Instant) -> Vec<String> {
        std::iter::from_fn(|| pulse.take_due(now))
            .map(|rotation| rotation.name.clone())
            .collect()
    }

    #[test]
    fn the_first_beats_are_spread_over_the_pace_and_each_comes_within_it() {
        let names: Vec<String> = (0..100).map(|n| format!("app-{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let (mut pulse, start) = (Pulse::default(), Instant::now());
        assert!(pulse.follow(&beating(&names), start));
        let half = all_due(&mut pulse, start + PACE / 2).len();
        assert!((30..=70).contains(&half), "{half} in the first half");
        let rest = all_due(&mut pulse, start + PACE).len();
        assert_eq!(half + rest, 100);
    }

    #[test]
    fn the_next_beat_is_counted_from_the_end_of_the_last_and_none_comes_while_one_is_on() {
        let (mut pulse, start) = (Pulse::default(), Instant::now());
        pulse.follow(&beating(&["app"]), start);
        assert_eq!(all_due(&mut pulse, start + PACE), ["app"]);
        let late = start + PACE * 5;
        assert_eq!(all_due(&mut pulse, late), [""; 0]);
        pulse.done("app", late);
        assert_eq!(all_due(&mut pulse, late + PACE - GATHER), [""; 0]);
        assert_eq!(all_due(&mut pulse, late + PACE), ["app"]);
    }

    #[test]
    fn what_is_due_within_a_second_is_read_together_and_at_most_twenty_at_once() {
        let names: Vec<String> = (0..50).map(|n| format!("app-{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let (mut pulse, start) = (Pulse::default(), Instant::now());
        pulse.follow(&beating(&names), start);
        let first = pulse.next().unwrap();
        assert!(pulse.take_round(first).is_empty(), "others may come");
        let late = start + PACE + GATHER;
        let sizes = [(); 4].map(|()| pulse.take_round(late).len());
        assert_eq!(sizes, [20, 20, 10, 0]);
    }

    #[test]
    fn a_config_that_is_read_again_and_again_keeps_no_beat_from_coming() {
        let (mut pulse, start) = (Pulse::default(), Instant::now());
        pulse.follow(&beating(&["app"]), start);
        all_due(&mut pulse, start + PACE);
        pulse.done("app", start + PACE);
        for minute in 5..10 {
            pulse.follow(&beating(&["app"]), start + Duration::from_secs(60 * minute));
        }
        assert_eq!(all_due(&mut pulse, start + PACE * 2), ["app"]);
    }

    #[test]
    fn a_rotation_without_the_key_or_gone_from_the_config_is_not_tried() {
        let (mut pulse, start) = (Pulse::default(), Instant::now());
        pulse.follow(&config(&["app"], ""), start);
        assert_eq!(pulse.next(), None);
        pulse.follow(&beating(&["app", "old"]), start);
        assert_eq!(all_due(&mut pulse, start + PACE).len(), 2);
        pulse.follow(&beating(&["app"]), start + PACE);
        pulse.done("old", start + PACE);
        pulse.done("app", start + PACE);
        assert_eq!(all_due(&mut pulse, start + PACE * 3), ["app"]);
    }
}
