//! The texts of database servers in a form that is safe to print, for every engine.
//!
//! # Failure modes
//! - An engine returns a server's text as it is. The registry wraps each engine, so that no text of
//!   any engine leaves this crate without the escape.
//! - A method with a default body is not passed on. A new method of the traits is added here too;
//!   the compiler requires it only for methods without a default.
//! - A statement changes. The statements of an inspection stay as they are; only their reasons are
//!   texts.

use async_trait::async_trait;
use twinkey_core::printable::{MESSAGE, NAME, escaped, printable};

use crate::{
    Admin, Change, Credentials, Engine, EngineError, Finding, InspectRequest, Inspection,
    LockHolder, MasterRequirement, OtherForm, PairLock, RenderedChange, Session, SignInChecks,
    SignedIn, Target, UserInspection, UserRequest,
};
use twinkey_core::secret::pair::Pair;

/// An engine whose texts are safe to print.
pub(crate) struct PrintableEngine(pub Box<dyn Engine>);

struct PrintableAdmin(Box<dyn Admin>);

#[async_trait]
impl Engine for PrintableEngine {
    fn check_user_name(&self, name: &str) -> Result<(), EngineError> {
        self.0.check_user_name(name).map_err(error)
    }

    fn master_requirement(&self) -> MasterRequirement {
        self.0.master_requirement()
    }

    fn connects_to_host(&self) -> bool {
        self.0.connects_to_host()
    }

    fn master_uses_host(&self) -> bool {
        self.0.master_uses_host()
    }

    fn check_master_database(&self) -> Result<(), EngineError> {
        self.0.check_master_database().map_err(error)
    }

    async fn sign_in(
        &self,
        target: &Target,
        credentials: &Credentials,
        checks: SignInChecks<'_>,
    ) -> Result<SignedIn, EngineError> {
        let signed_in = self.0.sign_in(target, credentials, checks).await;
        signed_in.map_err(error)
    }

    async fn admin(
        &self,
        target: &Target,
        master: &Credentials,
    ) -> Result<Box<dyn Admin>, EngineError> {
        let admin = self.0.admin(target, master).await.map_err(error)?;
        Ok(Box::new(PrintableAdmin(admin)))
    }
}

#[async_trait]
impl Admin for PrintableAdmin {
    fn server_identity(&self) -> Option<&str> {
        self.0.server_identity()
    }

    async fn mark_server(&mut self) -> Result<Option<String>, EngineError> {
        self.0.mark_server().await.map_err(error)
    }

    async fn unmark_server(&mut self, mark: &str) -> Result<(), EngineError> {
        self.0.unmark_server(mark).await.map_err(error)
    }

    async fn lock(&mut self, pair: &Pair) -> Result<PairLock, EngineError> {
        match self.0.lock(pair).await.map_err(error)? {
            PairLock::Held(by) => Ok(PairLock::Held(holder(by))),
            taken => Ok(taken),
        }
    }

    async fn lock_holders(&mut self, pair: &Pair) -> Result<Vec<LockHolder>, EngineError> {
        let holders = self.0.lock_holders(pair).await.map_err(error)?;
        Ok(holders.into_iter().map(holder).collect())
    }

    async fn inspect(&mut self, request: &InspectRequest<'_>) -> Result<Inspection, EngineError> {
        let inspection = self.0.inspect(request).await.map_err(error)?;
        Ok(Inspection {
            server: printable(&inspection.server, NAME),
            differences: changes(inspection.differences),
            set_password: changes(inspection.set_password),
            other_form: inspection.other_form.map(other_form),
            retire: changes(inspection.retire),
            findings: findings(inspection.findings),
            missing: findings(inspection.missing),
            obstacles: findings(inspection.obstacles),
            standby_obstacles: findings(inspection.standby_obstacles),
            ..inspection
        })
    }

