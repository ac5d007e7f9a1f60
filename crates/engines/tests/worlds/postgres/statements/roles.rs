//! Statements about roles, parameters and databases.

use super::super::server::{MASTER, ident, literal};
use super::Statements;

/// Names of parameters and values, of which superusers may set the last ones.
const SETTINGS: [(&str, &str); 11] = [
    ("work_mem", "'5MB'"),
    ("statement_timeout", "'31s'"),
    ("search_path", "'$user', 'public', 'A, \"b'"),
    ("DateStyle", "'German'"),
    ("default_transaction_isolation", "'serializable'"),
    ("row_security", "'on'"),
    ("temp_tablespaces", "''"),
    ("myapp.tenant", "'x y'"),
    ("log_min_messages", "'error'"),
    ("lc_messages", "'C'"),
    ("session_replication_role", "'origin'"),
];

impl Statements<'_> {
    pub(super) fn setting(&self) {
        let (name, value) = self.pick(&SETTINGS);
        let database = ident(&self.world.databases[self.database()]);
        let role = self.role();
        let of = match self.rng.below(4) {
            0 => format!("ROLE {role} IN DATABASE {database}"),
            1 if !name.contains('_') => format!("DATABASE {database}"),
            _ => format!("ROLE {role}"),
        };
        let sql = if self.chance(4) {
            let owner = &self.world.roles[4];
            let chosen = if self.chance(2) {
                owner
            } else {
                self.pick(&self.world.roles)
            };
            let member = format!("GRANT {} TO {}", ident(owner), ident(&self.world.pair.base));
            self.push("membership", 2, member);
            format!("ALTER {of} SET role = {}", literal(chosen))
        } else {
            format!("ALTER {of} SET {} TO {value}", ident(name))
        };
        self.push("setting", 2, sql);
    }

    pub(super) fn membership(&self) {
        let member = self.role();
        let role = match self.rng.below(3) {
            0 => self.pick(&self.server.predefined_roles).clone(),
            _ => self.role(),
        };
        let yes = |on: bool| if on { "TRUE" } else { "FALSE" };
        let with = if self.server.version >= 16 && self.chance(2) {
            let (inherit, set) = (yes(!self.chance(3)), yes(!self.chance(3)));
            format!(
                " WITH ADMIN {}, INHERIT {inherit}, SET {set}",
                yes(self.chance(3))
            )
        } else if self.chance(3) {
            " WITH ADMIN OPTION".into()
        } else {
            String::new()
        };
        self.push("membership", 2, format!("GRANT {role} TO {member}{with}"));
        let admin = with.contains("ADMIN TRUE") || with.contains("ADMIN OPTION");
        if admin && self.chance(2) {
            let on = format!("GRANT {role} TO {}", self.role());
            self.push("membership by a member", 2, self.as_role(&member, &on));
        }
    }

    pub(super) fn attributes(&self) {
        let attribute = self.pick(&[
            "CREATEDB",
            "CREATEROLE",
            "BYPASSRLS",
            "NOINHERIT",
            "CONNECTION LIMIT 7",
            "VALID UNTIL '2091-02-03 04:05:06+00'",
            "CONNECTION LIMIT 9",
        ]);
        self.push(
            "attributes",
            2,
            format!("ALTER ROLE {} {attribute}", self.role()),
        );
    }

    pub(super) fn parameter_grant(&self) {
        let name = self.pick(&[
            "log_min_messages",
            "myapp.tenant",
            "session_replication_role",
        ]);
        let privilege = self.pick(&self.server.privileges[&'p']);
        let master = self.chance(3).then(|| MASTER.to_owned());
        let to = master.unwrap_or_else(|| self.grantee());
        self.push(
            "parameter grant",
            2,
            format!("GRANT {privilege} ON PARAMETER {name} TO {to}"),
        );
    }

    pub(super) fn user_mapping(&self) {
        let user = if self.chance(4) {
            "PUBLIC".into()
        } else {
            self.role()
        };
        let sql = format!("CREATE USER MAPPING FOR {user} SERVER srv0 OPTIONS (\"user\" 'x')");
        self.push("user mapping", self.database(), sql);
    }

    pub(super) fn database_grant(&self) {
        let at = self.database();
        let on = ident(&self.world.databases[at]);
        let privilege = self.pick(&self.server.privileges[&'d']);
        let with = if self.chance(4) {
            " WITH GRANT OPTION"
        } else {
            ""
        };
        let sql = format!(
            "GRANT {privilege} ON DATABASE {on} TO {}{with}",
            self.role()
        );
        self.push("database grant", at, sql);
    }

    pub(super) fn comment(&self) {
        self.push(
            "comment",
            2,
            format!("COMMENT ON ROLE {} IS 'it''s'", self.role()),
        );
    }
}
