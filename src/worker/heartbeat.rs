//! The heartbeat: AWSCURRENT is tried between the windows, at each rotation's own pace (`heartbeat`).
//!
//! What can go wrong, and what prevents it:
//! - thousands are due at once: the first beats are spread over the pace by the rotations' names, and [`AT_ONCE`] are
//!   on at a time; none takes a run's place;
//! - each is a call to the store, at a price: those that are due within [`GATHER`] are read together;
//! - beats pile up at a host that is slow: the next one is counted from the end of the last;
//! - the clock is set, or the machine sleeps: beats are counted by a clock that nobody sets;
//! - one trouble is told again at every beat: only what is new is told;
//! - a config that is read again begins every pace anew, and no beat ever comes: what is due stays due.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use crate::config::settings::Rotation;
use crate::rotation::error::RotationError;
use crate::rotation::event::Event;
use crate::rotation::heartbeat::{Heartbeat, beat_with};
use crate::worker::fleet::Fleet;
use crate::worker::pulse::{GATHER, Pulse};
use twinkey_core::code::{Code, Problem};
use twinkey_stores::batch::Batches;
use twinkey_stores::{SecretVersion, StoreError};

/// How many beats are on at once.
const AT_ONCE: usize = 8;
/// How often a new config is looked for.
const LOOK: Duration = Duration::from_secs(5);

/// What has come of a part of a beat.
enum Came {
    Read(Vec<(Arc<Rotation>, Result<SecretVersion, StoreError>)>),
    Said(Arc<Rotation>, Result<Heartbeat, RotationError>),
}

/// Tries every rotation's AWSCURRENT at its pace, until the worker winds down.
pub async fn keep(fleet: Fleet) {
    let mut pulse = Pulse::default();
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut beats = JoinSet::new();
    let batches = Arc::new(Batches::default());
    loop {
        if pulse.follow(&fleet.rotations(), Instant::now()) {
            fleet.hearts.keep_only(&fleet.rotations());
        }
        loop {
            let round = pulse.take_round(Instant::now());
            if round.is_empty() {
                break;
            }
            let (site, places) = (fleet.crew.rotator.site.clone(), Arc::clone(&places));
            let batches = Arc::clone(&batches);
            beats.spawn(async move {
                let _place = places.acquire().await;
                let secrets: Vec<&str> = round.iter().map(|r| r.secret.as_str()).collect();
                let read = batches.read(&*site.store, &secrets).await;
                Came::Read(round.into_iter().zip(read).collect())
            });
        }
        let look = Instant::now() + LOOK;
        let next = pulse.next().map_or(look, |due| (due + GATHER).min(look));
        tokio::select! {
            () = sleep_until(next) => {}
            Some(done) = beats.join_next() => match done {
                Ok(Came::Read(all)) => for (rotation, read) in all {
                    let (site, places) = (fleet.crew.rotator.site.clone(), Arc::clone(&places));
                    beats.spawn(async move {
                        let _place = places.acquire().await;
                        let said = beat_with(&site, &rotation, read).await;
                        Came::Said(rotation, said)
                    });
                },
                Ok(Came::Said(rotation, said)) => {
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
    use super::*;
    use crate::worker::pulse::tests::config;

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
