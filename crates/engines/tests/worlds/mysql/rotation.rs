//! A rotation in a world, by the steps of a run, and the properties that hold after it.

use sqlx::mysql::MySqlConnection;
use twinkey_core::code::Code;
use twinkey_core::secret::Sensitive;
use twinkey_core::secret::pair::Pair;
use twinkey_engines::mysql::Mysql;
use twinkey_engines::{
    Admin, Change, Credentials, Engine, Finding, InspectRequest, Inspection, MysqlOptions,
    SignInChecks, TlsMode, render_changes,
};

use super::effective;
use super::server::{MODE, Server, execute};
use super::snapshot::{Fact, Facts, broken_views, difference, is_on, of_user, snapshot, without};
use super::world::World;
use crate::findings::errors;

/// Inspections of one rotation: each may name what the fix of another made visible.
const INSPECTIONS: usize = 6;

pub enum Outcome {
    Rotated,
    /// The code of each finding that no statement mends.
    Refused(Vec<Code>),
    /// AWSCURRENT does not sign in, and the inspection names a cause.
    Unusable,
}

/// A property that does not hold.
pub type Failure = String;

/// The state of a test in a world.
pub struct Rotation<'a> {
    pub server: &'a Server,
    pub world: &'a World,
    pub root: MySqlConnection,
    engine: Mysql,
    pair: Pair,
    current: Credentials,
    /// Hosts of the pair's accounts.
    hosts: Vec<String>,
    fixes: Vec<String>,
}

impl<'a> Rotation<'a> {
    pub fn new(server: &'a Server, world: &'a World, root: MySqlConnection) -> Self {
        Self {
            server,
            world,
            root,
            engine: server.engine.clone(),
            pair: world.pair.clone(),
            current: world.base.clone(),
            hosts: world.hosts.clone(),
            fixes: Vec::new(),
        }
    }

    /// One rotation in each direction.
    pub async fn both_ways(&mut self) -> Result<Outcome, Failure> {
        let outcome = self.there_and_back().await;
        outcome.map_err(|failure| format!("{failure}\nfixes: {:#?}", self.fixes))
    }

    async fn there_and_back(&mut self) -> Result<Outcome, Failure> {
        let base = self.world.pair.base.clone();
        let first = self.facts().await;
        match self.rotate(&first).await? {
            Outcome::Rotated => {}
            other => return Ok(other),
        }
        // The fixes of findings may have changed the base user.
        let before = self.facts().await;
        match self.rotate(&before).await? {
            Outcome::Rotated => {}
            Outcome::Refused(codes) => {
                return Err(format!("only the second is refused: {codes:?}"));
            }
            Outcome::Unusable => return Err("the clone does not sign in".to_owned()),
        }
        let after = self.facts().await;
        equal(
            "the base user changed",
            &of_user(&before, &base),
            &of_user(&after, &base),
        )?;
        Ok(Outcome::Rotated)
    }

    async fn facts(&mut self) -> Facts {
        snapshot(self.server, self.world, &mut self.root).await
    }

    async fn rotate(&mut self, before: &Facts) -> Result<Outcome, Failure> {
        let mut admin = self.admin().await?;
        let lock = admin.lock(&self.pair).await;
        if !lock.map_err(|error| format!("lock: {error}"))?.is_taken() {
            return Err("the lock is held".to_owned());
        }
        let signs_in = self.sign_in(&self.current).await;
        let next = Credentials {
            username: self.pair.standby_user().to_owned(),
            password: Sensitive::from(format!(
                "Next-{}-{}",
                self.world.seed,
                self.current.username.len()
            )),
        };
        let mut inspection = self.inspect(admin.as_mut(), &next).await?;
        let mut fixes = 0;
        for _ in 0..INSPECTIONS {
            let errors = errors(&inspection);
            if errors.is_empty() {
                break;
            }
            let without_fix = errors.iter().find(|finding| finding.fix.is_none());
            if let Some(finding) = without_fix {
                return Err(format!("no fix: {finding:?}"));
            }
            let applied = self.apply_fixes(&errors).await?;
            if applied == 0 {
                if fixes == 0 {
                    let after = self.facts().await;
                    equal("a refused run changed something", before, &after)?;
                }
                let codes = errors.iter().filter_map(|finding| finding.code).collect();
                return Ok(Outcome::Refused(codes));
            }
            fixes += applied;
            admin.close().await;
            admin = self.admin().await?;
            if !admin
                .lock(&self.pair)
                .await
                .is_ok_and(|lock| lock.is_taken())
            {
                return Err("the lock is held after a fix".to_owned());
            }
            inspection = self.inspect(admin.as_mut(), &next).await?;
        }
        if let [first, ..] = errors(&inspection)[..] {
            return Err(format!("the fixes do not help: {first:?}"));
        }
        if let Err(error) = signs_in {
            let causes = &inspection.obstacles;
            return if causes.is_empty() {
                Err(format!("AWSCURRENT is refused without a cause: {error}"))
            } else {
                Ok(Outcome::Unusable)
            };
        }
        self.change(admin, &inspection, next).await
    }

