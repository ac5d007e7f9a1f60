//! A world: names, users, roles and script, determined by a seed.

use mongodb::bson::{Bson, Document, doc};
use twinkey_core::secret::pair::{Pair, PairMember};
use twinkey_core::secret::{ExposeSecret, Sensitive};
use twinkey_engines::Credentials;
use twinkey_testkit::rng::Rng;

use super::server::{SHA_1, SHA_256, Server};

pub const MASTER: &str = "world_master";

/// A command of the script. The superuser runs it.
#[derive(Debug, Clone)]
pub struct Step {
    pub kind: &'static str,
    pub database: String,
    pub command: Document,
    /// A world without it is none.
    pub required: bool,
}

pub struct World {
    pub seed: u64,
    pub pair: Pair,
    /// Of the active user.
    pub current: Credentials,
    pub master: Credentials,
    /// The first one is the secret's.
    pub databases: [String; 3],
    /// The database that defines the pair's users.
    pub auth_database: String,
    /// Of the active user.
    pub mechanisms: Vec<&'static str>,
    /// The relay follows the rules of Amazon DocumentDB.
    pub is_documentdb: bool,
    roles: Vec<(String, String)>,
    others: Vec<(String, String)>,
    pub steps: Vec<Step>,
}

/// Actions of custom roles, on a collection, a database, all of them, or the cluster.
const ACTIONS: [&str; 12] = [
    "find",
    "insert",
    "update",
    "remove",
    "createCollection",
    "createIndex",
    "dropIndex",
    "listCollections",
    "collStats",
    "dbStats",
    "killCursors",
    "changeStream",
];
const CLUSTER_ACTIONS: [&str; 5] = ["listDatabases", "serverStatus", "inprog", "top", "getLog"];

fn base_name(rng: &Rng, seed: u64) -> String {
    match rng.below(8) {
        0 => format!("W{seed} App"),
        1 => format!(r#"w{seed}a"b'}}); c\"#),
        2 => format!("w{seed}ünï-☃"),
        3 => format!("w{seed}$where.a..b$"),
        _ => format!("w{seed}_app"),
    }
}

struct Script<'a> {
    rng: &'a Rng,
    server: &'a Server,
    steps: Vec<Step>,
}

impl World {
    pub fn new(server: &Server, seed: u64) -> Self {
        let rng = Rng::new(seed);
        let is_documentdb = rng.below(3) == 0;
        let mut pair = Pair::of(&base_name(&rng, seed), "_clone");
        let has_both = rng.below(2) == 0;
        if has_both && rng.below(2) == 0 {
            pair.active = PairMember::Clone;
        }
        let databases = [
            format!("w{seed}_shop"),
            format!("w{seed}_stock"),
            format!("W{seed}-x"),
        ];
        let in_own = !is_documentdb && rng.below(4) == 0;
        let mechanisms = match rng.below(3) {
            0 => vec![SHA_1],
            1 => vec![SHA_256],
            _ => vec![SHA_1, SHA_256],
        };
        let password = |of: &str| Sensitive::from(format!("{of}-password-{seed}"));
        let mut world = Self {
            seed,
            current: Credentials {
                username: pair.active_user().to_owned(),
                password: password("Active"),
            },
            master: Credentials {
                username: MASTER.into(),
                password: password("Master"),
            },
            auth_database: if in_own { &databases[0] } else { "admin" }.to_owned(),
            databases,
            mechanisms,
            is_documentdb,
            roles: Vec::new(),
            others: Vec::new(),
            pair,
            steps: Vec::new(),
        };
        world.write(server, &rng, has_both);
        world
    }

    fn write(&mut self, server: &Server, rng: &Rng, has_both: bool) {
        let mut script = Script {
            rng,
            server,
            steps: Vec::new(),
        };
        for database in &self.databases {
            let insert = doc! { "insert": "things", "documents": [{ "_id": 1, "n": 1 }] };
            script.push("collection", database, insert, true);
        }
        self.roles = script.custom_roles(self);
        script.master(self);
        let active = self.current.clone();
        let mechanisms = self.mechanisms.clone();
        script.user(self, &active, &self.auth_database, &mechanisms, true);
        if has_both {
            let standby = Credentials {
                username: self.pair.standby_user().to_owned(),
                password: Sensitive::from("the-standby-before"),
            };
            // The server keeps the mechanisms of a user.
            let other = rng.below(10) == 0;
            let mechanisms = if other { vec![SHA_256] } else { mechanisms };
            script.user(self, &standby, &self.auth_database, &mechanisms, true);
        }
        self.others = self.third_parties(rng);
        for (database, name) in self.others.clone() {
            let who = Credentials {
                username: name,
                password: Sensitive::from("Third-party-1"),
            };
            script.user(self, &who, &database, &[SHA_256], false);
        }
        for _ in 0..rng.below(6) {
            script.later(self);
        }
        self.steps = script.steps;
    }

