//! All accounts, grants and objects of a server, as facts that can be compared.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sqlx::mysql::MySqlConnection;

use super::server::{Server, account, ident, literal, rows};
use super::statements::{DROPPED, OF_COLUMNS};
use super::world::World;

/// A line about one account, or about an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fact {
    /// Empty for objects.
    pub user: String,
    pub host: String,
    /// The table or the statement.
    pub source: String,
    /// Column -> value; one value without a name for a line of a statement.
    pub values: BTreeMap<String, String>,
}

pub type Facts = BTreeSet<Fact>;

/// The columns with the user and the host that a row is about.
const SUBJECTS: [(&str, &str); 2] = [("TO_USER", "TO_HOST"), ("User", "Host")];

fn line(source: &str, user: &str, host: &str, text: &str) -> Fact {
    Fact {
        user: user.to_owned(),
        host: host.to_owned(),
        source: source.to_owned(),
        values: [(String::new(), text.to_owned())].into(),
    }
}

/// The tables of the system schema that have rows of accounts, with their columns.
async fn tables(root: &mut MySqlConnection) -> BTreeMap<String, Vec<String>> {
    let columns = "SELECT c.TABLE_NAME, c.COLUMN_NAME FROM information_schema.COLUMNS c \
         JOIN information_schema.TABLES t USING (TABLE_SCHEMA, TABLE_NAME) \
         WHERE TABLE_SCHEMA = 'mysql' AND TABLE_TYPE = 'BASE TABLE' AND EXISTS (\
           SELECT 1 FROM information_schema.COLUMNS u WHERE u.TABLE_SCHEMA = 'mysql' \
           AND u.TABLE_NAME = c.TABLE_NAME AND LOWER(u.COLUMN_NAME) IN ('user', 'to_user')) \
         ORDER BY 1, c.ORDINAL_POSITION";
    let mut tables: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for row in rows(root, columns).await.unwrap() {
        tables
            .entry(row[0].clone())
            .or_default()
            .push(row[1].clone());
    }
    tables
}

/// Everything that a rotation could change.
pub async fn snapshot(server: &Server, world: &World, root: &mut MySqlConnection) -> Facts {
    let mut facts = Facts::new();
    let mut accounts = BTreeSet::new();
    for (table, columns) in tables(root).await {
        let list: Vec<String> = columns.iter().map(|column| value(column)).collect();
        let query = format!("SELECT {} FROM mysql.{table}", list.join(", "));
        for row in rows(root, &query).await.unwrap() {
            let row = row.iter().map(|value| decoded(value));
            let values: BTreeMap<String, String> = columns.iter().cloned().zip(row).collect();
            let of = |column: &str| {
                let mut all = values.iter();
                all.find(|(name, _)| name.eq_ignore_ascii_case(column))
                    .map(|(_, value)| value.clone())
            };
            let (user, host) = SUBJECTS
                .iter()
                .find_map(|(user, host)| Some((of(user)?, of(host)?)))
                .unwrap_or_default();
            if matches!(table.as_str(), "global_priv" | "user") {
                accounts.insert((user.clone(), host.clone()));
            }
            facts.insert(Fact {
                user,
                host,
                source: table.clone(),
                values,
            });
        }
    }
    for (user, host) in accounts {
        let name = match host.as_str() {
            "" if server.is_mariadb() && user == "PUBLIC" => user.clone(),
            "" if server.is_mariadb() => ident(&user),
            _ => account(&user, &host),
        };
        // A role has no definition.
        for show in ["SHOW GRANTS FOR", "SHOW CREATE USER"] {
            let shown = rows(root, &format!("{show} {name}"))
                .await
                .unwrap_or_default();
            for row in shown {
                facts.insert(line(show, &user, &host, &with_columns_in_order(&row[0])));
            }
        }
    }
    facts.extend(objects(world, root).await);
    facts
}

/// A text that the server stored as if its bytes were Latin-1, as both do for the names of routines.
fn decoded(text: &str) -> String {
    let bytes: Option<Vec<u8>> = text.chars().map(latin_1).collect();
    let decoded = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    decoded.unwrap_or_else(|| text.to_owned())
}

/// The byte of a character in the servers' `latin1`, which is Windows-1252.
fn latin_1(c: char) -> Option<u8> {
    match c {
        '–' => Some(0x96),
        '¶' | '\0'..='\u{ff}' => u8::try_from(u32::from(c)).ok(),
        _ => None,
    }
}

/// A column as text; hashes may hold any bytes.
fn value(column: &str) -> String {
    if column == "authentication_string" {
        format!("HEX({column})")
    } else {
        format!("CAST({} AS CHAR)", ident(column))
    }
}

