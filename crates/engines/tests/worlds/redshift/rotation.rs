//! A rotation in a world, by the steps of a run, and the properties that hold after it.

use twinkey_core::secret::Sensitive;
use twinkey_core::secret::pair::Pair;
use twinkey_engines::{
    Admin, Change, Credentials, Engine, Finding, InspectRequest, Inspection, SignInChecks, TlsMode,
    render_changes,
};
use twinkey_testkit::aws::redshift::HOME;

use super::abilities::abilities;
use super::server::{DATABASES, Server, execute, literal};
use super::snapshot::{Facts, difference, snapshot};
use super::statements::CASE;
use super::twins::violations;
use super::world::World;
use crate::findings::errors;
use crate::tally::Outcome;

/// Inspections of one rotation: each may name what the fix of another made visible.
const INSPECTIONS: usize = 6;

pub struct Rotation<'a> {
    server: &'a Server,
    world: &'a World,
    pair: Pair,
    current: Credentials,
    fixes: Vec<String>,
}

impl<'a> Rotation<'a> {
    pub fn new(server: &'a Server, world: &'a World) -> Self {
        Self {
            server,
            world,
            pair: world.pair.clone(),
            current: world.current.clone(),
            fixes: Vec::new(),
        }
    }

    /// One rotation in each direction, and a third one, which changes a password only.
    pub async fn both_ways(&mut self) -> Result<Outcome, String> {
        for round in 0..3 {
            let done = self.rotate(round).await;
            done.map_err(|error| format!("round {round}: {error}\nfixes: {:#?}", self.fixes))?;
        }
        Ok(if self.fixes.is_empty() {
            Outcome::Rotated
        } else {
            Outcome::Mended
        })
    }

    async fn facts(&self) -> Facts {
        snapshot(self.server, self.world).await
    }

    async fn rotate(&mut self, round: usize) -> Result<(), String> {
        let next = Credentials {
            username: self.pair.standby_user().to_owned(),
            password: Sensitive::from(format!("Next-{}-{round}", self.world.seed)),
        };
        let mut admin = self.admin().await?;
        let untouched = self.facts().await;
        let mut inspection = self.inspect(admin.as_mut()).await?;
        for attempt in 0..INSPECTIONS {
            let errors = errors(&inspection);
            if errors.is_empty() {
                break;
            }
            if attempt == 0
                && let Some(changed) = difference(&untouched, &self.facts().await)
            {
                return Err(format!("a refused run changed something:\n{changed}"));
            }
            for finding in &errors {
                self.apply_fix(finding).await?;
            }
            admin.close().await;
            admin = self.admin().await?;
            inspection = self.inspect(admin.as_mut()).await?;
        }
        if let Some(first) = errors(&inspection).first() {
            return Err(format!("the fixes do not help: {first:?}"));
        }
        self.change(admin, &inspection, &next, round).await
    }

    /// Applies the changes and checks what they did.
    async fn change(
        &mut self,
        mut admin: Box<dyn Admin>,
        inspection: &Inspection,
        next: &Credentials,
        round: usize,
    ) -> Result<(), String> {
        let pair = self.pair.clone();
        let could = abilities(self.server, self.world, pair.active_user()).await;
        let mut before = self.facts().await;
        let changes: Vec<Change> =
            [inspection.differences.as_slice(), &inspection.set_password].concat();
        let texts: Vec<String> = changes.iter().map(|c| c.statement.to_string()).collect();
        let texts = texts.join(";\n");
        let rendered = render_changes(&changes, &next.password).unwrap();
        let applied = admin.apply(&rendered).await;
        applied.map_err(|error| format!("check passes, and the run fails: {error}\n{texts}"))?;
        let mut left = self.inspect(admin.as_mut()).await?;
        if self.revoke_as_grantors(&left.differences).await? {
            left = self.inspect(admin.as_mut()).await?;
            before.retain(|fact| fact.source != "grantors");
        }
        if !left.differences.is_empty() {
            let left = &left.differences;
            return Err(format!("differences after the changes: {left:#?}\n{texts}"));
        }
        admin.close().await;
        for who in [next, &self.current] {
            let checks = SignInChecks::default();
            let target = Server::target();
            let signed_in = self.server.engine.sign_in(&target, who, checks).await;
            signed_in.map_err(|error| format!("{:?}: {error}\n{texts}", who.username))?;
        }
        let mut after = self.facts().await;
        if before.iter().all(|fact| fact.source != "grantors") {
            after.retain(|fact| fact.source != "grantors");
        }
        let found = violations(&pair, &before, &after);
        if !found.is_empty() {
            return Err(format!("{}\n{texts}", found.join("\n")));
        }
        let can = abilities(self.server, self.world, pair.standby_user()).await;
        for (statement, was) in &could {
            let is = can.get(statement);
            // Roles whose statement was refused may be owners now.
            let same = was.is_err() && is.is_some_and(Result::is_ok) || is == Some(was);
            if !same {
                return Err(format!("{statement:?}: was {was:?}, is {is:?}\n{texts}"));
            }
        }
        if round == 2 && !inspection.differences.is_empty() {
            return Err(format!("a settled pair differs:\n{texts}"));
        }
        self.pair.active = self.pair.active.other();
        self.current = next.clone();
        Ok(())
    }

