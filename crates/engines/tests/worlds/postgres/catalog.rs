//! The whole catalogue of a server as a set of facts, without the facts that change by themselves.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row};

/// A fact about one row of a catalogue.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fact {
    /// Index of the database; 0 for catalogues that all databases share.
    pub database: usize,
    pub table: String,
    /// The row's OID, or what else identifies it.
    pub key: String,
    pub what: What,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// Everything else, as JSON; roles by name.
    Row(String),
    Owner(String),
    Password(Option<String>),
    Privilege {
        grantor: String,
        grantee: String,
        privilege: String,
        grantable: bool,
    },
}

pub type Facts = BTreeSet<Fact>;

/// A catalogue, and its columns of special types.
#[derive(Debug, Clone)]
pub struct Catalog {
    pub name: String,
    shared: bool,
    columns: Vec<String>,
    first_oid: Option<String>,
    pub privileges: Vec<String>,
    pub roles: Vec<String>,
    pub owner: Option<String>,
}

/// Catalogues that follow from others, or hold statistics.
const DERIVED: [&str; 3] = ["pg_statistic", "pg_statistic_ext_data", "pg_shdepend"];

/// Read as a whole; of the others, the rows of users.
const WHOLE: [&str; 6] = [
    "pg_authid",
    "pg_auth_members",
    "pg_database",
    "pg_db_role_setting",
    "pg_parameter_acl",
    "pg_tablespace",
];

/// Columns that the server changes by itself, or that have facts of their own.
const OMITTED: [&str; 10] = [
    "relpages",
    "reltuples",
    "relallvisible",
    "relallfrozen",
    "relfrozenxid",
    "relminmxid",
    "datfrozenxid",
    "datminmxid",
    "rolpassword",
    "attmissingval",
];

/// The catalogues of the server.
pub async fn catalogs(connection: &mut PgConnection) -> Vec<Catalog> {
    let query = "SELECT c.relname::text, c.relisshared, \
           ARRAY(SELECT attname::text FROM pg_attribute a WHERE attrelid = c.oid AND attnum > 0 \
               AND NOT attisdropped ORDER BY attnum), \
           ARRAY(SELECT attname::text FROM pg_attribute a WHERE attrelid = c.oid AND attnum > 0 \
               AND atttypid = 'aclitem[]'::regtype), \
           ARRAY(SELECT k.fkcols[1] FROM pg_get_catalog_foreign_keys() k WHERE k.fktable = c.oid \
               AND k.pktable = 'pg_authid'::regclass), \
           (SELECT attname::text FROM pg_attribute a WHERE attrelid = c.oid AND attnum > 0 \
               AND atttypid IN ('oid'::regtype, 'regproc'::regtype) \
               ORDER BY attname NOT IN ('oid', 'objid', 'objoid'), attnum LIMIT 1) \
         FROM pg_class c WHERE relnamespace = 'pg_catalog'::regnamespace AND relkind = 'r' ORDER BY 1";
    let rows = sqlx::query(query).fetch_all(connection).await.unwrap();
    let catalog = |row: sqlx::postgres::PgRow| {
        let roles: Vec<String> = row.get(4);
        let is_owner = |column: &&String| column.ends_with("owner") || *column == "datdba";
        Catalog {
            name: row.get(0),
            shared: row.get(1),
            columns: row.get(2),
            privileges: row.get(3),
            owner: roles.iter().find(is_owner).cloned(),
            roles,
            first_oid: row.get(5),
        }
    };
    let all = rows.into_iter().map(catalog);
    all.filter(|c| !DERIVED.contains(&c.name.as_str()))
        .collect()
}

impl Catalog {
    /// Privileges that the catalogue leaves out are the defaults (`acldefault`).
    fn explicit(&self, acl: &str) -> String {
        let kind = match self.name.as_str() {
            "pg_class" => "CASE x.relkind WHEN 'S' THEN 's'::\"char\" ELSE 'r' END",
            "pg_proc" => "'f'",
            "pg_type" => "'T'",
            "pg_language" => "'l'",
            "pg_namespace" => "'n'",
            "pg_database" => "'d'",
            "pg_tablespace" => "'t'",
            "pg_foreign_data_wrapper" => "'F'",
            "pg_foreign_server" => "'S'",
            "pg_largeobject_metadata" => "'L'",
            _ => return format!("x.{acl}"),
        };
        let owner = self.owner.as_deref().unwrap_or_default();
        format!("coalesce(x.{acl}, acldefault({kind}, x.{owner}))")
    }

