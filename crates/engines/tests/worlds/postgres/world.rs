//! A world: names, situation and script, determined by a seed.

use twinkey_core::secret::ExposeSecret;
use twinkey_core::secret::pair::{Pair, PairMember};
use twinkey_engines::Credentials;
use twinkey_testkit::rng::Rng;

use super::kinds::PRELUDE;
use super::server::{MASTER, Server, ident, literal, new_password};
use super::statements::Statements;

/// What there is of the pair before the first rotation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Situation {
    /// The base user is active, and there is no clone.
    BaseAlone,
    /// The base user is active, and there is a clone.
    BaseActive,
    /// The clone is active, as AWS's function leaves it.
    CloneActive,
}

/// A statement of the script. The superuser executes it.
#[derive(Debug, Clone)]
pub struct Step {
    pub kind: &'static str,
    /// Index in [`World::databases`].
    pub database: usize,
    pub sql: String,
    /// A world without it is none.
    pub required: bool,
}

pub struct World {
    pub seed: u64,
    pub situation: Situation,
    pub pair: Pair,
    /// That of the secret, another, and the superuser's.
    pub databases: [String; 3],
    /// All roles but the master and the clone.
    pub roles: Vec<String>,
    pub base: Credentials,
    pub clone: Credentials,
    pub steps: Vec<Step>,
}

impl World {
    pub fn new(server: &Server, seed: u64) -> Self {
        let rng = Rng::new(seed);
        let name = base_name(&rng, seed);
        let situation = [
            Situation::BaseAlone,
            Situation::BaseActive,
            Situation::CloneActive,
        ][usize::try_from(rng.below(3)).unwrap()];
        let mut pair = Pair::of(&name, "_clone");
        if situation == Situation::CloneActive {
            pair.active = PairMember::Clone;
        }
        let credentials = |username: &str| Credentials {
            username: username.to_owned(),
            password: new_password(),
        };
        let mut world = Self {
            seed,
            situation,
            databases: [
                format!("w{seed}_shop"),
                format!("W{seed} \"Ledger\""),
                "postgres".into(),
            ],
            roles: vec![
                pair.base.clone(),
                format!("w{seed}_third"),
                format!("W{seed} Other's"),
                format!("w{seed}_readers"),
                format!("w{seed}_owner"),
            ],
            base: credentials(&pair.base),
            clone: credentials(&pair.clone),
            pair,
            steps: Vec::new(),
        };
        world.users(server, &rng);
        world.create_databases(server, &rng);
        world
            .steps
            .extend(Statements::new(server, &world, &rng).all());
        world
    }

    pub fn active(&self) -> &Credentials {
        match self.pair.active {
            PairMember::Base => &self.base,
            PairMember::Clone => &self.clone,
        }
    }

    pub fn has_clone(&self) -> bool {
        self.situation != Situation::BaseAlone
    }

    fn required(&mut self, database: usize, sql: String) {
        self.steps.push(Step {
            kind: "world",
            database,
            sql,
            required: true,
        });
    }

    fn users(&mut self, server: &Server, rng: &Rng) {
        let mut create = Vec::new();
        let (base, clone) = (ident(&self.pair.base), ident(&self.pair.clone));
        let password = |who: &Credentials| literal(who.password.expose_secret());
        create.push(format!(
            "CREATE ROLE {base} LOGIN PASSWORD {}",
            password(&self.base)
        ));
        for (at, role) in self.roles.iter().enumerate().skip(1) {
            let login = if at < 3 {
                "LOGIN PASSWORD 'third-party'"
            } else {
                "NOLOGIN"
            };
            create.push(format!("CREATE ROLE {} {login}", ident(role)));
        }
        if self.has_clone() {
            create.push(format!(
                "CREATE ROLE {clone} LOGIN PASSWORD {}",
                password(&self.clone)
            ));
            if self.situation == Situation::CloneActive || rng.below(2) == 0 {
                create.push(format!("GRANT {base} TO {clone}"));
            }
        }
        if server.version >= 16 {
            let users = if self.has_clone() {
                vec![base, clone]
            } else {
                vec![base]
            };
            for user in users.iter().filter(|_| rng.below(8) > 0) {
                let with = "WITH ADMIN OPTION, INHERIT FALSE, SET FALSE";
                create.push(format!("GRANT {user} TO {MASTER} {with}"));
            }
        }
        for sql in create {
            self.required(2, sql);
        }
    }

    fn create_databases(&mut self, server: &Server, rng: &Rng) {
        for at in 0..2 {
            let owners = [self.roles.as_slice(), &[server.superuser().to_owned()]].concat();
            let owner = &owners[usize::try_from(rng.below(6)).unwrap()];
            let database = ident(&self.databases[at]);
            self.required(
                2,
                format!("CREATE DATABASE {database} OWNER {}", ident(owner)),
            );
            self.required(at, PRELUDE.to_owned());
            if rng.below(3) == 0 {
                let (base, clone) = (ident(&self.pair.base), ident(&self.pair.clone));
                let mut users = vec![MASTER.to_owned(), base];
                users.extend(self.has_clone().then_some(clone));
                if at == 1 {
                    users.truncate(usize::try_from(rng.below(4)).unwrap());
                }
                let mut sql = format!("REVOKE ALL ON DATABASE {database} FROM PUBLIC");
                if !users.is_empty() {
                    let users = users.join(", ");
                    sql += &format!("; GRANT CONNECT ON DATABASE {database} TO {users}");
                }
                self.required(2, sql);
            }
        }
    }

    /// The script for `psql`.
    pub fn script(&self) -> String {
        let mut text = String::new();
        let mut connected = usize::MAX;
        for step in &self.steps {
            if step.database != connected {
                connected = step.database;
                text += &format!("\\c {}\n", ident(&self.databases[connected]));
            }
            text += &format!("{};\n", step.sql);
        }
        let users = [&self.base, &self.clone];
        users.iter().fold(text, |text, who| {
            text.replace(who.password.expose_secret(), "***")
        })
    }
}

fn base_name(rng: &Rng, seed: u64) -> String {
    match rng.below(5) {
        0 => format!("w{seed}_app"),
        1 => format!("W{seed} \"App\""),
        2 => format!("w{seed}_ünï-çødé $1 \\"),
        // 63 bytes with the suffix.
        3 => format!("{:x<57}", format!("w{seed}_")),
        _ => format!("w{seed}'; DROP ROLE x; --"),
    }
}
