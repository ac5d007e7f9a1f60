//! Random settings of accounts, and what other accounts have to do with the pair.

use twinkey_core::secret::ExposeSecret;

use super::objects::Kind;
use super::server::{account, literal};
use super::statements::Statements;
use super::world::pick;

impl Statements<'_> {
    pub fn default_role(&self) {
        let role = self.one_of(&self.world.roles);
        let to = self.one_of(&self.world.of_base()).to_owned();
        self.push("role grant", format!("GRANT {role} TO {to}"));
        let sql = if self.server.is_mariadb() {
            format!("SET DEFAULT ROLE {role} FOR {to}")
        } else {
            let role = if self.chance(2) { "ALL" } else { role };
            format!("ALTER USER {to} DEFAULT ROLE {role}")
        };
        self.push("default role", sql);
    }

    /// Clauses of `ALTER USER` for accounts of the pair and others.
    pub fn settings(&self) {
        let mut clauses = vec![
            "REQUIRE SSL",
            "REQUIRE NONE",
            "WITH MAX_QUERIES_PER_HOUR 90000",
            "WITH MAX_UPDATES_PER_HOUR 80000 MAX_CONNECTIONS_PER_HOUR 7000",
            "WITH MAX_USER_CONNECTIONS 60",
            "PASSWORD EXPIRE INTERVAL 90 DAY",
            "PASSWORD EXPIRE NEVER",
            "PASSWORD EXPIRE DEFAULT",
        ];
        if self.server.is_mariadb() {
            clauses.extend([
                "WITH MAX_STATEMENT_TIME 2.5",
                "WITH MAX_STATEMENT_TIME 0.000001e7",
            ]);
        } else {
            clauses.extend([
                "FAILED_LOGIN_ATTEMPTS 3 PASSWORD_LOCK_TIME UNBOUNDED",
                "FAILED_LOGIN_ATTEMPTS 4 PASSWORD_LOCK_TIME 2",
                "PASSWORD HISTORY 5",
                "PASSWORD REUSE INTERVAL 30 DAY",
                "PASSWORD REQUIRE CURRENT",
                "PASSWORD REQUIRE CURRENT OPTIONAL",
                r#"COMMENT 'it''s "a" \ comment'"#,
                r#"ATTRIBUTE '{"a": {"b": [1, null, "x''y\\z"], "c": 1.50}, "Ü": true}'"#,
                r#"ATTRIBUTE '{"a": null, "comment": "é"}'"#,
            ]);
        }
        let to = self.grantee();
        let clause = pick(self.rng, &clauses);
        self.push("account setting", format!("ALTER USER {to} {clause}"));
    }

    /// Clauses that keep the test from signing in, for accounts that the server does not select.
    pub fn of_other_sessions(&self) {
        let base = self.world.of_base();
        let Some(to) = base.get(1) else { return };
        let clause = pick(
            self.rng,
            &[
                "ACCOUNT LOCK",
                "PASSWORD EXPIRE",
                "REQUIRE X509",
                r"REQUIRE SUBJECT '/CN=it''s\a' AND ISSUER '/CN=i' AND CIPHER 'c'",
                "WITH MAX_USER_CONNECTIONS 1",
            ],
        );
        self.push("account restriction", format!("ALTER USER {to} {clause}"));
    }

    /// Other accounts have grants about the base user.
    pub fn base_as_object(&self) {
        let base = self.one_of(&self.world.of_base()).to_owned();
        let other = self.one_of(&self.world.others);
        if self.server.is_mariadb() || self.chance(2) {
            self.push(
                "proxy for the pair",
                format!("GRANT PROXY ON {base} TO {other}"),
            );
        } else {
            let (kind, sql) = if self.chance(2) {
                ("pair as role", format!("GRANT {base} TO {other}"))
            } else {
                ("user as role", format!("GRANT {other} TO {base}"))
            };
            self.push(kind, sql);
        }
    }

    /// Situations that stop a run, or change the meaning of all accounts.
    pub fn unusual(&self) {
        let world = self.world;
        let base = self.one_of(&world.of_base()).to_owned();
        let mariadb = self.server.is_mariadb();
        match self.rng.below(8) {
            0 if self.chance(3) => {
                self.push("administrator", format!("GRANT SUPER ON *.* TO {base}"))
            }
            1 if self.chance(3) => {
                let how = if mariadb {
                    "VIA unix_socket"
                } else {
                    "WITH sha256_password BY 'x'"
                };
                if let Some(other) = world.of_base().get(1) {
                    self.push(
                        "other method",
                        format!("ALTER USER {other} IDENTIFIED {how}"),
                    );
                }
            }
            2 => {
                let role = &world.roles[2];
                self.push(
                    "role of a role",
                    format!("GRANT {role} TO {}", world.roles[0]),
                );
            }
            3 if !mariadb => {
                let role = literal(&world.roles[0]);
                self.push("mode", format!("SET GLOBAL mandatory_roles = {role}"));
            }
            4 if !mariadb => {
                let password = literal(&format!("Newer-password-{}", world.seed));
                for clone in world.of_clone() {
                    let sql = format!(
                        "ALTER USER {clone} IDENTIFIED BY {password} RETAIN CURRENT PASSWORD"
                    );
                    self.push("retained password", sql);
                }
            }
            5 => {
                let host = "surplus.example";
                let clone = account(&world.pair.clone, host);
                let password = literal(world.base.password.expose_secret());
                self.push(
                    "surplus account",
                    format!("CREATE USER {clone} IDENTIFIED BY {password}"),
                );
            }
            6 => {
                let clone = account(&world.pair.clone, "consumer.example");
                if self.chance(4) {
                    self.push(
                        "other consumer",
                        format!("CREATE USER {clone} IDENTIFIED BY 'x-1'"),
                    );
                }
            }
            _ => {
                let object = self.object();
                if object.kind == Kind::Table {
                    let granted = format!("GRANT SELECT, INSERT ON {} TO {base}", object.granted);
                    self.push("table grant", granted);
                    let sql = format!("REVOKE SELECT ON {} FROM {base}", object.granted);
                    self.push("revoke", sql);
                }
            }
        }
    }
}
