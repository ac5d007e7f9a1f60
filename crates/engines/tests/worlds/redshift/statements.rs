//! The script of a world: users, objects, grants and settings, at random.

use twinkey_core::secret::Sensitive;
use twinkey_engines::Credentials;
use twinkey_testkit::aws::redshift::HOME;
use twinkey_testkit::rng::Rng;

use super::server::{DATABASES, MASTER, literal, quoted};
use super::world::{Step, World};

pub const CASE: &str = "SET enable_case_sensitive_identifier TO true";

/// A table, view or routine. Its name is quoted and has its schema.
#[derive(Debug, Clone)]
struct Object {
    kind: &'static str,
    database: &'static str,
    name: String,
    /// A quoted name, if not the superuser's.
    owner: Option<String>,
}

/// The kinds of objects, with their statements. `{n}` is the name.
const KINDS: [(&str, &str); 8] = [
    (
        "TABLE",
        "CREATE TABLE {n} (id int, \"Od d\" int, note varchar(20))",
    ),
    (
        "VIEW",
        "CREATE VIEW {n} AS SELECT 1 AS id, 2 AS \"Od d\", 3 AS note",
    ),
    (
        "LATE BINDING VIEW",
        "CREATE VIEW {n} AS SELECT 1 AS id, 2 AS \"Od d\", 3 AS note WITH NO SCHEMA BINDING",
    ),
    (
        "MATERIALIZED VIEW",
        "CREATE MATERIALIZED VIEW {n} AS SELECT 1 AS id, 2 AS \"Od d\", 3 AS note",
    ),
    (
        "FUNCTION",
        "CREATE FUNCTION {n}(int, varchar) RETURNS int STABLE AS $$ SELECT 42 $$ LANGUAGE sql",
    ),
    (
        "PROCEDURE",
        "CREATE PROCEDURE {n}() AS $$ BEGIN END $$ LANGUAGE plpgsql",
    ),
    (
        "MODEL",
        "CREATE MODEL {n} FROM t TARGET id FUNCTION {f} IAM_ROLE default",
    ),
    (
        "TABLE",
        "CREATE TABLE {n} (id int, \"Od d\" int, note varchar(20))",
    ),
];

const ON_TABLES: [&str; 8] = [
    "SELECT",
    "INSERT",
    "UPDATE",
    "DELETE",
    "REFERENCES",
    "TRUNCATE",
    "DROP",
    "ALTER",
];

/// Settings, with their values.
const SETTINGS: [&str; 8] = [
    "search_path TO \"$user\", \"public\"",
    "search_path TO 'a b', 'Ü'",
    "query_group TO 'it''s quick'",
    "statement_timeout TO 60000",
    "datestyle TO 'ISO, DMY'",
    "timezone TO 'Europe/Berlin'",
    "enable_case_sensitive_identifier TO true",
    "wlm_query_slot_count TO 3",
];

pub struct Script<'a> {
    world: &'a World,
    rng: &'a Rng,
    objects: Vec<Object>,
    steps: Vec<Step>,
}

impl<'a> Script<'a> {
    pub fn new(world: &'a World, rng: &'a Rng) -> Self {
        Self {
            world,
            rng,
            objects: Vec::new(),
            steps: Vec::new(),
        }
    }

    pub fn all(mut self) -> Vec<Step> {
        self.identities();
        for database in DATABASES {
            for schema in &self.world.schemas {
                let schema = quoted(schema);
                let create = format!("CREATE SCHEMA {schema}");
                self.required("schema", database, create);
                let users = self.world.others.map_names();
                let usage = format!("GRANT USAGE ON SCHEMA {schema} TO {users}");
                self.required("schema", database, usage);
            }
        }
        for number in 0..4 + self.rng.below(6) {
            self.object(number);
        }
        for _ in 0..10 + self.rng.below(30) {
            match self.rng.below(24) {
                0..5 => self.on_object(),
                5 | 6 => self.on_columns(),
                7 => self.on_all_tables(),
                8 | 9 => self.on_schema(),
                10 => self.on_database(),
                11 => self.on_language(),
                12 | 13 => self.role(),
                14 => self.group(),
                15..18 => self.defaults(),
                18 | 19 => self.attributes(),
                20 => self.setting(),
                21 => self.owner(),
                22 => self.by_another_grantor(),
                _ => self.unusual(),
            }
        }
        self.steps
    }

    fn chance(&self, of: u64) -> bool {
        self.rng.below(of) == 0
    }

