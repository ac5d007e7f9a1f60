//! Random statements about the roles and objects of a world.

mod roles;

use std::cell::RefCell;

use twinkey_testkit::rng::Rng;

use super::kinds::{KINDS, Kind};
use super::server::{Server, ident};
use super::world::{Step, World};

/// An object of the world.
struct Object {
    database: usize,
    kind: &'static Kind,
    /// In `GRANT … ON`, and the kind of its privileges.
    grant: Option<(String, char)>,
    owner: String,
}

pub struct Statements<'a> {
    server: &'a Server,
    world: &'a World,
    rng: &'a Rng,
    steps: RefCell<Vec<Step>>,
    objects: RefCell<Vec<Object>>,
    /// Schemas of both databases.
    schemas: RefCell<[Vec<String>; 2]>,
}

impl<'a> Statements<'a> {
    pub fn new(server: &'a Server, world: &'a World, rng: &'a Rng) -> Self {
        let public = || vec!["public".to_owned()];
        Self {
            server,
            world,
            rng,
            steps: RefCell::default(),
            objects: RefCell::default(),
            schemas: RefCell::new([public(), public()]),
        }
    }

    pub fn all(self) -> Vec<Step> {
        for number in 0..10 + self.rng.below(30) {
            self.object(number);
            for _ in 0..self.rng.below(3) {
                self.grant();
            }
            match self.rng.below(14) {
                0 => self.column_grant(),
                1 => self.default_privileges(),
                2 | 3 => self.setting(),
                4 | 5 => self.membership(),
                6 => self.attributes(),
                7 => self.policy(number),
                8 => self.parameter_grant(),
                9 => self.user_mapping(),
                10 => self.database_grant(),
                11 => self.comment(),
                _ => {}
            }
        }
        self.steps.into_inner()
    }

    fn chance(&self, one_in: u64) -> bool {
        self.rng.below(one_in) == 0
    }

