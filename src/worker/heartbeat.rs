//! The heartbeat: AWSCURRENT is tried between the windows, at each rotation's own pace (`heartbeat`).
//!
//! What can go wrong, and what prevents it:
//! - thousands are due at once: the first beats are spread over the pace by the rotations' names, and [`AT_ONCE`] are
//!   on at a time; none takes a run's place;
//! - beats pile up at a host that is slow: the next one is counted from the end of the last;
//! - the clock is set, or the machine sleeps: beats are counted by a clock that nobody sets;
//! - one trouble is told again at every beat: only what is new is told;
//! - a config that is read again begins every pace anew, and no beat ever comes: what is due stays due.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::code::{Code, Problem};
use crate::config::settings::Rotation;
use crate::rotation::error::RotationError;
use crate::rotation::event::Event;
use crate::rotation::heartbeat::{Heartbeat, beat};
use crate::schedule::window::spread_offset;
use crate::worker::fleet::Fleet;
use crate::worker::roster::Roster;

/// How many beats are on at once.
const AT_ONCE: usize = 8;
/// How often a new config is looked for.
const LOOK: Duration = Duration::from_secs(5);

/// Tries every rotation's AWSCURRENT at its pace, until the worker winds down.
pub async fn keep(fleet: Fleet) {
    let mut pulse = Pulse::default();
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut beats = JoinSet::new();
    loop {
        if pulse.follow(&fleet.rotations(), Instant::now()) {
            fleet.hearts.keep_only(&fleet.rotations());
        }
        while let Some(rotation) = pulse.take_due(Instant::now()) {
            let (site, places) = (fleet.crew.rotator.site.clone(), Arc::clone(&places));
            beats.spawn(async move {
                let _place = places.acquire().await;
                let said = beat(&site, &rotation).await;
                (rotation, said)
            });
        }
        let look = Instant::now() + LOOK;
        let next = pulse.next().map_or(look, |due| due.min(look));
        tokio::select! {
            () = sleep_until(next) => {}
            Some(done) = beats.join_next() => match done {
                Ok((rotation, said)) => {
                    tell(&fleet, &rotation, said);
                    pulse.done(&rotation.name, Instant::now());
                }
                Err(error) => tracing::error!(%error, "a heartbeat broke off: this is a defect of twinkey"),
            },
            () = fleet.crew.stop.winding_down.cancelled() => return,
        }
    }
}

fn tell(fleet: &Fleet, rotation: &Rotation, said: Result<Heartbeat, RotationError>) {
    let Some(news) = fleet.hearts.hear(&rotation.name, &said) else {
        return;
    };
    let name = rotation.name.clone();
    let event = match news {
        News::Refused(problem) => {
            tracing::error!(rotation = %name, code = %problem.code, error = %problem.message, hint = %problem.hint, "AWSCURRENT does not sign in");
            Event::CurrentRefused {
                rotation: name,
                problem,
            }
        }
        News::Accepted => {
            tracing::info!(rotation = %name, "AWSCURRENT signs in again");
            Event::CurrentAccepted { rotation: name }
        }
        News::Unknown(problem) => {
            tracing::warn!(rotation = %name, code = %problem.code, error = %problem.message, hint = %problem.hint, "whether AWSCURRENT signs in cannot be known");
            return;
        }
    };
    fleet.crew.rotator.events.send(fleet.now(), event);
}

/// When each rotation is due.
#[derive(Debug, Default)]
struct Pulse {
    config: Option<Arc<Roster>>,
    due: BTreeMap<(Instant, String), Arc<Rotation>>,
    beating: HashSet<String>,
}

