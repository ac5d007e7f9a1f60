//! The properties of one world.

mod compare;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use sqlx::postgres::PgConnection;
use twinkey_core::secret::pair::{Pair, PairMember};
use twinkey_engines::Credentials;

use super::catalog::{self, Catalog, Facts, What};
use super::effective::{self, Capabilities};
use super::report::Report;
use super::rotation::{self, Run};
use super::rules::Rules;
use super::server::{Server, execute, ident};
use super::transcript::{self, Transcript};
use super::world::{Situation, World};

/// The state of a world at one moment.
struct State {
    facts: Facts,
    capabilities: Capabilities,
    /// Of the active user.
    transcript: Transcript,
}

impl State {
    fn has_own_memberships(&self, pair: &Pair) -> bool {
        self.facts.iter().any(|fact| match &fact.what {
            What::Row(row) if fact.table == "pg_auth_members" => {
                let row: serde_json::Value = serde_json::from_str(row).unwrap_or_default();
                row["member"] == pair.clone[..] && row["roleid"] != pair.base[..]
            }
            _ => false,
        })
    }
}

struct Check<'a> {
    server: &'a Server,
    world: World,
    superusers: [PgConnection; 2],
    catalogs: Vec<Catalog>,
    report: Report,
    violations: Vec<String>,
    /// A fix was applied in this round.
    fixed: bool,
}

/// Creates the world of a seed, rotates in it, and checks the properties. A world that fails prints
/// its script.
pub async fn check(server: &Server, seed: u64) -> Report {
    let mut world = World::new(server, seed);
    let mut report = Report::default();
    create(server, &mut world, &mut report).await;
    let connect = async |at: usize| server.connect(&world.databases[at], None).await.unwrap();
    let mut superusers = [connect(0).await, connect(1).await];
    let catalogs = catalog::catalogs(&mut superusers[0]).await;
    let mut check = Check {
        server,
        world,
        superusers,
        catalogs,
        report,
        violations: Vec::new(),
        fixed: false,
    };
    check.rotate_there_and_back().await;
    if !check.violations.is_empty() {
        let world = &check.world;
        eprintln!(
            "WORLD {seed} ON POSTGRESQL {}: {:?}, {:?}\n{}\n{}\nTWINKEY_WORLD_SEED={seed} TWINKEY_WORLDS=1 repeats it\n",
            server.version,
            world.situation,
            world.pair,
            world.script(),
            first(&check.violations)
        );
        check.report.failed.push(seed);
    }
    let Check { report, world, .. } = check;
    drop_databases(server, &world).await;
    report
}

/// The first violations: often one cause has hundreds.
fn first(violations: &[String]) -> String {
    let shown: Vec<&str> = violations.iter().map(String::as_str).take(12).collect();
    format!("{}\n({} in all)", shown.join("\n"), violations.len())
}

/// Executes the script; what the server refuses is no part of the world.
async fn create(server: &Server, world: &mut World, report: &mut Report) {
    let mut connections = BTreeMap::new();
    let mut kept = Vec::new();
    for step in std::mem::take(&mut world.steps) {
        let database = &world.databases[step.database];
        let connection = match connections.entry(step.database) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => entry.insert(server.connect(database, None).await.unwrap()),
        };
        match execute(connection, &step.sql).await {
            Ok(()) => {
                report.statements.entry(step.kind).or_default()[0] += 1;
                kept.push(step);
            }
            Err(error) => {
                assert!(!step.required, "{}: {error}", step.sql);
                if std::env::var_os("TWINKEY_WORLD_REFUSED").is_some() {
                    eprintln!("{}: {error}", step.sql);
                }
                report.statements.entry(step.kind).or_default()[1] += 1;
                execute(connection, "ROLLBACK").await.unwrap();
            }
        }
    }
    world.steps = kept;
}

async fn drop_databases(server: &Server, world: &World) {
    let mut superuser = server.connect("postgres", None).await.unwrap();
    for database in &world.databases[..2] {
        let drop = format!("DROP DATABASE {} WITH (FORCE)", ident(database));
        // A database with a subscription stays.
        drop_if_possible(&mut superuser, &drop).await;
    }
}

async fn drop_if_possible(superuser: &mut PgConnection, drop: &str) {
    if let Err(error) = execute(superuser, drop).await {
        assert!(
            error.to_string().contains("subscription"),
            "{drop}: {error}"
        );
    }
}

