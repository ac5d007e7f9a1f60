//! A rotation in a world, by the steps of a run, and the properties that hold after it.

use mongodb::bson::{Document, doc};
use twinkey_core::secret::Sensitive;
use twinkey_core::secret::pair::Pair;
use twinkey_engines::{
    Admin, Change, Credentials, Engine, Finding, InspectRequest, Inspection, SignInChecks, TlsMode,
    render_changes,
};

use super::abilities::abilities;
use super::server::Server;
use super::snapshot::{Facts, difference, of_user, snapshot, without};
use super::world::World;
use crate::findings::errors;
use crate::tally::Outcome;

/// Inspections of one rotation: each may name what the fix of another made visible.
const INSPECTIONS: usize = 4;

/// Roles with which twinkey rotates no user. The fix is in words.
const REFUSED_ROLES: [&str; 5] = [
    "root",
    "restore",
    "userAdminAnyDatabase",
    "userAdmin",
    "dbOwner",
];

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
        let untouched = self.facts().await;
        let mut admin = self.admin().await?;
        let mut inspection = self.inspect(admin.as_mut(), &next).await?;
        for attempt in 0..INSPECTIONS {
            let errors = errors(&inspection);
            if errors.is_empty() {
                break;
            }
            if attempt == 0 {
                let changed = difference(&untouched, &self.facts().await);
                if let Some(changed) = changed {
                    return Err(format!("a refused run changed something:\n{changed}"));
                }
            }
            if round > 0 {
                return Err(format!("only a later rotation is refused: {errors:#?}"));
            }
            for finding in &errors {
                self.apply_fix(finding).await?;
            }
            admin.close().await;
            admin = self.admin().await?;
            inspection = self.inspect(admin.as_mut(), &next).await?;
        }
        if let Some(first) = errors(&inspection).first() {
            return Err(format!("the fixes do not help: {first:?}"));
        }
        self.change(admin, inspection, &next, round).await
    }

    /// Applies the changes and checks what they did.
    async fn change(
        &mut self,
        mut admin: Box<dyn Admin>,
        mut inspection: Inspection,
        next: &Credentials,
        round: usize,
    ) -> Result<(), String> {
        let before = self.facts().await;
        let could = abilities(self.server, self.world, &self.current).await?;
        if let Some(changed) = difference(&before, &self.facts().await) {
            return Err(format!("the test itself changed something:\n{changed}"));
        }
        let mut texts = self.apply(admin.as_mut(), &inspection, next).await?;
        let mut left = self.inspect(admin.as_mut(), next).await?;
        if round == 0 && left.holds_password == Some(false) {
            // The server kept other mechanisms. The hint: drop the standby.
            self.fixes.push("dropUser".into());
            let drop = doc! { "dropUser": self.pair.standby_user() };
            self.server.run(&self.world.auth_database, drop).await;
            inspection = self.inspect(admin.as_mut(), next).await?;
            texts += &self.apply(admin.as_mut(), &inspection, next).await?;
            left = self.inspect(admin.as_mut(), next).await?;
        }
        if !left.differences.is_empty() || left.holds_password == Some(false) {
            return Err(format!("it still differs: {left:#?}\n{texts}"));
        }
        admin.close().await;
        for who in [next, &self.current] {
            self.proved(who).await?;
        }
        let after = self.facts().await;
        let (active, standby) = (self.pair.active_user(), self.pair.standby_user());
        let database = &self.world.auth_database;
        let others = [&before, &after].map(|facts| without(facts, database, standby));
        if let Some(changed) = difference(&others[0], &others[1]) {
            return Err(format!("a third party changed:\n{changed}\n{texts}"));
        }
        let [one, two] = [active, standby].map(|user| of_user(&after, database, user));
        if one != two {
            return Err(format!("the users differ: {one:?}, {two:?}\n{texts}"));
        }
        let can = abilities(self.server, self.world, next).await?;
        if let Some((command, was)) = could.iter().find(|(key, was)| can.get(*key) != Some(was)) {
            let is = can.get(command);
            return Err(format!("{command:?}: was {was:?}, is {is:?}\n{texts}"));
        }
        // Both users have been the standby.
        if round == 2 && !inspection.differences.is_empty() {
            return Err(format!("a settled pair differs:\n{texts}"));
        }
        self.pair.active = self.pair.active.other();
        self.current = next.clone();
        Ok(())
    }

    /// Applies all changes and returns their texts.
    async fn apply(
        &self,
        admin: &mut dyn Admin,
        inspection: &Inspection,
        next: &Credentials,
    ) -> Result<String, String> {
        let changes: Vec<Change> =
            [inspection.differences.as_slice(), &inspection.set_password].concat();
        let texts: Vec<String> = changes.iter().map(|c| c.statement.to_string()).collect();
        let texts = texts.join("\n");
        let rendered = render_changes(&changes, &next.password).unwrap();
        let applied = admin.apply(&rendered).await;
        applied.map_err(|error| format!("check passes, and the run fails: {error}\n{texts}"))?;
        Ok(texts)
    }

    async fn proved(&self, who: &Credentials) -> Result<(), String> {
        let target = self.server.target(&self.world.databases[0]);
        let engine = &self.server.engine;
        let signed_in = engine.sign_in(&target, who, SignInChecks::default()).await;
        let user = signed_in
            .map_err(|error| format!("{:?}: {error}", who.username))?
            .user;
        if user == who.username {
            Ok(())
        } else {
            Err(format!("signed in as {user:?}"))
        }
    }

    async fn admin(&self) -> Result<Box<dyn Admin>, String> {
        let target = self.server.target(&self.world.databases[0]);
        let admin = self.server.engine.admin(&target, &self.world.master).await;
        let mut admin = admin.map_err(|error| format!("the master: {error}"))?;
        match admin.lock(&self.pair).await {
            Ok(lock) if lock.is_taken() => Ok(admin),
            other => Err(format!("the lock: {other:?}")),
        }
    }

    async fn inspect(
        &self,
        admin: &mut dyn Admin,
        next: &Credentials,
    ) -> Result<Inspection, String> {
        let request = InspectRequest {
            pair: &self.pair,
            password: Some(&next.password),
            current: Some(&self.current.password),
            tls: TlsMode::Disable,
            thorough: true,
        };
        let inspection = admin.inspect(&request).await;
        inspection.map_err(|error| format!("the inspection: {error}"))
    }

    /// Carries out a fix: its command, or what it says in words.
    async fn apply_fix(&mut self, finding: &Finding) -> Result<(), String> {
        let fix = finding
            .fix
            .clone()
            .ok_or_else(|| format!("no fix: {finding:?}"))?;
        self.fixes.push(fix.clone());
        if fix.starts_with("create another user") {
            let facts = self.facts().await;
            for user in [&self.pair.base, &self.pair.clone] {
                self.revoke_refused_roles(&facts, user).await;
            }
            return Ok(());
        }
        let (database, command) = command(&fix).ok_or_else(|| format!("{finding:?}"))?;
        let done = self.server.try_run(&database, command).await;
        done.map(drop)
            .map_err(|error| format!("the fix fails: {error}: {finding:?}"))
    }

    async fn revoke_refused_roles(&self, facts: &Facts, user: &str) {
        let database = &self.world.auth_database;
        let Some(found) = of_user(facts, database, user) else {
            return;
        };
        let is_refused = |role: &Document| {
            let name = role.get_str("role").unwrap_or_default();
            let of_admin = role.get_str("db").is_ok_and(|db| db == "admin");
            REFUSED_ROLES.contains(&name) && (of_admin || !["userAdmin", "dbOwner"].contains(&name))
        };
        let roles = found.get_array("roles").unwrap().iter();
        let roles = roles.filter_map(|role| role.as_document());
        let roles: Vec<&Document> = roles.filter(|role| is_refused(role)).collect();
        if !roles.is_empty() {
            let revoke = doc! { "revokeRolesFromUser": user, "roles": roles };
            self.server.run(database, revoke).await;
        }
    }
}

/// The database and the command of a fix in the syntax of the shell.
fn command(fix: &str) -> Option<(String, Document)> {
    let (_, rest) = fix.split_once("db.getSiblingDB(")?;
    if let Some((database, command)) = rest.split_once(").runCommand(") {
        let command = command.strip_suffix(')')?;
        let json: serde_json::Value = serde_json::from_str(command).ok()?;
        let command = mongodb::bson::serialize_to_document(&json).ok()?;
        return Some((serde_json::from_str(database).ok()?, command));
    }
    let (database, user) = rest.split_once(").dropUser(")?;
    let user: String = serde_json::from_str(user.strip_suffix(')')?).ok()?;
    Some((
        serde_json::from_str(database).ok()?,
        doc! { "dropUser": user },
    ))
}