    fn one_of<'b, T>(&self, all: &'b [T]) -> &'b T {
        &all[usize::try_from(self.rng.below(all.len() as u64)).unwrap()]
    }

    fn one_name(&self, all: &[String]) -> String {
        let name: &String = self.one_of(all);
        quoted(name)
    }

    fn some(&self, all: &[&str]) -> String {
        let some: Vec<&str> = all.iter().filter(|_| self.chance(3)).copied().collect();
        if some.is_empty() {
            (*self.one_of(all)).to_owned()
        } else {
            some.join(", ")
        }
    }

    fn step(
        &mut self,
        kind: &'static str,
        database: &'static str,
        user: Option<&str>,
        sql: String,
    ) {
        self.steps.push(Step {
            kind,
            database,
            user: user.map(str::to_owned),
            sqls: vec![CASE.to_owned(), sql],
            is_raw: false,
            required: false,
        });
    }

    fn push(&mut self, kind: &'static str, database: &'static str, sql: String) {
        self.step(kind, database, None, sql);
    }

    fn required(&mut self, kind: &'static str, database: &'static str, sql: String) {
        self.push(kind, database, sql);
        self.steps.last_mut().unwrap().required = true;
    }

    fn raw(&mut self, kind: &'static str, database: &'static str, sqls: Vec<String>) {
        self.steps.push(Step {
            kind,
            database,
            user: None,
            sqls,
            is_raw: true,
            required: true,
        });
    }

    fn identities(&mut self) {
        let world = self.world;
        let is_sha256 = self.chance(4);
        let standby = Credentials {
            username: world.pair.standby_user().to_owned(),
            password: Sensitive::from("The-standby-before-1".to_owned()),
        };
        let mut users = vec![world.current.clone()];
        if world.has_both {
            users.push(standby);
        }
        for who in users {
            let digest = World::digest(&who, is_sha256);
            let name = quoted(&who.username);
            let create = format!("CREATE USER {name} PASSWORD '{digest}'");
            self.required("user", HOME, create);
        }
        for name in &world.others {
            let create = format!("CREATE USER {} PASSWORD DISABLE", quoted(name));
            self.required("user", HOME, create);
        }
        for name in &world.groups {
            self.required("group", HOME, format!("CREATE GROUP {}", quoted(name)));
        }
        for name in &world.roles {
            self.required("role", HOME, format!("CREATE ROLE {}", quoted(name)));
        }
    }

    /// A user of the pair in most cases.
    fn user(&self) -> String {
        let pair = &self.world.pair;
        let name = match self.rng.below(10) {
            0 => self.one_of(&self.world.others).as_str(),
            1 | 2 if self.world.has_both => pair.standby_user(),
            _ => pair.active_user(),
        };
        quoted(name)
    }

    fn grantee(&self) -> String {
        match self.rng.below(10) {
            0 => format!("GROUP {}", self.one_name(&self.world.groups)),
            1 => format!("ROLE {}", self.one_name(&self.world.roles)),
            2 if self.chance(3) => "PUBLIC".to_owned(),
            _ if self.chance(4) => format!("{} WITH GRANT OPTION", self.user()),
            _ => self.user(),
        }
    }

    fn object(&mut self, number: u64) {
        let (kind, create) = *self.one_of(&KINDS);
        let database = *self.one_of(&DATABASES);
        let schema = self.one_name(&self.world.schemas);
        let bare = if self.chance(3) {
            format!("\"O{number} é\"\"x\"")
        } else {
            format!("o{number}")
        };
        let name = format!("{schema}.{bare}");
        let function = format!("f{number}");
        let create = create.replace("{n}", &name).replace("{f}", &function);
        self.push(kind, database, create);
        self.objects.push(Object {
            kind,
            database,
            name,
            owner: None,
        });
        if kind == "FUNCTION" || kind == "PROCEDURE" {
            let revoke = format!(
                "REVOKE EXECUTE ON {} FROM PUBLIC",
                self.on(self.objects.len() - 1)
            );
            self.push("revoke", database, revoke);
        }
    }

    /// The object in a GRANT.
    fn on(&self, at: usize) -> String {
        let Object { kind, name, .. } = &self.objects[at];
        match *kind {
            "FUNCTION" => format!("FUNCTION {name}(int, varchar)"),
            "PROCEDURE" => format!("PROCEDURE {name}()"),
            "MODEL" => format!("MODEL {name}"),
            _ => format!("TABLE {name}"),
        }
    }

    fn any_object(&self) -> usize {
        usize::try_from(self.rng.below(self.objects.len() as u64)).unwrap()
    }

    fn privileges_on(&self, kind: &str) -> String {
        match kind {
            "FUNCTION" | "PROCEDURE" | "MODEL" => "EXECUTE".to_owned(),
            "TABLE" if self.chance(6) => "ALL".to_owned(),
            "TABLE" => self.some(&ON_TABLES),
            _ => self.some(&["SELECT", "DROP"]),
        }
    }

    fn on_object(&mut self) {
        let at = self.any_object();
        let Object { kind, database, .. } = self.objects[at];
        let sql = format!(
            "GRANT {} ON {} TO {}",
            self.privileges_on(kind),
            self.on(at),
            self.grantee()
        );
        self.push("grant on an object", database, sql);
    }

    fn on_columns(&mut self) {
        let at = self.any_object();
        let Object { kind, database, .. } = self.objects[at];
        if kind != "TABLE" {
            return;
        }
        let columns = self.some(&["id", "\"Od d\"", "note"]);
        let privilege = self.one_of(&["SELECT", "UPDATE"]);
        let sql = format!(
            "GRANT {privilege} ({columns}) ON {} TO {}",
            self.on(at),
            self.user()
        );
        self.push("grant on columns", database, sql);
    }

    fn on_all_tables(&mut self) {
        let (database, schema) = (*self.one_of(&DATABASES), self.one_of(&self.world.schemas));
        let sql = format!(
            "GRANT SELECT ON ALL TABLES IN SCHEMA {} TO {}",
            quoted(schema),
            self.grantee()
        );
        self.push("grant on all tables", database, sql);
    }

    fn on_schema(&mut self) {
        let (database, schema) = (*self.one_of(&DATABASES), self.one_of(&self.world.schemas));
        let list = self.some(&["USAGE", "CREATE", "ALTER", "DROP"]);
        let sql = format!(
            "GRANT {list} ON SCHEMA {} TO {}",
            quoted(schema),
            self.grantee()
        );
        self.push("grant on a schema", database, sql);
    }

    fn on_database(&mut self) {
        let database = *self.one_of(&DATABASES);
        if self.chance(4) {
            let sql = format!("GRANT CREATE MODEL TO {}", self.user());
            return self.push("grant of CREATE MODEL", database, sql);
        }
        let list = self.some(&["CREATE", "TEMP", "ALTER"]);
        let sql = format!("GRANT {list} ON DATABASE {database} TO {}", self.grantee());
        // The stand-in shows ALTER where it was granted, and the engine reads the secret's database.
        self.push("grant on a database", HOME, sql);
    }

    fn on_language(&mut self) {
        let language = self.one_of(&["plpythonu", "plpgsql"]);
        let sql = format!("GRANT USAGE ON LANGUAGE {language} TO {}", self.grantee());
        let database = *self.one_of(&DATABASES);
        self.push("grant on a language", database, sql);
    }

    fn role(&mut self) {
        let roles = &self.world.roles;
        let role = self.one_name(roles);
        let (kind, sql) = match self.rng.below(6) {
            0 => {
                let nested = quoted(&roles[2]);
                (
                    "role of a role",
                    format!("GRANT ROLE {nested} TO ROLE {}", quoted(&roles[0])),
                )
            }
            1 => {
                let system = self.one_of(&["CREATE USER", "ACCESS SYSTEM TABLE", "CREATE SCHEMA"]);
                ("system privilege", format!("GRANT {system} TO ROLE {role}"))
            }
            2 => {
                let sql = format!("GRANT ROLE {role} TO {} WITH ADMIN OPTION", self.user());
                ("role with option", sql)
            }
            _ => (
                "role of a user",
                format!("GRANT ROLE {role} TO {}", self.user()),
            ),
        };
        self.push(kind, HOME, sql);
    }

    fn group(&mut self) {
        let group = self.one_name(&self.world.groups);
        let sql = format!("ALTER GROUP {group} ADD USER {}", self.user());
        self.push("group member", HOME, sql);
    }

    fn defaults(&mut self) {
        let database = *self.one_of(&DATABASES);
        let owner = match self.rng.below(3) {
            0 => MASTER.to_owned(),
            1 => self.one_name(&self.world.others),
            _ => self.user(),
        };
        let schema = if self.chance(2) {
            format!(" IN SCHEMA {}", self.one_name(&self.world.schemas))
        } else {
            String::new()
        };
        let grant = match self.rng.below(3) {
            0 => "EXECUTE ON FUNCTIONS".to_owned(),
            1 => "EXECUTE ON PROCEDURES".to_owned(),
            _ => format!("{} ON TABLES", self.some(&ON_TABLES[..6])),
        };
        let sql = format!(
            "ALTER DEFAULT PRIVILEGES FOR USER {owner}{schema} GRANT {grant} TO {}",
            self.grantee()
        );
        self.push("default privileges", database, sql);
    }

    fn attributes(&mut self) {
        let clause = *self.one_of(&[
            "CREATEDB",
            "NOCREATEDB",
            "CONNECTION LIMIT 7",
            "CONNECTION LIMIT UNLIMITED",
            "SESSION TIMEOUT 600",
            "SYSLOG ACCESS UNRESTRICTED",
            "SYSLOG ACCESS RESTRICTED",
            "VALID UNTIL '2099-01-02 03:04:05'",
            "VALID UNTIL 'infinity'",
        ]);
        let sql = format!("ALTER USER {} {clause}", self.user());
        self.push("attribute", HOME, sql);
    }

    fn setting(&mut self) {
        let setting = self.one_of(&SETTINGS);
        let sql = format!("ALTER USER {} SET {setting}", self.user());
        self.push("setting", HOME, sql);
    }

    /// Users of the pair, or others, own objects.
    fn owner(&mut self) {
        let owner = self.user();
        if self.chance(4) {
            let (database, schema) = (*self.one_of(&DATABASES), self.one_of(&self.world.schemas));
            let sql = format!("ALTER SCHEMA {} OWNER TO {owner}", quoted(schema));
            return self.push("owner of a schema", database, sql);
        }
        let at = self.any_object();
        let Object { kind, database, .. } = self.objects[at];
        if kind == "MODEL" {
            return;
        }
        let sql = format!("ALTER {} OWNER TO {owner}", self.on(at));
        self.push("owner of an object", database, sql);
        self.objects[at].owner = Some(owner);
    }

    /// A user that owns nothing hands on what it holds with its grant option.
    fn by_another_grantor(&mut self) {
        let at = self.any_object();
        let Object { kind, database, .. } = self.objects[at];
        let lender = self.world.others[1].clone();
        let privilege = if matches!(kind, "FUNCTION" | "PROCEDURE") {
            "EXECUTE"
        } else if kind == "MODEL" {
            return;
        } else {
            "SELECT"
        };
        let lend = format!(
            "GRANT {privilege} ON {} TO {} WITH GRANT OPTION",
            self.on(at),
            quoted(&lender)
        );
        self.push("grant option", database, lend);
        let sql = format!("GRANT {privilege} ON {} TO {}", self.on(at), self.grantee());
        self.step("grant of another grantor", database, Some(&lender), sql);
    }

    /// What no run copies, and what refuses a run.
    fn unusual(&mut self) {
        let active = self.world.pair.active_user().to_owned();
        match self.rng.below(8) {
            0 if self.chance(2) => {
                let sql = format!("ALTER USER {} CREATEUSER", quoted(&active));
                self.push("superuser", HOME, sql);
            }
            1 => {
                let name = literal(&active);
                let insert = format!(
                    "INSERT INTO pg_stand_in.policies VALUES ('rls', 'p', 's', 't', {name})"
                );
                let database = *self.one_of(&DATABASES);
                self.raw("row policy", database, vec![insert]);
            }
            2 => {
                let name = literal(&active);
                let insert = format!(
                    "INSERT INTO pg_stand_in.shared VALUES ('sales', 'public', 'orders', 'SELECT', {name})"
                );
                self.raw("shared object", HOME, vec![insert]);
                let sql = format!("GRANT USAGE ON DATABASE sales TO {}", quoted(&active));
                self.push("shared database", HOME, sql);
            }
            3 => self.weak_master(),
            _ => {
                let at = self.any_object();
                let Object { kind, database, .. } = self.objects[at];
                let user = self.user();
                // An owner can grant itself again what was revoked from it.
                if self.objects[at].owner.as_ref() == Some(&user) {
                    return;
                }
                let sql = format!(
                    "REVOKE {} ON {} FROM {}",
                    self.privileges_on(kind),
                    self.on(at),
                    user
                );
                self.push("revoke", database, sql);
            }
        }
    }

    /// A master that is no superuser, with some of the rights that it needs.
    fn weak_master(&mut self) {
        let mut all = vec!["NOCREATEUSER"];
        if self.chance(2) {
            all.push("SYSLOG ACCESS UNRESTRICTED");
        }
        for clause in all {
            self.push("master", HOME, format!("ALTER USER {MASTER} {clause}"));
        }
        for role in ["sys:secadmin", "sys:monitor"] {
            if self.chance(2) {
                self.push("master", HOME, format!("GRANT ROLE \"{role}\" TO {MASTER}"));
            }
        }
    }
}

trait MapNames {
    fn map_names(&self) -> String;
}

impl MapNames for [String; 2] {
    fn map_names(&self) -> String {
        self.iter()
            .map(|name| quoted(name))
            .collect::<Vec<_>>()
            .join(", ")
    }
}