    /// Users of others, with the base user's name where twinkey does not look for it, too.
    fn third_parties(&self, rng: &Rng) -> Vec<(String, String)> {
        let mut all = vec![
            ("admin".to_owned(), format!("w{}_third", self.seed)),
            ("admin".to_owned(), self.pair.base.clone() + "2"),
        ];
        if !self.is_documentdb {
            let [own, other, _] = &self.databases;
            all.push((own.clone(), format!("w{}_fourth", self.seed)));
            all.push((other.clone(), self.pair.base.clone()));
            // A duplicate, which a run refuses.
            if rng.below(12) == 0 {
                let in_admin = self.auth_database == "admin";
                let database = if in_admin { own } else { "admin" };
                all.push((database.to_owned(), self.pair.clone.clone()));
            }
        }
        all
    }

    pub fn users_in_admin(&self) -> Vec<String> {
        let others = self.others.iter().map(|(_, name)| name.clone());
        let own = [&self.pair.base, &self.pair.clone].map(Clone::clone);
        others.chain(own).chain([MASTER.to_owned()]).collect()
    }

    pub fn script(&self) -> String {
        let header = format!(
            "// world {}: {:?} in {:?}, rules of DocumentDB: {}",
            self.seed, self.pair, self.auth_database, self.is_documentdb
        );
        let lines = self.steps.iter().map(|step| {
            let command = serde_json::to_string(&step.command).unwrap();
            format!("db.getSiblingDB({:?}).runCommand({command})", step.database)
        });
        [header]
            .into_iter()
            .chain(lines)
            .collect::<Vec<_>>()
            .join("\n")
    }
}

pub fn role(name: &str, database: &str) -> Document {
    doc! { "role": name, "db": database }
}

