//! Round trips on real servers: any set of grants is rendered, applied to a new account, read back,
//! and equal; then the same from there to any other set.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::test_runner::{Config, TestRunner};
use sqlx::mysql::MySqlConnection;

use super::connect::Connector;
use super::dialect::{Dialect, Family};
use super::diff;
use super::grants::{ALL, Account, GRANT_OPTION, Grants, Object, Privileges};
use super::inspect::queries::Queries;
use super::test_servers;
use twinkey_testkit::mysql::Flavor;

const SCHEMAS: &[&str] = &["shop", "a_b%c", "x`y"];
const TABLES: &[&str] = &["t", "t.u (`TO` z)"];
const COLUMNS: &[&str] = &["a", "b", "c`d"];
const PATTERNS: &[&str] = &["shop", r"a\_b%c", "x`y", r"no\_such\_%", "%"];

fn names(all: &'static [&'static str]) -> impl Strategy<Value = BTreeSet<String>> {
    let some = subsequence(all, 0..all.len())
        .prop_map(|names| names.into_iter().map(str::to_owned).collect());
    let everything = Just(BTreeSet::from([ALL.to_owned()]));
    prop_oneof![4 => some, 1 => everything]
}

fn with_option(
    names: impl Strategy<Value = BTreeSet<String>>,
) -> impl Strategy<Value = BTreeSet<String>> {
    (names, any::<bool>()).prop_map(|(mut names, option)| {
        if option {
            names.insert(GRANT_OPTION.to_owned());
        }
        names
    })
}

fn whole(names: BTreeSet<String>) -> Privileges {
    Privileges {
        names,
        columns: BTreeSet::new(),
    }
}

fn on_global() -> impl Strategy<Value = (Object, Privileges)> {
    const GLOBAL: &[&str] = &["SELECT", "INSERT", "UPDATE", "PROCESS", "SHOW DATABASES"];
    let some = subsequence(GLOBAL, 0..=GLOBAL.len())
        .prop_map(|names| names.into_iter().map(str::to_owned).collect());
    with_option(some).prop_map(|names| (Object::Global, whole(names)))
}

fn on_schema() -> impl Strategy<Value = (Object, Privileges)> {
    const SCHEMA: &[&str] = &[
        "SELECT",
        "INSERT",
        "CREATE TEMPORARY TABLES",
        "EXECUTE",
        "EVENT",
        "TRIGGER",
    ];
    (select(PATTERNS), with_option(names(SCHEMA)))
        .prop_map(|(schema, names)| (Object::Schema(schema.to_owned()), whole(names)))
}

fn on_table() -> impl Strategy<Value = (Object, Privileges)> {
    const TABLE: &[&str] = &["SELECT", "INSERT", "DROP", "CREATE VIEW", "TRIGGER"];
    let columns = (
        select(&["SELECT", "INSERT", "UPDATE", "REFERENCES"][..]),
        subsequence(COLUMNS, 1..=COLUMNS.len()),
    );
    (
        select(SCHEMAS),
        select(TABLES),
        with_option(names(TABLE)),
        proptest::collection::vec(columns, 0..3),
    )
        .prop_map(|(schema, table, names, columns)| {
            // With ALL PRIVILEGES, the server does not list privileges on columns.
            let columns = columns
                .into_iter()
                .filter(|_| !names.contains(ALL))
                .flat_map(|(name, columns)| {
                    columns
                        .into_iter()
                        .map(move |column| (name.to_owned(), column.to_owned()))
                });
            let columns = columns.collect();
            let object = Object::Table {
                schema: schema.to_owned(),
                table: table.to_owned(),
            };
            (object, Privileges { names, columns })
        })
}

fn on_routine() -> impl Strategy<Value = (Object, Privileges)> {
    let some = subsequence(&["EXECUTE", "ALTER ROUTINE"][..], 0..=2)
        .prop_map(|names| names.into_iter().map(str::to_owned).collect());
    (
        select(&["PROCEDURE", "FUNCTION"][..]),
        select(SCHEMAS),
        with_option(some),
    )
        .prop_map(|(kind, schema, names)| {
            let object = Object::Routine {
                kind: kind.to_owned(),
                schema: schema.to_owned(),
                name: "p`q".to_owned(),
            };
            (object, whole(names))
        })
}

fn accounts(all: Vec<Account>) -> impl Strategy<Value = BTreeMap<Account, bool>> {
    let most = all.len();
    proptest::collection::btree_map(select(all), any::<bool>(), 0..=most)
}