impl Pulse {
    /// Takes up a config that is new, and says whether it was.
    fn follow(&mut self, config: &Arc<Roster>, now: Instant) -> bool {
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

    fn next(&self) -> Option<Instant> {
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

    /// Its beat has ended; the next one is counted from `now`.
    fn done(&mut self, name: &str, now: Instant) {
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

/// What is new.
#[derive(Debug, PartialEq, Eq)]
enum News {
    Refused(Problem),
    Accepted,
    Unknown(Problem),
}

/// What is known of one rotation's AWSCURRENT.
#[derive(Debug, Default)]
struct Heart {
    refused: bool,
    /// Why the last beat had no answer.
    unknown: Option<Code>,
}

/// What the last beats have found. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Hearts(Arc<RwLock<HashMap<String, Heart>>>);

impl Hearts {
    /// Whether a rotation's AWSCURRENT was refused when it was last tried; `None` where it was not tried.
    #[must_use]
    pub fn refused(&self, rotation: &str) -> Option<bool> {
        let hearts = self.0.read().unwrap_or_else(PoisonError::into_inner);
        hearts.get(rotation).map(|heart| heart.refused)
    }

    fn hear(&self, rotation: &str, said: &Result<Heartbeat, RotationError>) -> Option<News> {
        let mut hearts = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let heart = hearts.entry(rotation.to_owned()).or_default();
        let was_refused = heart.refused;
        match said {
            Ok(Heartbeat::Accepted) => {
                *heart = Heart::default();
                was_refused.then_some(News::Accepted)
            }
            Ok(Heartbeat::Refused(error)) => {
                heart.refused = true;
                heart.unknown = None;
                (!was_refused).then(|| News::Refused(error.problem()))
            }
            Err(error) => {
                let known = heart.unknown.replace(error.code());
                (known != Some(error.code())).then(|| News::Unknown(error.problem()))
            }
        }
    }

    /// Forgets the rotations that have no heartbeat.
    fn keep_only(&self, rotations: &[Arc<Rotation>]) {
        let with = rotations.iter().filter(|r| r.heartbeat.is_some());
        let with: HashSet<&str> = with.map(|rotation| rotation.name.as_str()).collect();
        let mut hearts = self.0.write().unwrap_or_else(PoisonError::into_inner);
        hearts.retain(|name, _| with.contains(name.as_str()));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap as Map;

    use super::*;

    const PACE: Duration = Duration::from_secs(300);

    fn config(names: &[&str], keys: &str) -> Arc<Roster> {
        let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
        let mut text = String::from("[secrets]\nbackend = \"local\"\n");
        for name in names {
            text += &format!("[[rotation]]\nname = \"{name}\"\nsecret = \"{name}/db\"\n{keys}\n");
        }
        std::fs::write(file.path(), text).unwrap();
        let settings = crate::config::load(Some(file.path()), &Map::new()).unwrap();
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
        assert_eq!(all_due(&mut pulse, late + PACE - LOOK), [""; 0]);
        assert_eq!(all_due(&mut pulse, late + PACE), ["app"]);
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

    fn error(code: Code) -> RotationError {
        RotationError::Refused {
            code,
            message: "no".into(),
            hint: "look".into(),
            passes: true,
        }
    }

    #[test]
    fn each_trouble_is_told_once_and_its_end_too() {
        let hearts = Hearts::default();
        let refused = error(Code::CurrentSigninFailed);
        let no = Ok(Heartbeat::Refused(refused.clone()));
        let away = Err(error(Code::DbUnreachable));
        assert_eq!(hearts.refused("app"), None);
        assert_eq!(hearts.hear("app", &Ok(Heartbeat::Accepted)), None);
        let told = hearts.hear("app", &no);
        assert_eq!(told, Some(News::Refused(refused.problem())));
        assert_eq!(hearts.hear("app", &no), None);
        assert!(matches!(hearts.hear("app", &away), Some(News::Unknown(_))));
        assert_eq!(hearts.hear("app", &away), None);
        // Nothing is known of it, so nothing is taken back.
        assert_eq!(hearts.refused("app"), Some(true));
        assert_eq!(hearts.hear("app", &no), None);
        assert_eq!(
            hearts.hear("app", &Ok(Heartbeat::Accepted)),
            Some(News::Accepted)
        );
        assert_eq!(hearts.refused("app"), Some(false));
        hearts.keep_only(&config(&["app"], ""));
        assert_eq!(hearts.refused("app"), None);
    }
}