    fn pick<'b, T>(&self, all: &'b [T]) -> &'b T {
        let length = u64::try_from(all.len()).unwrap();
        &all[usize::try_from(self.rng.below(length)).unwrap()]
    }

    fn database(&self) -> usize {
        usize::from(self.chance(4))
    }

    fn push(&self, kind: &'static str, database: usize, sql: String) {
        let required = false;
        self.steps.borrow_mut().push(Step {
            kind,
            database,
            sql,
            required,
        });
    }

    /// Any role, quoted: often one of the pair.
    fn role(&self) -> String {
        let world = self.world;
        if world.has_clone() && self.chance(3) {
            return ident(&world.pair.clone);
        }
        if self.chance(3) {
            return ident(&world.pair.base);
        }
        ident(self.pick::<String>(&world.roles))
    }

    fn grantee(&self) -> String {
        match self.rng.below(8) {
            0 => "PUBLIC".into(),
            1 => format!("{}, {}", self.role(), self.role()),
            _ => self.role(),
        }
    }

    fn object(&self, number: u64) {
        let database = self.database();
        let kind = self.pick(&KINDS);
        let schema = self.pick(&self.schemas.borrow()[database]).clone();
        let quoted = self.chance(3);
        let seed = self.world.seed;
        let name = if quoted {
            format!("W{seed} O\"{number}")
        } else {
            format!("w{seed}_o{number}")
        };
        let fill = |template: &str| {
            template
                .replace("{o}", &format!("{}.{}", ident(&schema), ident(&name)))
                .replace("{s}", &ident(&schema))
                .replace("{n}", &ident(&name))
                .replace("{i}", &number.to_string())
                .replace(
                    "{p}",
                    &"<>~&#".repeat(3)[..3 + usize::try_from(number % 10).unwrap()],
                )
                .replace(
                    "{e}",
                    ["citext", "hstore", "pg_trgm"][usize::try_from(number % 3).unwrap()],
                )
        };
        let mut owner = self.role();
        let create = fill(kind.create);
        match (kind.name, kind.alter) {
            ("extension", _) => {
                let here = ident(&self.world.databases[database]);
                self.push(kind.name, database, format!(
                    "GRANT CREATE ON DATABASE {here} TO {owner}; BEGIN; SET LOCAL ROLE {owner}; {create}; COMMIT"
                ));
            }
            (_, "") => owner = ident(self.server.superuser()),
            (_, alter) => {
                self.push(kind.name, database, create);
                if kind.superuser_only && !self.chance(4) {
                    owner = ident(self.server.superuser());
                } else {
                    let alter = format!("ALTER {} OWNER TO {owner}", fill(alter));
                    let sql = if kind.superuser_only {
                        format!(
                            "ALTER ROLE {owner} SUPERUSER; {alter}; ALTER ROLE {owner} NOSUPERUSER"
                        )
                    } else {
                        alter
                    };
                    self.push(kind.name, database, sql);
                }
            }
        }
        if kind.name == "schema" {
            self.schemas.borrow_mut()[database].push(name.clone());
        }
        let grant = kind.grant.map(|(object, letter)| (fill(object), letter));
        self.objects.borrow_mut().push(Object {
            database,
            kind,
            grant,
            owner,
        });
    }

    /// `with`: runs the grant as this role, which then is the grantor.
    fn as_role(&self, role: &str, sql: &str) -> String {
        format!("BEGIN; SET LOCAL ROLE {role}; {sql}; COMMIT")
    }

    fn grant(&self) {
        let objects = self.objects.borrow();
        let object = self.pick(&objects);
        let Some((on, letter)) = &object.grant else {
            return;
        };
        let privilege = self.pick(&self.server.privileges[letter]);
        let privilege = if self.chance(4) { "ALL" } else { privilege };
        let grantee = self.grantee();
        let option = self.chance(4) && !grantee.contains("PUBLIC");
        let with = if option { " WITH GRANT OPTION" } else { "" };
        self.push(
            "grant",
            object.database,
            format!("GRANT {privilege} ON {on} TO {grantee}{with}"),
        );
        // The grantee hands it on.
        if option && self.chance(2) && !grantee.contains(',') {
            let on = format!("GRANT {privilege} ON {on} TO {}", self.grantee());
            self.push(
                "grant of a grantee",
                object.database,
                self.as_role(&grantee, &on),
            );
        }
        if self.chance(12) && object.owner != ident(self.server.superuser()) {
            let revoke = format!("REVOKE {privilege} ON {on} FROM {}", object.owner);
            self.push("revoke from the owner", object.database, revoke);
        }
        if self.chance(6) {
            let revoke = format!("REVOKE ALL ON {on} FROM PUBLIC");
            self.push("revoke from PUBLIC", object.database, revoke);
        }
    }

    fn column_grant(&self) {
        let objects = self.objects.borrow();
        let relations = objects.iter().filter(|o| o.kind.create.contains("note"));
        let relations: Vec<&Object> = relations.collect();
        let Some(object) = relations.first().map(|_| self.pick(&relations)) else {
            return;
        };
        let Some((on, _)) = &object.grant else { return };
        let privilege = self.pick(&["SELECT", "INSERT", "UPDATE", "REFERENCES"]);
        let grantee = self.grantee();
        let with = if self.chance(4) && !grantee.contains("PUBLIC") {
            " WITH GRANT OPTION"
        } else {
            ""
        };
        let sql = format!("GRANT {privilege} (note) ON {on} TO {grantee}{with}");
        self.push("column grant", object.database, sql);
    }

    fn default_privileges(&self) {
        let database = self.database();
        let mut kinds = vec![
            ("TABLES", 'r'),
            ("SEQUENCES", 's'),
            ("ROUTINES", 'f'),
            ("TYPES", 'T'),
        ];
        let schema = self.pick(&self.schemas.borrow()[database]).clone();
        let schema = if self.chance(2) {
            format!(" IN SCHEMA {}", ident(&schema))
        } else {
            String::new()
        };
        if schema.is_empty() {
            kinds.push(("SCHEMAS", 'n'));
            kinds.extend((self.server.version >= 18).then_some(("LARGE OBJECTS", 'L')));
        }
        let (objects, letter) = self.pick(&kinds);
        let privilege = self.pick(&self.server.privileges[letter]);
        let of = self.role();
        let grantee = self.grantee();
        let sql = format!(
            "ALTER DEFAULT PRIVILEGES FOR ROLE {of}{schema} GRANT {privilege} ON {objects} TO {grantee}"
        );
        self.push("default privileges", database, sql);
    }

    fn policy(&self, number: u64) {
        let objects = self.objects.borrow();
        let is_table = |o: &&Object| {
            o.kind.name.ends_with("table") && o.kind.create.starts_with("CREATE TABLE")
        };
        let tables: Vec<&Object> = objects.iter().filter(is_table).collect();
        let Some(object) = tables.first().map(|_| self.pick(&tables)) else {
            return;
        };
        let Some((on, _)) = &object.grant else { return };
        let using = self.pick(&["true", "note = current_user", "id > 0"]);
        let force = if self.chance(2) { "FORCE" } else { "ENABLE" };
        let restrictive = if self.chance(4) {
            "AS RESTRICTIVE "
        } else {
            ""
        };
        let on_table = on.trim_start_matches("TABLE ");
        let sql = format!(
            "CREATE POLICY p{number} ON {on_table} {restrictive}TO {} USING ({using}); \
             ALTER {on} ENABLE ROW LEVEL SECURITY; ALTER {on} {force} ROW LEVEL SECURITY",
            self.grantee()
        );
        self.push("policy", object.database, sql);
    }
}