    /// Applies the changes and checks what they did.
    async fn change(
        &mut self,
        mut admin: Box<dyn Admin>,
        inspection: &Inspection,
        next: Credentials,
    ) -> Result<Outcome, Failure> {
        let statements = effective::statements(self.world, &mut self.root).await;
        let before = self.facts().await;
        let mut changes: Vec<Change> = inspection.differences.clone();
        changes.extend(inspection.set_password.iter().cloned());
        let texts: Vec<String> = changes.iter().map(|c| c.statement.to_string()).collect();
        let texts = texts.join(";\n");
        let rendered = render_changes(&changes, &next.password).unwrap();
        let applied = admin.apply(&rendered).await;
        applied.map_err(|error| format!("check passes, and the run fails: {error}\n{texts}"))?;
        let left = self.inspect(admin.as_mut(), &next).await?;
        if !left.differences.is_empty() {
            let left = &left.differences;
            return Err(format!("differences after the changes: {left:#?}\n{texts}"));
        }
        if left.holds_password == Some(false) {
            return Err("an account lacks the password".to_owned());
        }
        admin.close().await;
        let signed_in = self.sign_in(&next).await;
        signed_in.map_err(|error| format!("the new password does not sign in: {error}"))?;
        let replaced = self.sign_in(&self.current).await;
        replaced.map_err(|error| format!("the replaced password does not sign in: {error}"))?;

        if self.world.has_plain_names() {
            // The tables must hold what the server has in memory.
            execute(&mut self.root, "FLUSH PRIVILEGES").await.unwrap();
        }
        let after = self.facts().await;
        let (active, standby) = (self.pair.active_user(), self.pair.standby_user());
        let others = equal(
            "another user or an object changed",
            &without(&before, standby),
            &without(&after, standby),
        );
        others.map_err(|error| format!("{error}\n{texts}"))?;
        let of_active = self.without_others(of_user(&after, active));
        let mut of_standby = self.without_others(of_user(&after, standby));
        // A run revokes nothing on an object that is missing or broken.
        let broken = broken_views(self.world, &mut self.root).await;
        let is_kept = |fact: &Fact| {
            let mut objects = self.world.missing().chain(&broken);
            objects.any(|object| is_on(fact, object))
        };
        of_standby.retain(|fact| of_active.contains(fact) || !is_kept(fact));
        let twins = equal("the users differ", &of_active, &of_standby);
        twins.map_err(|error| format!("{error}\n{texts}"))?;
        let could = effective::abilities(self.server, &self.current, &statements).await;
        let can = effective::abilities(self.server, &next, &statements).await;
        if let (Some(could), Some(can)) = (could, can) {
            let mut all = could.iter();
            if let Some((statement, was)) =
                all.find(|(statement, was)| can.get(*statement) != Some(was))
            {
                let is = can.get(statement);
                return Err(format!("{statement}: was {was:?}, is {is:?}\n{texts}"));
            }
        }
        self.pair.active = self.pair.active.other();
        self.current = next;
        Ok(Outcome::Rotated)
    }

    /// The facts without accounts that are not the pair's.
    fn without_others(&self, facts: Facts) -> Facts {
        let is_own = |host: &String| self.hosts.iter().any(|own| own.eq_ignore_ascii_case(host));
        facts
            .into_iter()
            .filter(|fact| is_own(&fact.host))
            .collect()
    }