    /// Rows of: catalogue, key, kind of fact, and its values.
    fn query(&self) -> String {
        let has = |column: &str| self.columns.iter().any(|c| c == column);
        let of_users = match &self.first_oid {
            _ if WHOLE.contains(&self.name.as_str()) => "true".to_owned(),
            Some(oid) => {
                let owner = self
                    .owner
                    .iter()
                    .map(|owner| format!(" OR x.{owner} <> 10"));
                let acl = self
                    .privileges
                    .iter()
                    .map(|acl| format!(" OR x.{acl} IS NOT NULL"));
                let more: String = owner.chain(acl).collect();
                format!("(x.{oid}::oid >= 16384{more})")
            }
            None => "true".to_owned(),
        };
        let roles: Vec<&String> = self
            .roles
            .iter()
            .filter(|role| Some(*role) != self.owner.as_ref() && *role != "polroles")
            .collect();
        let omitted: Vec<String> = OMITTED
            .iter()
            .map(|c| (*c).to_owned())
            .chain(self.privileges.iter().cloned())
            .chain(self.owner.iter().cloned())
            .chain(roles.iter().map(|c| (*c).clone()))
            .map(|column| format!("'{column}'"))
            .collect();
        let name = |oid: &str| format!("(SELECT rolname::text FROM pg_authid WHERE oid = {oid})");
        let named: Vec<String> = roles
            .iter()
            .map(|c| format!("'{c}', {}", name(&format!("x.{c}"))))
            .collect();
        let json = format!(
            "(to_jsonb(x) - ARRAY[{}] || jsonb_build_object({}))::text",
            omitted.join(", "),
            named.join(", ")
        );
        let catalog = format!("'{}'", self.name);
        let key = if has("oid") {
            "x.oid::text".to_owned()
        } else if self.name == "pg_attribute" {
            "x.attrelid || '.' || x.attnum".to_owned()
        } else {
            json.clone()
        };
        let table = format!("pg_catalog.{} x WHERE {of_users}", self.name);
        let mut parts = vec![format!(
            "SELECT {catalog}, {key}, 'row', {json}, NULL::text, NULL::text, NULL::boolean FROM {table}"
        )];
        if let Some(owner) = &self.owner {
            let owner = name(&format!("x.{owner}"));
            parts.push(format!(
                "SELECT {catalog}, {key}, 'owner', {owner}, NULL, NULL, NULL FROM {table}"
            ));
        }
        if has("rolpassword") {
            parts.push(format!(
                "SELECT {catalog}, {key}, 'password', rolpassword, NULL, NULL, NULL FROM {table}"
            ));
        }
        for acl in &self.privileges {
            parts.push(format!(
                "SELECT {catalog}, {key}, 'privilege', {}, coalesce({}, 'PUBLIC'), e.privilege_type, e.is_grantable \
                 FROM pg_catalog.{} x, aclexplode({}) e WHERE {of_users}",
                name("e.grantor"),
                name("e.grantee"),
                self.name,
                self.explicit(acl)
            ));
        }
        parts.join(" UNION ALL ")
    }
}

/// The facts in the databases of these connections.
pub async fn facts(connections: &mut [PgConnection], catalogs: &[Catalog]) -> Facts {
    let mut all = Facts::new();
    for (database, connection) in connections.iter_mut().enumerate() {
        let read = catalogs.iter().filter(|c| database == 0 || !c.shared);
        let query: Vec<String> = read.map(Catalog::query).collect();
        let query = query.join(" UNION ALL ");
        let rows = sqlx::query(AssertSqlSafe(query.clone()))
            .fetch_all(connection)
            .await;
        let rows = rows.unwrap_or_else(|error| panic!("{error}: {query}"));
        all.extend(rows.iter().map(|row| fact(database, row)));
    }
    all
}

fn fact(database: usize, row: &sqlx::postgres::PgRow) -> Fact {
    let text: Option<String> = row.get(3);
    Fact {
        database,
        table: row.get(0),
        key: row.get(1),
        what: match row.get::<&str, _>(2) {
            "row" => What::Row(text.unwrap_or_default()),
            "owner" => What::Owner(text.unwrap_or_default()),
            "password" => What::Password(text),
            _ => What::Privilege {
                grantor: text.unwrap_or_default(),
                grantee: row.get(4),
                privilege: row.get(5),
                grantable: row.get(6),
            },
        },
    }
}

/// Names of objects by (database, catalogue, key), for messages.
pub async fn describe(connection: &mut PgConnection, fact: &Fact) -> String {
    let query = "SELECT pg_describe_object(('pg_catalog.' || $1)::regclass, $2::oid, 0)";
    let key = fact.key.split('.').next().unwrap_or_default();
    let described = sqlx::query_scalar::<_, Option<String>>(query)
        .bind(&fact.table)
        .bind(key)
        .fetch_one(connection)
        .await;
    format!(
        "{} {}",
        described.ok().flatten().unwrap_or_default(),
        fact.table
    )
}

/// Whether two sets differ only in the passwords of these roles.
pub fn without_passwords(facts: &Facts, roles: &BTreeMap<String, String>) -> Facts {
    let of_pair =
        |fact: &&Fact| !(matches!(fact.what, What::Password(_)) && roles.contains_key(&fact.key));
    facts.iter().filter(of_pair).cloned().collect()
}