impl Check<'_> {
    async fn rotate_there_and_back(&mut self) {
        let mut pair = self.world.pair.clone();
        let mut current = self.world.active().clone();
        let mut before: Option<State> = None;
        // The first rotation of an adopted pair changes the base user only.
        let settled = if self.world.situation == Situation::CloneActive {
            2
        } else {
            1
        };
        for round in 0..=settled {
            if self.apply_fixes(&pair, &current).await.is_none() {
                return;
            }
            let was = match before.take() {
                Some(state) if !self.fixed => state,
                _ => self.state(&current).await,
            };
            let next = match self.run(&pair, &current, false).await {
                Run::Rotated(next) => next,
                Run::Refused(findings) => {
                    self.violations
                        .push(format!("refused after a check: {findings:?}"));
                    return;
                }
                Run::Failed(error) => return self.violations.push(error),
                Run::Checked => return,
            };
            let now = self.state(&next).await;
            self.report.rotations += 1;
            self.compare_catalog(&pair, &was.facts, &now.facts).await;
            self.compare_capabilities(&pair, &was, &now);
            if round == 0 && pair.active == PairMember::Clone {
                self.compare_sessions(&pair, &was, &now);
            }
            self.compare_transcripts(&pair, round, &was, &now);
            if round == settled {
                let (was, now) = (
                    self.without_passwords(&was.facts),
                    self.without_passwords(&now.facts),
                );
                for fact in was.symmetric_difference(&now) {
                    self.violations
                        .push(format!("a settled pair changed: {fact:?}"));
                }
            }
            if !self.violations.is_empty() {
                self.violations.insert(0, format!("in round {round}:"));
                return;
            }
            before = Some(now);
            current = next;
            pair.active = pair.active.other();
        }
    }

    /// `who`: the active user.
    async fn state(&mut self, who: &Credentials) -> State {
        let mut roles = self.world.roles.clone();
        roles.push(self.world.pair.clone.clone());
        let superusers = &mut self.superusers;
        State {
            facts: catalog::facts(superusers, &self.catalogs).await,
            capabilities: effective::capabilities(self.server, superusers, &self.catalogs, &roles)
                .await,
            transcript: transcript::record(self.server, &self.world, superusers, who).await,
        }
    }

    async fn run(&self, pair: &Pair, current: &Credentials, only_check: bool) -> Run {
        rotation::run(self.server, &self.world, pair, current, only_check).await
    }

    /// Applies the fixes of refusals, until there is none.
    async fn apply_fixes(&mut self, pair: &Pair, current: &Credentials) -> Option<()> {
        self.fixed = false;
        let mut last = Vec::new();
        for _ in 0..8 {
            match self.run(pair, current, true).await {
                Run::Failed(error) => {
                    self.violations.push(error);
                    return None;
                }
                Run::Refused(findings) => {
                    self.fixed = true;
                    last.clone_from(&findings);
                    for finding in findings {
                        let code = finding
                            .code
                            .map_or_else(String::new, |code| code.to_string());
                        *self.report.refusals.entry(code).or_default() += 1;
                        let fixed =
                            rotation::fix(&self.world, &mut self.superusers, &finding).await;
                        if let Err(error) = fixed {
                            self.violations.push(format!("{finding:?}: {error}"));
                            return None;
                        }
                    }
                }
                _ => return Some(()),
            }
        }
        self.violations
            .push("the fixes do not end the refusals".into());
        None
    }

    async fn compare_catalog(&mut self, pair: &Pair, before: &Facts, after: &Facts) {
        let owners = self.owners(pair, before);
        let rules = Rules {
            pair,
            before,
            after,
            owners: &owners,
        };
        for (how, fact) in rules.violations() {
            let described = catalog::describe(&mut self.superusers[fact.database], &fact).await;
            self.violations
                .push(format!("{how}: {described}: {fact:?}"));
        }
    }

    /// Roles that can become the owner of the clone's objects.
    fn owners(&self, pair: &Pair, facts: &Facts) -> Vec<String> {
        let roles = self.world.roles.iter();
        let owners = roles.filter(|role| **role == pair.base || is_chosen(role, facts));
        owners.cloned().collect()
    }
}

/// Whether a setting chooses this role for sessions.
fn is_chosen(role: &str, facts: &Facts) -> bool {
    let setting = serde_json::Value::from(format!("role={role}"));
    facts.iter().any(|fact| match &fact.what {
        What::Row(row) if fact.table == "pg_db_role_setting" => {
            let row: serde_json::Value = serde_json::from_str(row).unwrap_or_default();
            let settings = row["setconfig"].as_array();
            settings.is_some_and(|settings| settings.contains(&setting))
        }
        _ => false,
    })
}