    async fn admin(&self) -> Result<Box<dyn Admin>, String> {
        let target = Server::target();
        let admin = self.server.engine.admin(&target, &self.server.master).await;
        let mut admin = admin.map_err(|error| format!("the master: {error}"))?;
        match admin.lock(&self.pair).await {
            Ok(lock) if lock.is_taken() => Ok(admin),
            other => Err(format!("the lock: {other:?}")),
        }
    }

    /// Runs the statement of a fix, after the setting for the case of names.
    async fn run_statements(&self, fix: &str) -> Result<(), String> {
        let statements = match fix.split_once("; ") {
            // A name in quotes may hold a semicolon.
            Some((CASE, statement)) => vec![CASE, statement],
            _ => vec![fix],
        };
        let redshift = self.server.stand_in.redshift();
        redshift.run_as(HOME, None, &statements).await
    }

    /// Runs the statements of a fix that begin and end the authorization of another user.
    async fn run_as_another_user(&self, fix: &str, finding: &Finding) -> Result<(), String> {
        let is_named = |name: &&&str| finding.what.contains(&format!("in the database {name:?}"));
        let database = DATABASES.iter().find(is_named).unwrap_or(&HOME);
        let mut root = self.server.root(database).await;
        let statements = fix.strip_prefix(&format!("{CASE}; ")).unwrap_or(fix);
        execute(&mut root, statements).await
    }

    async fn inspect(&self, admin: &mut dyn Admin) -> Result<Inspection, String> {
        let request = InspectRequest {
            pair: &self.pair,
            password: None,
            current: Some(&self.current.password),
            tls: TlsMode::Require,
            thorough: true,
        };
        let inspection = admin.inspect(&request).await;
        inspection.map_err(|error| format!("the inspection: {error}"))
    }

    /// Revokes what another user granted to the standby, as the message of a run says.
    async fn revoke_as_grantors(&mut self, left: &[Change]) -> Result<bool, String> {
        let mut done = false;
        for change in left {
            let Some((_, fix)) = change.why.split_once("as a superuser: ") else {
                continue;
            };
            self.fixes.push(fix.to_owned());
            let database = change.database.as_deref().unwrap_or(HOME);
            let mut root = self.server.root(database).await;
            execute(&mut root, fix).await?;
            done = true;
        }
        Ok(done)
    }

    /// Carries out a fix: its statements, or what it says in words.
    async fn apply_fix(&mut self, finding: &Finding) -> Result<(), String> {
        let fix = finding
            .fix
            .clone()
            .ok_or_else(|| format!("no fix: {finding:?}"))?;
        self.fixes.push(fix.clone());
        if fix.starts_with("grant it to both users") {
            return self.share_with_both().await;
        }
        let statement = fix.split(", or ").next().unwrap_or_default();
        let done = if statement.contains("SET SESSION AUTHORIZATION ") {
            self.run_as_another_user(statement, finding).await
        } else {
            self.run_statements(statement).await
        };
        done.map_err(|error| format!("the fix fails: {error}: {finding:?}"))
    }

    /// Gives both users the policies and the shared objects of each. The standby may be missing.
    async fn share_with_both(&self) -> Result<(), String> {
        let (active, standby) = (self.pair.active_user(), self.pair.standby_user());
        let create = format!(
            "CREATE USER {} PASSWORD DISABLE",
            super::server::quoted(standby)
        );
        // It may exist.
        let _ = self
            .server
            .stand_in
            .redshift()
            .run_as(HOME, None, &[&create])
            .await;
        for database in DATABASES {
            let mut root = self.server.root(database).await;
            for (table, columns) in [
                ("policies", "kind, policy, schema, relation"),
                ("shared", "database, schema, object, privilege"),
            ] {
                for (one, other) in [(active, standby), (standby, active)] {
                    let (one, other) = (literal(one), literal(other));
                    let copy = format!(
                        "INSERT INTO pg_stand_in.{table} SELECT {columns}, {other} FROM pg_stand_in.{table} \
                         WHERE grantee = {one} EXCEPT SELECT {columns}, grantee FROM pg_stand_in.{table}"
                    );
                    execute(&mut root, &copy).await?;
                }
            }
        }
        Ok(())
    }
}