    async fn inspect_user(
        &mut self,
        request: &UserRequest<'_>,
    ) -> Result<UserInspection, EngineError> {
        let inspection = self.0.inspect_user(request).await.map_err(error)?;
        Ok(UserInspection {
            server: printable(&inspection.server, NAME),
            set_password: changes(inspection.set_password),
            other_form: inspection.other_form.map(other_form),
            restore_current: changes(inspection.restore_current),
            discard: changes(inspection.discard),
            findings: findings(inspection.findings),
            missing: findings(inspection.missing),
            ..inspection
        })
    }

    async fn apply(&mut self, changes: &[RenderedChange]) -> Result<(), EngineError> {
        self.0.apply(changes).await.map_err(error)
    }

    async fn sessions(&mut self, user: &str) -> Result<Option<Vec<Session>>, EngineError> {
        let sessions = self.0.sessions(user).await.map_err(error)?;
        Ok(sessions.map(|all| all.into_iter().map(session).collect()))
    }

    async fn cannot_end_sessions(&mut self, user: &str) -> Result<Vec<Finding>, EngineError> {
        let reasons = self.0.cannot_end_sessions(user).await.map_err(error)?;
        Ok(findings(reasons))
    }

    async fn end_sessions(&mut self, user: &str) -> Result<usize, EngineError> {
        self.0.end_sessions(user).await.map_err(error)
    }

    async fn reset(&mut self) -> bool {
        self.0.reset().await
    }

    async fn close(self: Box<Self>) {
        self.0.close().await;
    }
}

fn message(text: &str) -> String {
    printable(text, MESSAGE)
}

fn name(text: Option<String>) -> Option<String> {
    text.map(|text| printable(&text, NAME))
}

fn error(error: EngineError) -> EngineError {
    match error {
        EngineError::Unreachable { host, port, reason } => EngineError::Unreachable {
            host: printable(&host, NAME),
            port,
            reason: message(&reason),
        },
        EngineError::Limit {
            host,
            port,
            user,
            reason,
            hint,
        } => EngineError::Limit {
            host: printable(&host, NAME),
            port,
            user,
            reason: message(&reason),
            hint: escaped(&hint).into_owned(),
        },
        EngineError::Tls {
            host,
            port,
            reason,
            remedy,
        } => EngineError::Tls {
            host: printable(&host, NAME),
            port,
            reason: message(&reason),
            remedy,
        },
        EngineError::TlsRequired { host, port, reason } => EngineError::TlsRequired {
            host: printable(&host, NAME),
            port,
            reason: message(&reason),
        },
        EngineError::SignIn {
            host,
            port,
            user,
            reason,
        } => EngineError::SignIn {
            host: printable(&host, NAME),
            port,
            user,
            reason: message(&reason),
        },
        EngineError::Busy { what, reason } => EngineError::Busy {
            what: message(&what),
            reason: message(&reason),
        },
        EngineError::Refused { what, reason, hint } => EngineError::Refused {
            what: message(&what),
            reason: message(&reason),
            hint: escaped(&hint).into_owned(),
        },
        EngineError::Untrusted {
            place,
            reason,
            hint,
        } => EngineError::Untrusted {
            place: printable(&place, NAME),
            reason: message(&reason),
            hint: escaped(&hint).into_owned(),
        },
        EngineError::Pooler { host, port, reason } => EngineError::Pooler {
            host: printable(&host, NAME),
            port,
            reason: message(&reason),
        },
        EngineError::UserName { name, reason } => EngineError::UserName {
            name,
            reason: message(&reason),
        },
        EngineError::Roots { .. } | EngineError::NotInBuild { .. } => error,
    }
}

fn changes(changes: Vec<Change>) -> Vec<Change> {
    let change = |change: Change| Change {
        why: escaped(&change.why).into_owned(),
        ..change
    };
    changes.into_iter().map(change).collect()
}

fn other_form(other: OtherForm) -> OtherForm {
    OtherForm {
        form: other.form,
        set_password: changes(other.set_password),
        finding: other.finding.map(finding),
        replaces: other.replaces.map(finding),
    }
}

