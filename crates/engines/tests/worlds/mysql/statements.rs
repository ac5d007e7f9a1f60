//! Random grants of a world.

use std::cell::RefCell;

use twinkey_core::secret::ExposeSecret;
use twinkey_testkit::rng::Rng;

use super::objects::{self, Kind, Object};
use super::server::{Server, account, ident, literal};
use super::world::{Step, World, some};

/// A column of every table, and one that a later statement drops.
pub const DROPPED: &str = "gone_col";

/// The privileges on columns that the grammar of both servers has.
pub const OF_COLUMNS: [&str; 4] = ["SELECT", "INSERT", "UPDATE", "REFERENCES"];

pub struct Statements<'a> {
    pub server: &'a Server,
    pub world: &'a World,
    pub rng: &'a Rng,
    pub steps: RefCell<Vec<Step>>,
    objects: RefCell<Vec<Object>>,
}

impl<'a> Statements<'a> {
    pub fn new(server: &'a Server, world: &'a World, rng: &'a Rng) -> Self {
        Self {
            server,
            world,
            rng,
            steps: RefCell::default(),
            objects: RefCell::default(),
        }
    }

    pub fn all(self) -> Vec<Step> {
        self.users();
        for number in 0..4 + self.rng.below(12) {
            let object = objects::create(&self, number);
            self.objects.borrow_mut().push(object);
        }
        for _ in 0..6 + self.rng.below(24) {
            match self.rng.below(24) {
                0..4 => self.on_object(),
                4..8 => self.on_schema(),
                8 => self.on_columns(),
                9 | 10 => self.global(),
                11 | 12 if !self.server.is_mariadb() => self.dynamic(),
                13 if !self.server.is_mariadb() => self.partial_revoke(),
                13 => self.to_public(),
                14..17 => self.role(),
                17 => self.proxy(),
                18 => self.default_role(),
                19 | 20 => self.settings(),
                21 => self.of_other_sessions(),
                22 => self.base_as_object(),
                _ => self.unusual(),
            }
        }
        for object in self.objects.borrow().iter() {
            if let Some(sql) = objects::after(&self, object) {
                self.push("dropped", sql);
                let object = Some(object.granted.clone());
                self.steps.borrow_mut().last_mut().unwrap().object = object;
            }
        }
        self.steps.into_inner()
    }

    pub fn chance(&self, of: u64) -> bool {
        self.rng.below(of) == 0
    }

    pub fn push(&self, kind: &'static str, sql: String) {
        self.step(kind, sql, false, false);
    }

    pub fn step(&self, kind: &'static str, sql: String, oracle: bool, required: bool) {
        self.steps.borrow_mut().push(Step {
            kind,
            sql,
            object: None,
            oracle,
            required,
        });
    }