async fn objects(world: &World, root: &mut MySqlConnection) -> Facts {
    let mut facts = Facts::new();
    let schemas: Vec<String> = world.schemas.iter().map(|schema| literal(schema)).collect();
    let schemas = schemas.join(", ");
    for (table, column) in [
        ("TABLES", "TABLE_SCHEMA"),
        ("VIEWS", "TABLE_SCHEMA"),
        ("COLUMNS", "TABLE_SCHEMA"),
        ("ROUTINES", "ROUTINE_SCHEMA"),
        ("TRIGGERS", "TRIGGER_SCHEMA"),
        ("EVENTS", "EVENT_SCHEMA"),
    ] {
        let query =
            format!("SELECT * FROM information_schema.{table} WHERE {column} IN ({schemas})");
        for mut row in rows(root, &query).await.unwrap() {
            // Statistics and times of access.
            if table == "TABLES" {
                row.truncate(5);
            }
            facts.insert(line(table, "", "", &row.join("|")));
        }
    }
    let query = format!(
        "SELECT TABLE_SCHEMA, TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA IN ({schemas})"
    );
    for row in rows(root, &query).await.unwrap() {
        let name = format!("{}.{}", ident(&row[0]), ident(&row[1]));
        let shown = rows(root, &format!("SHOW CREATE TABLE {name}")).await;
        facts.insert(line(
            "SHOW CREATE TABLE",
            "",
            "",
            &format!("{name} {shown:?}"),
        ));
    }
    facts
}

/// Sorts the names between parentheses, whose order has no meaning.
fn with_columns_in_order(line: &str) -> String {
    if !line.starts_with("GRANT") {
        return line.to_owned();
    }
    let (privileges, rest) = line.split_once(" ON ").unwrap_or((line, ""));
    let mut parts = privileges.split('(');
    let mut all = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let Some((columns, rest)) = part.split_once(')') else {
            return line.to_owned();
        };
        let mut columns: Vec<&str> = columns.split(", ").collect();
        columns.sort_unstable();
        all += &format!("({}){rest}", columns.join(", "));
    }
    format!("{all} ON {rest}")
}

/// The facts about other users and objects.
pub fn without(facts: &Facts, user: &str) -> Facts {
    let others = facts.iter().filter(|fact| fact.user != user);
    others.cloned().collect()
}

/// The facts about a user without its name and passwords, for a comparison with its counterpart.
pub fn of_user(facts: &Facts, user: &str) -> Facts {
    let own = facts.iter().filter(|fact| fact.user == user);
    own.filter_map(|fact| normalized(fact, user)).collect()
}

fn normalized(fact: &Fact, user: &str) -> Option<Fact> {
    let mut fact = fact.clone();
    // Earlier passwords.
    if fact.source == "password_history" {
        return None;
    }
    // With ALL PRIVILEGES on a table, MariaDB keeps and ignores those on its columns.
    let in_tables = matches!(fact.source.as_str(), "procs_priv" | "role_edges");
    if fact.source == "columns_priv" || (in_tables && !user.is_ascii()) {
        return None;
    }
    // A row that a statement left without a privilege.
    let is_empty = |column: &str| fact.values.get(column).is_some_and(String::is_empty);
    if is_empty("Proc_priv") {
        return None;
    }
    // The lines of SHOW GRANTS have the privileges on columns.
    if is_empty("Table_priv") {
        return None;
    }
    fact.user = "-".to_owned();
    for (column, value) in &mut fact.values {
        *value = match column.as_str() {
            "User" | "USER" | "TO_USER" => "-".to_owned(),
            "Timestamp" | "Grantor" | "Column_priv" | "authentication_string" | "password_last_changed"
            // The new password of an expired account is not expired.
            | "password_expired" => String::new(),
            // The server prints these in lower case, and compares them without case.
            "Routine_name" => value.to_lowercase(),
            "Priv" | "User_attributes" => without_passwords(value),
            "" => without_dropped(&without_hash(&value.replace(&ident(user), "`-`")))?,
            _ => continue,
        };
    }
    Some(fact)
}