impl Script<'_> {
    fn push(&mut self, kind: &'static str, database: &str, command: Document, required: bool) {
        self.steps.push(Step {
            kind,
            database: database.to_owned(),
            command,
            required,
        });
    }

    fn one_of<'b, T>(&self, all: &'b [T]) -> &'b T {
        &all[usize::try_from(self.rng.below(all.len() as u64)).unwrap()]
    }

    fn some<'b>(&self, all: &'b [&'b str]) -> Vec<&'b str> {
        let some = all.iter().filter(|_| self.rng.below(3) == 0);
        some.copied().collect()
    }

    /// Roles with privileges and inherited roles. A later one may inherit an earlier one.
    fn custom_roles(&mut self, world: &World) -> Vec<(String, String)> {
        let mut all: Vec<(String, String)> = Vec::new();
        for number in 0..self.rng.below(5) {
            let of_database = self.rng.below(2) == 0;
            let database = if of_database {
                self.one_of(&world.databases).clone()
            } else {
                "admin".to_owned()
            };
            let name = match self.rng.below(3) {
                0 => format!(r#"r{number} "x"'$.é"#),
                _ => format!("w{}_role{number}", world.seed),
            };
            let mut inherited = Vec::new();
            if self.rng.below(3) == 0 && !all.is_empty() {
                let (db, name) = self.one_of(&all);
                inherited.push(role(name, db));
            }
            if self.rng.below(4) == 0 {
                let db = self.one_of(&world.databases);
                let name = *self.one_of(&["read", "readWrite", "dbAdmin"]);
                inherited.push(role(name, db));
            }
            let privileges: Vec<Document> = (0..self.rng.below(3))
                .map(|_| self.privilege(world, of_database, &database))
                .collect();
            let create = doc! { "createRole": &name, "privileges": privileges, "roles": inherited };
            self.push("custom role", &database, create, true);
            all.push((database, name));
        }
        all
    }

    fn privilege(&self, world: &World, of_database: bool, database: &str) -> Document {
        let actions = [self.some(&ACTIONS), vec!["find"]].concat();
        // A role of a database has privileges there only.
        let db = if of_database {
            database.to_owned()
        } else {
            self.one_of(&world.databases).clone()
        };
        match self.rng.below(5) {
            0 => doc! { "resource": { "db": db, "collection": "things" }, "actions": actions },
            1 if !of_database => {
                let actions = [self.some(&CLUSTER_ACTIONS), vec!["serverStatus"]].concat();
                doc! { "resource": { "cluster": true }, "actions": actions }
            }
            2 if !of_database => {
                doc! { "resource": { "db": "", "collection": "" }, "actions": actions }
            }
            _ => doc! { "resource": { "db": db, "collection": "" }, "actions": actions },
        }
    }

    /// A master with the documented roles, with a part of them, or with the narrow ones of MongoDB.
    fn master(&mut self, world: &World) {
        let lock = role("readWrite", "twinkey");
        let roles = match self.rng.below(12) {
            0 => vec![lock],
            1 => vec![role("userAdminAnyDatabase", "admin")],
            2 if !world.is_documentdb => {
                let mut all = vec![lock, role("userAdmin", "admin")];
                for database in &world.databases {
                    if self.rng.below(2) == 0 {
                        all.push(role("userAdmin", database));
                    }
                }
                all
            }
            3 => vec![role("dbOwner", "admin"), lock],
            _ => vec![
                role("userAdminAnyDatabase", "admin"),
                role("clusterMonitor", "admin"),
                lock,
            ],
        };
        let create = doc! {
            "createUser": MASTER, "pwd": world.master.password.expose_secret(), "roles": roles,
            "mechanisms": [SHA_1, SHA_256],
        };
        self.push("master", "admin", create, true);
    }

    fn user(
        &mut self,
        world: &World,
        who: &Credentials,
        database: &str,
        mechanisms: &[&str],
        required: bool,
    ) {
        let roles: Vec<Bson> = (0..self.rng.below(5))
            .map(|_| self.role(world).into())
            .collect();
        let mut create = doc! {
            "createUser": &who.username, "pwd": who.password.expose_secret(), "roles": roles,
            "mechanisms": mechanisms,
        };
        if self.rng.below(4) == 0 {
            create.insert("customData", self.custom_data());
        }
        if !world.is_documentdb && self.rng.below(4) == 0 {
            create.insert("authenticationRestrictions", self.restrictions());
        }
        self.push("user", database, create, required);
    }

    fn custom_data(&self) -> Document {
        match self.rng.below(3) {
            0 => doc! {},
            1 => doc! { "team": "orders", "n": 1, "nested": { "a": [1, Bson::Null, "x\"y"] } },
            _ => doc! { "é": true, "long": 9_007_199_254_740_993_i64, "half": 0.5 },
        }
    }

    fn restrictions(&self) -> Vec<Document> {
        let client = doc! { "clientSource": ["127.0.0.1", "10.0.0.0/8"] };
        match self.rng.below(3) {
            0 => Vec::new(),
            1 => vec![client],
            _ => vec![client, doc! { "serverAddress": ["127.0.0.1"] }],
        }
    }

    /// A role of the world or one that the server's catalogue lists.
    fn role(&self, world: &World) -> Document {
        if self.rng.below(2) == 0 && !world.roles.is_empty() {
            let (database, name) = self.one_of(&world.roles);
            return role(name, database);
        }
        let name = self.one_of(&self.server.built_in);
        let is_of_admin = name.contains("Any") || name.starts_with("cluster");
        let is_of_admin = is_of_admin || ["backup", "restore", "root"].contains(&name.as_str());
        // Roles that refuse a run are rare, because the same refusal follows.
        let is_refused = ["root", "restore", "userAdminAnyDatabase"].contains(&name.as_str());
        if is_refused && self.rng.below(3) > 0 || world.is_documentdb && name == "userAdmin" {
            return role("read", &world.databases[1]);
        }
        let database = if is_of_admin || self.rng.below(12) == 0 {
            "admin"
        } else {
            self.one_of(&world.databases)
        };
        role(name, database)
    }

    /// Changes after the creation.
    fn later(&mut self, world: &World) {
        let pair = [&world.pair.base, &world.pair.clone];
        let user = *self.one_of(&pair);
        let database = world.auth_database.clone();
        match self.rng.below(5) {
            0 | 1 => {
                let grant = doc! { "grantRolesToUser": user, "roles": [self.role(world)] };
                self.push("grant", &database, grant, false);
            }
            2 => {
                let revoke = doc! { "revokeRolesFromUser": user, "roles": [self.role(world)] };
                self.push("revoke", &database, revoke, false);
            }
            3 => {
                let update = doc! { "updateUser": user, "customData": self.custom_data() };
                // The relay stores fields of any name.
                if user == world.pair.active_user() {
                    self.push("custom data", &database, update, false);
                }
            }
            _ if !world.roles.is_empty() => {
                let (database, name) = self.one_of(&world.roles).clone();
                let privilege = self.privilege(world, true, &database);
                let grant = doc! { "grantPrivilegesToRole": name, "privileges": [privilege] };
                self.push("privilege of a role", &database, grant, false);
            }
            _ => {}
        }
    }
}