fn findings(findings: Vec<Finding>) -> Vec<Finding> {
    findings.into_iter().map(finding).collect()
}

fn finding(finding: Finding) -> Finding {
    Finding {
        what: escaped(&finding.what).into_owned(),
        fix: finding.fix.map(|fix| escaped(&fix).into_owned()),
        ..finding
    }
}

fn session(session: Session) -> Session {
    Session {
        user: printable(&session.user, NAME),
        client: name(session.client),
        application: name(session.application),
        pooler: name(session.pooler),
        ..session
    }
}

fn holder(holder: LockHolder) -> LockHolder {
    LockHolder {
        id: printable(&holder.id, NAME),
        user: name(holder.user),
        client: name(holder.client),
        application: name(holder.application),
        end: escaped(&holder.end).into_owned(),
        ..holder
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ChangeKind, Severity, Statement, TlsRemedy};

    const TEXT: &str = "a\r\nb\u{1b}[31m\u{202e}";
    const SAFE: &str = "a\\u{d}\\u{a}b\\u{1b}[31m\\u{202e}";

    #[test]
    fn every_text_of_an_error_is_escaped() {
        let text = || TEXT.to_owned();
        let (host, port, user) = (text(), 1, "app".to_owned());
        for raw in [
            EngineError::Unreachable {
                host: host.clone(),
                port,
                reason: text(),
            },
            EngineError::Tls {
                host: host.clone(),
                port,
                reason: text(),
                remedy: TlsRemedy::Verify,
            },
            EngineError::TlsRequired {
                host: host.clone(),
                port,
                reason: text(),
            },
            EngineError::SignIn {
                host,
                port,
                user,
                reason: text(),
            },
            EngineError::Busy {
                what: text(),
                reason: text(),
            },
            EngineError::Refused {
                what: text(),
                reason: text(),
                hint: text(),
            },
            EngineError::Untrusted {
                place: text(),
                reason: text(),
                hint: text(),
            },
            EngineError::Pooler {
                host: text(),
                port: 1,
                reason: text(),
            },
            EngineError::UserName {
                name: text(),
                reason: text(),
            },
        ] {
            use twinkey_core::code::Diagnostic as _;
            let safe = error(raw.clone());
            for shown in [safe.to_string(), safe.hint()] {
                assert_eq!(escaped(&shown), shown, "{raw:?}");
            }
            assert_eq!(safe.code(), raw.code());
        }
        let long = EngineError::Busy {
            what: "w".into(),
            reason: "x".repeat(1 << 20),
        };
        assert!(error(long).to_string().chars().count() < MESSAGE + 100);
    }

    #[test]
    fn texts_of_sessions_holders_and_findings_are_escaped() {
        let some = || Some(TEXT.to_owned());
        let session = session(Session {
            user: TEXT.into(),
            client: some(),
            application: some(),
            since: None,
            idle: false,
            pooler: some(),
        });
        let holder = holder(LockHolder {
            id: TEXT.into(),
            user: some(),
            client: some(),
            application: some(),
            since: None,
            may_be_run: true,
            end: TEXT.into(),
        });
        let finding = Finding {
            severity: Severity::Note,
            code: None,
            what: TEXT.into(),
            fix: some(),
        };
        let finding = findings(vec![finding]).remove(0);
        let change = changes(vec![Change {
            kind: ChangeKind::Grant,
            database: some(),
            statement: Statement::plain(TEXT),
            why: TEXT.into(),
        }])
        .remove(0);
        let names = [
            session.client,
            session.application,
            holder.user,
            holder.client,
            holder.application,
            finding.fix,
        ];
        assert!(names.iter().all(|name| name.as_deref() == Some(SAFE)));
        let texts = [
            session.user,
            holder.id,
            holder.end,
            finding.what,
            change.why,
        ];
        assert!(texts.iter().all(|text| text == SAFE));
        assert_eq!(change.statement, Statement::plain(TEXT), "it is executed");
    }
}
