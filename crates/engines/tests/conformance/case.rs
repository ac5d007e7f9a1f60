//! A pair with a namespace of its own, and the steps of a run on it.

use std::sync::atomic::{AtomicU32, Ordering};

use twinkey_core::secret::Sensitive;
use twinkey_core::secret::pair::Pair;
use twinkey_engines::{
    Admin, Change, Credentials, Finding, InspectRequest, Inspection, RenderedChange, Severity,
    SignInChecks, SignedIn, Target, render_changes,
};

use super::harness::Harness;
use super::passwords::new_password;

pub struct Case<'a> {
    pub harness: &'a dyn Harness,
    pub namespace: String,
    pub pair: Pair,
    /// AWSCURRENT.
    pub current: Credentials,
    /// AWSPREVIOUS: the standby's credentials, after the first rotation.
    pub previous: Option<Credentials>,
    round: u32,
}

/// All changes of a run, in order.
pub fn all_changes(inspection: &Inspection) -> Vec<Change> {
    let mut changes = inspection.differences.clone();
    changes.extend(inspection.set_password.clone());
    changes
}

/// The changes with the password.
pub fn rendered(changes: &[Change], password: &Sensitive) -> Vec<RenderedChange> {
    render_changes(changes, password).unwrap()
}

/// The first finding that fails a run.
pub fn refusal(inspection: &Inspection) -> Option<&Finding> {
    let is_error = |finding: &&Finding| finding.severity == Severity::Error;
    inspection.findings.iter().find(is_error)
}

impl<'a> Case<'a> {
    /// A base user that has run its first workload. A server uses each name once.
    pub async fn new(harness: &'a dyn Harness, base: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let namespace = format!("namespace_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let current = Credentials {
            username: base.into(),
            password: new_password(),
        };
        harness.prepare(&namespace, &current).await;
        let mut case = Self {
            harness,
            namespace,
            pair: Pair::of(base, "_clone"),
            current,
            previous: None,
            round: 0,
        };
        case.run_workload().await;
        case
    }

    pub fn target(&self) -> Target {
        self.harness.target(&self.namespace)
    }

    pub async fn admin(&self) -> Box<dyn Admin> {
        let (engine, master) = (self.harness.engine(), self.harness.master());
        engine.admin(&self.target(), master).await.unwrap()
    }

    pub async fn inspect(&self) -> Inspection {
        self.inspect_by(self.admin().await.as_mut(), None).await
    }

    /// Whether an inspection reports that the standby holds `password`.
    pub async fn holds(&self, admin: &mut dyn Admin, password: &Sensitive) -> Option<bool> {
        self.inspect_by(admin, Some(password)).await.holds_password
    }

    /// An inspection by this admin.
    pub async fn inspect_by(
        &self,
        admin: &mut dyn Admin,
        password: Option<&Sensitive>,
    ) -> Inspection {
        let request = InspectRequest {
            pair: &self.pair,
            password,
            current: Some(&self.current.password),
            tls: self.target().tls.mode,
            thorough: true,
        };
        admin.inspect(&request).await.unwrap()
    }

    /// The printed changes that would make the standby equal.
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
        self.sign_in_seeing(who, None).await
    }

    /// Signs in and looks for a mark of the server.
    async fn sign_in_seeing(
        &self,
        who: &Credentials,
        mark: Option<&str>,
    ) -> Result<SignedIn, twinkey_engines::EngineError> {
        let target = self.target();
        let checks = SignInChecks {
            identity: true,
            mark,
            ..SignInChecks::default()
        };
        self.harness.engine().sign_in(&target, who, checks).await
    }

    /// Runs the workload as the active user, on the objects of all earlier rounds.
    pub async fn run_workload(&mut self) {
        let who = self.current.clone();
        self.run_workload_as(&who).await;
    }

    pub async fn run_workload_as(&mut self, who: &Credentials) {
        self.harness
            .run_workload(&self.namespace, who, self.round)
            .await;
        self.round += 1;
    }

    pub async fn may(&self, who: &Credentials, privilege: &str) -> bool {
        self.harness.may(&self.namespace, who, privilege).await
    }

    /// Grants to the user that holds the active user's privileges.
    pub async fn grant(&self, privilege: &str) {
        let grantee = self.harness.grantee(&self.pair);
        self.harness
            .grant(&self.namespace, grantee, privilege)
            .await;
    }

    pub async fn revoke(&self, privilege: &str) {
        let grantee = self.harness.grantee(&self.pair);
        self.harness
            .revoke(&self.namespace, grantee, privilege)
            .await;
    }

    /// Whether the standby has privileges of its own. Where it holds those of both users, a grant
    /// to it is also the active user's.
    pub fn standby_has_own_privileges(&self) -> bool {
        self.harness.grantee(&self.pair) != self.pair.standby_user()
    }

    /// The steps of a run from the lock to the sign-in, then the flip of the pair. Returns the
    /// first inspection.
    pub async fn rotate(&mut self) -> Inspection {
        let mut admin = self.admin().await;
        assert!(admin.lock(&self.pair).await.unwrap().is_taken());
        let next = self.next();
        let before = self.inspect_by(admin.as_mut(), Some(&next.password)).await;
        assert_eq!(before.missing, []);
        assert_eq!(refusal(&before), None);
        assert_ne!(before.holds_password, Some(true), "not before it is set");
        let log_start = std::fs::metadata(self.harness.log_path()).unwrap().len();
        let changes = all_changes(&before);
        admin
            .apply(&rendered(&changes, &next.password))
            .await
            .unwrap();
        self.assert_logged(log_start, &changes);
        let after = self.inspect_by(admin.as_mut(), Some(&next.password)).await;
        assert_eq!(
            after.differences,
            [],
            "a second inspection finds no difference"
        );
        assert!(after.standby_exists);
        assert_ne!(after.holds_password, Some(false), "an account was left out");
        let other = new_password();
        assert_ne!(self.holds(admin.as_mut(), &other).await, Some(true));
        let mark = admin.mark_server().await.unwrap();
        let signed_in = self.sign_in_seeing(&next, mark.as_deref()).await.unwrap();
        assert_eq!(signed_in.sees_mark, mark.as_ref().map(|_| true));
        if let Some(mark) = mark {
            admin.unmark_server(&mark).await.unwrap();
        }
        assert_eq!(signed_in.user, next.username);
        assert_eq!(
            signed_in.server_identity.as_deref(),
            admin.server_identity(),
            "both connections report the same server"
        );
        admin.close().await;
        let replaced = self.sign_in(&self.current).await;
        replaced.expect("the replaced credentials still sign in");
        self.previous = Some(std::mem::replace(&mut self.current, next));
        self.pair.active = self.pair.active.other();
        before
    }

    fn assert_logged(&self, log_start: u64, changes: &[Change]) {
        let log = std::fs::read(self.harness.log_path()).unwrap();
        let log = String::from_utf8_lossy(&log[usize::try_from(log_start).unwrap()..]);
        for change in changes {
            let shown = self.harness.is_logged(&log, change);
            assert!(shown, "{} is not in the log:\n{log}", change.statement);
        }
    }
}
