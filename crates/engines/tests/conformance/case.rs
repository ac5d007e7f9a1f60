//! A pair with a place of its own, and what a run does with it.

use std::sync::atomic::{AtomicU32, Ordering};

use twinkey_core::secret::Sensitive;
use twinkey_core::secret::pair::Pair;
use twinkey_engines::{
    Admin, Change, Credentials, Filled, Finding, InspectRequest, Inspection, Questions, Severity,
    SignedIn, Target, fill,
};

use super::harness::Harness;
use super::passwords::new_password;

pub struct Case<'a> {
    pub harness: &'a dyn Harness,
    pub place: String,
    pub pair: Pair,
    /// AWSCURRENT.
    pub current: Credentials,
    /// AWSPREVIOUS: the standby's, since the first rotation.
    pub previous: Option<Credentials>,
    round: u32,
}

/// All that a run carries out, in order.
pub fn all_changes(inspection: &Inspection) -> Vec<Change> {
    let mut changes = inspection.differences.clone();
    changes.extend(inspection.set_password.clone());
    changes
}

/// Changes with the password in them.
pub fn ready(changes: &[Change], password: &Sensitive) -> Vec<Filled> {
    fill(changes, password).unwrap()
}

/// The first finding that fails a run.
pub fn refusal(inspection: &Inspection) -> Option<&Finding> {
    let is_error = |finding: &&Finding| finding.severity == Severity::Error;
    inspection.findings.iter().find(is_error)
}

impl<'a> Case<'a> {
    /// A base user who has done its first work. The name is used once a server.
    pub async fn new(harness: &'a dyn Harness, base: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let place = format!("place_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let current = Credentials {
            username: base.into(),
            password: new_password(),
        };
        harness.prepare(&place, &current).await;
        let mut case = Self {
            harness,
            place,
            pair: Pair::of(base, "_clone"),
            current,
            previous: None,
            round: 0,
        };
        case.work().await;
        case
    }

    pub fn target(&self) -> Target {
        self.harness.target(&self.place)
    }

    pub async fn admin(&self) -> Box<dyn Admin> {
        let (engine, master) = (self.harness.engine(), self.harness.master());
        engine.admin(&self.target(), master).await.unwrap()
    }

    pub async fn inspect(&self) -> Inspection {
        self.inspect_by(self.admin().await.as_mut(), None).await
    }

    /// Of an inspection that is asked about `password`, whether the standby holds it.
    pub async fn holds(&self, admin: &mut dyn Admin, password: &Sensitive) -> Option<bool> {
        self.inspect_by(admin, Some(password)).await.holds_password
    }

    async fn inspect_by(&self, admin: &mut dyn Admin, password: Option<&Sensitive>) -> Inspection {
        let request = InspectRequest {
            pair: &self.pair,
            password,
            thorough: true,
        };
        admin.inspect(&request).await.unwrap()
    }

    /// What would make the standby equal, as it is shown.
    pub async fn differences(&self) -> Vec<String> {
        let inspection = self.inspect().await;
        let shown = |change: &Change| change.statement.to_string();
        inspection.differences.iter().map(shown).collect()
    }

    /// New credentials for the standby.
    pub fn next(&self) -> Credentials {
        Credentials {
            username: self.pair.standby_user().to_owned(),
            password: new_password(),
        }
    }

    pub async fn sign_in(
        &self,
        who: &Credentials,
    ) -> Result<SignedIn, twinkey_engines::EngineError> {
        let target = self.target();
        let questions = Questions {
            identity: true,
            ..Questions::default()
        };
        self.harness.engine().sign_in(&target, who, questions).await
    }

    /// The active user does its work, on what both have done before.
    pub async fn work(&mut self) {
        let who = self.current.clone();
        self.work_as(&who).await;
    }

    pub async fn work_as(&mut self, who: &Credentials) {
        self.harness.work(&self.place, who, self.round).await;
        self.round += 1;
    }

    pub async fn may(&self, who: &Credentials, privilege: &str) -> bool {
        self.harness.may(&self.place, who, privilege).await
    }

    /// To the user that bears the active one's privileges.
    pub async fn grant(&self, privilege: &str) {
        let bearer = self.harness.bearer(&self.pair);
        self.harness.grant(&self.place, bearer, privilege).await;
    }

    pub async fn revoke(&self, privilege: &str) {
        let bearer = self.harness.bearer(&self.pair);
        self.harness.revoke(&self.place, bearer, privilege).await;
    }

    /// Whether the standby has privileges of its own: where it bears those of both, what somebody
    /// grants to it is the active user's too.
    pub fn standby_is_its_own(&self) -> bool {
        self.harness.bearer(&self.pair) != self.pair.standby_user()
    }

    /// What a run does with the database, from the lock to the proof; then the pair is flipped.
    /// Gives back what the run found at first.
    pub async fn rotate(&mut self) -> Inspection {
        let mut admin = self.admin().await;
        assert!(admin.lock(&self.pair).await.unwrap());
        let next = self.next();
        let before = self.inspect_by(admin.as_mut(), Some(&next.password)).await;
        assert_eq!(before.missing, []);
        assert_eq!(refusal(&before), None);
        assert_ne!(before.holds_password, Some(true), "not before it is set");
        let heard = std::fs::metadata(self.harness.log_path()).unwrap().len();
        let changes = all_changes(&before);
        admin.apply(&ready(&changes, &next.password)).await.unwrap();
        self.the_log_shows_what_was_planned(heard, &changes);
        let after = self.inspect_by(admin.as_mut(), Some(&next.password)).await;
        assert_eq!(after.differences, [], "a second look finds nothing to do");
        assert!(after.standby_exists);
        assert_ne!(after.holds_password, Some(false), "an account was left out");
        let other = new_password();
        assert_ne!(self.holds(admin.as_mut(), &other).await, Some(true));
        let signed_in = self.sign_in(&next).await.unwrap();
        assert_eq!(signed_in.user, next.username);
        assert_eq!(
            signed_in.server_identity.as_deref(),
            admin.server_identity(),
            "a run asks on both connections whether this is one server"
        );
        admin.close().await;
        let replaced = self.sign_in(&self.current).await;
        replaced.expect("the credentials just replaced go on signing in");
        self.previous = Some(std::mem::replace(&mut self.current, next));
        self.pair.active = self.pair.active.other();
        before
    }

    fn the_log_shows_what_was_planned(&self, heard: u64, changes: &[Change]) {
        let log = std::fs::read(self.harness.log_path()).unwrap();
        let log = String::from_utf8_lossy(&log[usize::try_from(heard).unwrap()..]);
        for change in changes {
            let shown = self.harness.is_logged(&log, change);
            assert!(shown, "{} is not in the log:\n{log}", change.statement);
        }
    }
}