/// Any grants on one of the servers.
fn grants(family: Family) -> impl Strategy<Value = Grants> {
    let role = |name: &str| match family {
        Family::Mariadb => Account {
            user: name.to_owned(),
            host: None,
        },
        Family::Mysql => Account::new(name, "%"),
    };
    let objects = prop_oneof![
        1 => on_global(),
        3 => on_schema(),
        3 => on_table(),
        2 => on_routine(),
    ];
    let of_mysql = family == Family::Mysql;
    let dynamic = proptest::collection::btree_map(
        select(&["BACKUP_ADMIN", "CONNECTION_ADMIN", "ROLE_ADMIN"][..]),
        any::<bool>(),
        0..=3,
    );
    let restrictions = proptest::collection::btree_set(
        (select(SCHEMAS), select(&["SELECT", "INSERT", "UPDATE"][..])),
        0..3,
    );
    (
        proptest::collection::vec(objects, 0..8),
        accounts(vec![role("r one"), role("r`two")]),
        accounts(vec![
            Account::new("p`rox", "localhost"),
            Account::new("p2", "10.%"),
        ]),
        dynamic,
        restrictions,
    )
        .prop_map(move |(on, roles, proxies, dynamic, restrictions)| {
            let on: BTreeMap<Object, Privileges> =
                on.into_iter().filter(|(_, p)| !p.is_empty()).collect();
            let mut grants = Grants {
                on,
                roles,
                proxies,
                ..Grants::default()
            };
            if of_mysql {
                grants.dynamic = dynamic
                    .into_iter()
                    .map(|(name, grantable)| (name.to_owned(), grantable))
                    .collect();
                grants.restrictions = restrictions
                    .into_iter()
                    .map(|(schema, name)| (schema.to_owned(), name.to_owned()))
                    .filter(|(_, name)| grants.has(&Object::Global, name))
                    .collect();
                // A privilege granted on the schema ends the partial revoke there.
                let restricted = grants.restrictions.clone();
                grants.on.retain(|object, _| {
                    !matches!(object, Object::Schema(s) if restricted.iter().any(|(r, _)| r == s))
                });
            }
            grants
        })
}

async fn apply(connector: &Connector, connection: &mut MySqlConnection, text: &str) {
    connector
        .run(connection, text, text.to_owned(), false)
        .await
        .unwrap_or_else(|error| panic!("{text}: {error}"));
}

async fn prepare(connector: &Connector, connection: &mut MySqlConnection, dialect: &Dialect) {
    use super::quote::ident;
    for schema in SCHEMAS.iter().map(|schema| ident(schema)) {
        apply(connector, connection, &format!("CREATE DATABASE {schema}")).await;
        for table in TABLES.iter().map(|table| ident(table)) {
            let columns: Vec<String> = COLUMNS
                .iter()
                .map(|column| format!("{} int", ident(column)))
                .collect();
            let columns = columns.join(", ");
            apply(
                connector,
                connection,
                &format!("CREATE TABLE {schema}.{table} ({columns})"),
            )
            .await;
        }
        for text in [
            format!("CREATE PROCEDURE {schema}.`p``q`() SELECT 1"),
            format!("CREATE FUNCTION {schema}.`p``q`() RETURNS int DETERMINISTIC RETURN 1"),
        ] {
            apply(connector, connection, &text).await;
        }
    }
    apply(connector, connection, "CREATE ROLE `r one`, `r``two`").await;
    apply(
        connector,
        connection,
        "CREATE USER `p``rox`@`localhost`, `p2`@`10.%`",
    )
    .await;
    if !dialect.is_mariadb() {
        apply(connector, connection, "SET GLOBAL partial_revokes = ON").await;
    }
}

/// From no grants to `one`, from `one` to `other`, each read back.
async fn there_and_back(
    connector: &Connector,
    connection: &mut MySqlConnection,
    dialect: &Dialect,
    one: &Grants,
    other: &Grants,
) {
    let account = Account::new("c`lone", "10.%");
    apply(
        connector,
        connection,
        &format!("CREATE USER {account} ACCOUNT LOCK"),
    )
    .await;
    let mut has = Grants::default();
    for wanted in [one, other] {
        let steps = diff::steps(
            dialect,
            &account,
            &has,
            wanted,
            &BTreeSet::new(),
            &BTreeSet::new(),
        );
        for step in &steps {
            apply(connector, connection, &step.text).await;
        }
        let mut queries = Queries {
            connection,
            connector,
        };
        let read = queries.grants_of(&account).await.unwrap();
        assert_eq!(&read, wanted, "after {steps:#?}");
        assert_eq!(
            diff::steps(
                dialect,
                &account,
                &read,
                wanted,
                &BTreeSet::new(),
                &BTreeSet::new()
            ),
            []
        );
        has = read;
    }
    apply(connector, connection, &format!("DROP USER {account}")).await;
}

fn round_trips(flavor: Flavor) {
    let Some(server) = test_servers::start(flavor) else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (connector, connection, dialect) = runtime.block_on(async {
        let (connector, mut connection, dialect) = test_servers::root(&server).await;
        prepare(&connector, &mut connection, &dialect).await;
        (connector, connection, dialect)
    });
    let config = Config {
        cases: 96,
        failure_persistence: None,
        // Each case starts with a new account, which a failed case leaves behind.
        max_shrink_iters: 0,
        ..Config::default()
    };
    let connection = std::cell::RefCell::new(connection);
    let both = (grants(dialect.family), grants(dialect.family));
    TestRunner::new(config)
        .run(&both, |(one, other)| {
            runtime.block_on(there_and_back(
                &connector,
                &mut connection.borrow_mut(),
                &dialect,
                &one,
                &other,
            ));
            Ok(())
        })
        .unwrap();
}

#[test]
fn mariadb_round_trips_any_grants() {
    round_trips(Flavor::Mariadb);
}

#[test]
fn mysql_round_trips_any_grants() {
    round_trips(Flavor::Mysql);
}