    pub fn one_of<'b>(&self, all: &'b [String]) -> &'b str {
        &all[usize::try_from(self.rng.below(all.len() as u64)).unwrap()]
    }

    fn users(&self) {
        let world = self.world;
        let required = |sql: String| self.step("user", sql, false, true);
        for schema in &world.schemas {
            required(format!("CREATE DATABASE {}", ident(schema)));
        }
        for role in &world.roles {
            required(format!("CREATE ROLE {role}"));
        }
        let password = literal(world.base.password.expose_secret());
        for (at, name) in world.of_base().iter().enumerate() {
            let other = format!("Other-consumer-{}", world.seed);
            let is_other = at > 0 && self.chance(16);
            let password = if is_other {
                literal(&other)
            } else {
                password.clone()
            };
            let how = if self.server.is_mariadb() && self.chance(8) {
                format!("VIA ed25519 USING PASSWORD({password})")
            } else {
                format!("BY {password}")
            };
            required(format!("CREATE USER {name} IDENTIFIED {how}"));
        }
        for name in world.of_clone() {
            let password = literal(&format!("Clone-password-{}", world.seed));
            required(format!("CREATE USER {name} IDENTIFIED BY {password}"));
        }
        for other in &world.others {
            required(format!("CREATE USER {other} IDENTIFIED BY 'Third-party-1'"));
        }
    }

    /// The base user in most cases.
    pub fn grantee(&self) -> String {
        let clone = self.world.of_clone();
        match self.rng.below(12) {
            0 => self.one_of(&self.world.others).to_owned(),
            1 | 2 => self.one_of(&self.world.roles).to_owned(),
            3 if !clone.is_empty() => self.one_of(&clone).to_owned(),
            _ => self.one_of(&self.world.of_base()).to_owned(),
        }
    }

    fn option(&self, which: &str) -> String {
        if self.chance(4) {
            format!(" WITH {which} OPTION")
        } else {
            String::new()
        }
    }

    fn list(&self, all: &[String]) -> String {
        match self.rng.below(8) {
            0 => "ALL PRIVILEGES".to_owned(),
            1 => "USAGE".to_owned(),
            _ => some(self.rng, all, 4).join(", "),
        }
    }

    pub fn object(&self) -> Object {
        let objects = self.objects.borrow();
        objects[usize::try_from(self.rng.below(objects.len() as u64)).unwrap()].clone()
    }

    fn on_object(&self) {
        let object = self.object();
        let privileges = &self.server.privileges;
        let (list, kind) = match object.kind {
            Kind::Table | Kind::View => (self.list(&privileges.table), "table grant"),
            Kind::Sequence => (self.list(&privileges.table), "sequence grant"),
            Kind::Routine => (self.list(&privileges.routine), "routine grant"),
            Kind::Package => ("EXECUTE".to_owned(), "package grant"),
            Kind::Library => ("EXECUTE".to_owned(), "library grant"),
            Kind::Other => return,
        };
        let (to, option) = (self.grantee(), self.option("GRANT"));
        let sql = format!("GRANT {list} ON {} TO {to}{option}", object.granted);
        self.step(kind, sql, object.kind == Kind::Package, false);
    }

    fn on_columns(&self) {
        let object = self.object();
        if !matches!(object.kind, Kind::Table | Kind::View) {
            return;
        }
        let columns = ["id", "`od``d c`", "NOTE", DROPPED];
        let list = |privilege: &str| {
            let columns = some(self.rng, &columns[..3], 2);
            let dropped = if self.chance(4) && object.drops_column {
                ", gone_col"
            } else {
                ""
            };
            format!("{privilege} ({}{dropped})", columns.join(", "))
        };
        let privileges: Vec<String> = some(self.rng, &OF_COLUMNS, 3)
            .into_iter()
            .map(list)
            .collect();
        let (to, option) = (self.grantee(), self.option("GRANT"));
        let sql = format!(
            "GRANT {} ON {} TO {to}{option}",
            privileges.join(", "),
            object.granted
        );
        self.push("column grant", sql);
    }

    fn on_schema(&self) {
        let schema = self.one_of(&self.world.schemas).to_owned();
        let escaped = schema.replace('\\', "\\\\");
        let escaped = escaped.replace('_', "\\_").replace('%', "\\%");
        let pattern = match self.rng.below(6) {
            0 => schema,
            // Patterns whose first wildcard is at one place have no order.
            1 => format!("w{}xs%", self.world.seed),
            2 => format!("w{}_shop", self.world.seed),
            3 => format!("w{}\\_no\\_such", self.world.seed),
            _ => escaped,
        };
        let (to, option) = (self.grantee(), self.option("GRANT"));
        let list = self.list(&self.server.privileges.schema);
        let sql = format!("GRANT {list} ON {}.* TO {to}{option}", ident(&pattern));
        self.push("schema grant", sql);
    }

    fn global(&self) {
        let list = some(self.rng, &self.server.privileges.global, 8).join(", ");
        let list = if self.chance(4) {
            "USAGE".to_owned()
        } else {
            list
        };
        let (to, option) = (self.grantee(), self.option("GRANT"));
        self.push(
            "global grant",
            format!("GRANT {list} ON *.* TO {to}{option}"),
        );
    }

    fn dynamic(&self) {
        let list = some(self.rng, &self.server.privileges.dynamic, 12).join(", ");
        let (to, option) = (self.grantee(), self.option("GRANT"));
        self.push(
            "dynamic grant",
            format!("GRANT {list} ON *.* TO {to}{option}"),
        );
    }

    /// From here on `_` and `%` in the names of schemas are literal.
    fn partial_revoke(&self) {
        let (to, names) = (self.grantee(), &self.server.privileges.table);
        let list = some(self.rng, names, 3);
        let schema = ident(self.one_of(&self.world.schemas));
        let revoked = some(self.rng, &list, 2).join(", ");
        self.push("mode", "SET GLOBAL partial_revokes = ON".to_owned());
        self.push(
            "global grant",
            format!("GRANT {} ON *.* TO {to}", list.join(", ")),
        );
        self.push(
            "partial revoke",
            format!("REVOKE {revoked} ON {schema}.* FROM {to}"),
        );
    }

    fn to_public(&self) {
        let object = self.object();
        let sql = match object.kind {
            Kind::Table | Kind::View => format!("GRANT SELECT ON {} TO PUBLIC", object.granted),
            Kind::Routine => format!("GRANT EXECUTE ON {} TO PUBLIC", object.granted),
            _ => {
                let (role, option) = (self.one_of(&self.world.roles), self.option("ADMIN"));
                let sql = format!("GRANT {role} TO PUBLIC{option}");
                return self.push("public role", sql);
            }
        };
        self.push("public grant", sql);
    }

    fn role(&self) {
        let role = self.one_of(&self.world.roles);
        let (to, option) = (self.grantee(), self.option("ADMIN"));
        self.push("role grant", format!("GRANT {role} TO {to}{option}"));
    }

    fn proxy(&self) {
        let of = match self.rng.below(4) {
            0 => account("", ""),
            1 => account("nobody", "10.0.0.1"),
            _ => self.one_of(&self.world.others).to_owned(),
        };
        let (to, option) = (self.grantee(), self.option("GRANT"));
        self.push(
            "proxy grant",
            format!("GRANT PROXY ON {of} TO {to}{option}"),
        );
    }
}