    async fn admin(&self) -> Result<Box<dyn Admin>, Failure> {
        let target = self.server.target();
        let admin = self.engine.admin(&target, &self.server.master);
        admin.await.map_err(|error| format!("the master: {error}"))
    }

    async fn sign_in(&self, who: &Credentials) -> Result<(), Failure> {
        let target = self.server.target();
        let signed_in = self.engine.sign_in(&target, who, SignInChecks::default());
        let user = signed_in.await.map_err(|error| error.to_string())?.user;
        if user == who.username {
            Ok(())
        } else {
            Err(format!("signed in as {user:?}"))
        }
    }

    async fn inspect(
        &self,
        admin: &mut dyn Admin,
        next: &Credentials,
    ) -> Result<Inspection, Failure> {
        let request = InspectRequest {
            pair: &self.pair,
            password: Some(&next.password),
            current: Some(&self.current.password),
            tls: TlsMode::VerifyFull,
            thorough: true,
        };
        let inspection = admin.inspect(&request).await;
        inspection.map_err(|error| format!("the inspection: {error}"))
    }

    /// Executes the statements of the fixes as an administrator; returns their number.
    async fn apply_fixes(&mut self, findings: &[&Finding]) -> Result<usize, Failure> {
        let mut applied = 0;
        for finding in findings {
            let fix = finding.fix.as_deref().unwrap_or_default();
            if finding.code == Some(Code::AccountDiffers) && fix.starts_with("set accounts = ") {
                // As `{:?}` of a list of texts, which is JSON.
                let list = fix
                    .split_once('=')
                    .and_then(|(_, rest)| rest.split_once(" in the "));
                let hosts = list.and_then(|(list, _)| serde_json::from_str(list.trim()).ok());
                self.hosts = hosts.clone().unwrap_or_default();
                self.engine = self
                    .server
                    .engine
                    .clone()
                    .with_options(MysqlOptions { accounts: hosts });
                applied += 1;
                continue;
            }
            let Some(statement) = statement(fix) else {
                continue;
            };
            self.fixes.push(statement.to_owned());
            execute(&mut self.root, MODE).await.unwrap();
            let done = execute(&mut self.root, statement).await;
            let is_exact = finding.code == Some(Code::PrivilegesMissing);
            match done {
                Ok(()) => {
                    applied += 1;
                    // MariaDB revokes the roles too, and keeps the default role.
                    if let Some((_, name)) = statement.split_once("GRANT OPTION FROM ") {
                        let sql = format!("SET DEFAULT ROLE NONE FOR {name}");
                        let _ = execute(&mut self.root, &sql).await;
                    }
                }
                Err(error) if is_exact => {
                    let as_oracle = self.in_oracle_mode(statement).await;
                    if !as_oracle {
                        return Err(format!("the fix fails: {error:?}: {finding:?}"));
                    }
                    applied += 1;
                }
                Err(_) => {}
            }
        }
        Ok(applied)
    }

    /// MariaDB takes grants on packages in this mode only.
    async fn in_oracle_mode(&mut self, statement: &str) -> bool {
        let oracle = "SET SESSION sql_mode = 'ORACLE'";
        execute(&mut self.root, oracle).await.is_ok()
            && execute(&mut self.root, statement).await.is_ok()
            && execute(&mut self.root, MODE).await.is_ok()
    }
}

/// The statement in a fix.
fn statement(fix: &str) -> Option<&str> {
    let verbs = [
        "GRANT ",
        "REVOKE ",
        "DROP USER ",
        "ALTER USER ",
        "SET GLOBAL ",
    ];
    let start = verbs.iter().filter_map(|verb| fix.find(verb)).min()?;
    let statement = &fix[start..];
    let ends = [", and ", ", or ", "; "];
    let end = ends.iter().filter_map(|end| statement.find(end)).min();
    Some(end.map_or(statement, |end| &statement[..end]))
}

fn equal(what: &str, before: &Facts, after: &Facts) -> Result<(), Failure> {
    match difference(before, after) {
        None => Ok(()),
        Some(difference) => Err(format!("{what}:\n{difference}")),
    }
}