/// Attributes without passwords and defaults.
fn without_passwords(json: &str) -> String {
    let Ok(Value::Object(mut all)) = serde_json::from_str::<Value>(json) else {
        return String::new();
    };
    for key in [
        "authentication_string",
        "password_last_changed",
        "additional_password",
    ] {
        all.remove(key);
    }
    let is_default = |value: &Value| match value {
        Value::Null => true,
        Value::Bool(set) => !set,
        // -1 is the default of password_lifetime.
        Value::Number(number) => matches!(number.to_string().as_str(), "0" | "0.0" | "-1"),
        Value::String(text) => text.is_empty(),
        Value::Object(all) => all.is_empty(),
        Value::Array(_) => false,
    };
    // The order of partial revokes has no meaning.
    if let Some(Value::Array(restrictions)) = all.get_mut("Restrictions") {
        restrictions.sort_by_key(ToString::to_string);
    }
    let all: BTreeMap<String, Value> = all.into_iter().filter(|(_, v)| !is_default(v)).collect();
    if all.is_empty() {
        String::new()
    } else {
        format!("{all:?}")
    }
}

/// A line without a hash and an expired password.
fn without_hash(line: &str) -> String {
    // MySQL's memory keeps the former policy; its table has a column for it.
    let mut line = match line.split_once(" PASSWORD EXPIRE") {
        Some((before, rest)) => {
            let end = [" ACCOUNT ", " WITH "]
                .iter()
                .filter_map(|next| rest.find(next))
                .min();
            format!("{before}{}", end.map_or("", |at| &rest[at..]))
        }
        None => line.to_owned(),
    };
    line = line.replace(" MAX_USER_CONNECTIONS 0", "");
    line = line.replace(" ATTRIBUTE '{}'", "");
    for before in ["PASSWORD '", " AS '", " USING '"] {
        if let Some((start, rest)) = line.split_once(before) {
            // A salt may hold any character, such as a quote and a space.
            let clauses = ["' DEFAULT ROLE ", "' REQUIRE "];
            let end = clauses.iter().filter_map(|clause| rest.find(clause)).min();
            let end = end.or_else(|| rest.find("' "));
            let end = end.map_or("", |at| &rest[at..]);
            return format!("{start}{}", end.trim_start_matches('\''));
        }
    }
    line
}

/// A line without privileges on the dropped column: they have no effect, and no statement can grant
/// them. `None` if it has no others.
fn without_dropped(line: &str) -> Option<String> {
    let Some((privileges, rest)) = line
        .strip_prefix("GRANT ")
        .and_then(|l| l.split_once(" ON "))
    else {
        return Some(line.to_owned());
    };
    let mut privileges = privileges.replace(&format!(", `{DROPPED}`"), "");
    privileges = privileges.replace(&format!("`{DROPPED}`, "), "");
    for name in OF_COLUMNS {
        let only = format!("{name} (`{DROPPED}`)");
        privileges = privileges.replace(&format!("{only}, "), "");
        privileges = privileges.replace(&format!(", {only}"), "");
        if privileges == only {
            privileges = "USAGE".to_owned();
        }
    }
    let is_empty = privileges == "USAGE" && !rest.ends_with(" WITH GRANT OPTION");
    (!is_empty || rest.starts_with("*.*")).then(|| format!("GRANT {privileges} ON {rest}"))
}

/// Views that select from a missing object.
pub async fn broken_views(world: &World, root: &mut MySqlConnection) -> Vec<String> {
    let schemas: Vec<String> = world.schemas.iter().map(|schema| literal(schema)).collect();
    // TABLE_ROWS makes MariaDB open the views.
    let query = format!(
        "SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_ROWS FROM information_schema.TABLES \
         WHERE TABLE_SCHEMA IN ({}) AND TABLE_TYPE = 'VIEW' AND TABLE_COMMENT <> 'VIEW'",
        schemas.join(", ")
    );
    let broken = rows(root, &query).await.unwrap();
    let name = |row: &Vec<String>| format!("{}.{}", ident(&row[0]), ident(&row[1]));
    broken.iter().map(name).collect()
}

/// Whether the fact is a grant on this object.
pub fn is_on(fact: &Fact, object: &str) -> bool {
    let of = |column: &str| fact.values.get(column).map(|name| ident(name));
    let table = of("Db").zip(of("Table_name"));
    table.is_some_and(|(schema, table)| format!("{schema}.{table}") == object)
        || fact
            .values
            .get("")
            .is_some_and(|line| line.contains(object))
}

/// The facts that only one of the two has, for a message.
pub fn difference(before: &Facts, after: &Facts) -> Option<String> {
    let lost: Vec<String> = before
        .difference(after)
        .map(|f| format!("- {f:?}"))
        .collect();
    let new: Vec<String> = after
        .difference(before)
        .map(|f| format!("+ {f:?}"))
        .collect();
    let all = [lost, new].concat();
    (!all.is_empty()).then(|| all.join("\n"))
}
