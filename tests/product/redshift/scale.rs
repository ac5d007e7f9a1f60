//! Thousands of grants: how many calls they take, and how many when nothing has to change.

use std::collections::BTreeMap;

use super::house::{House, MASTER_SECRET, OTHER, On};
use twinkey_testkit::aws::redshift::HOME;

const SCHEMAS: usize = 5;
/// In each schema, in each of two databases: with SELECT, INSERT and UPDATE on each, 3,000 grants.
const TABLES: usize = 100;

fn calls(house: &House, from: usize) -> BTreeMap<String, usize> {
    let mut of_action = BTreeMap::new();
    for call in &house.stand_in.faults().calls()[from..] {
        *of_action.entry(call.action.clone()).or_insert(0) += 1;
    }
    of_action
}

/// Batches in which something of the pair is changed: what looks, and what keeps the lock, does not.
fn changing_batches(house: &House, from: usize) -> usize {
    let history = house.redshift().history();
    let mut ids: Vec<&str> = history[from..]
        .iter()
        .filter(|seen| {
            let verb = seen.sql.split(' ').next().unwrap_or_default();
            ["CREATE", "ALTER", "GRANT", "REVOKE", "DROP"].contains(&verb)
                && !seen.sql.contains("twinkey")
        })
        .map(|seen| seen.id.as_str())
        .collect();
    ids.dedup();
    ids.len()
}

#[tokio::test(flavor = "multi_thread")]
async fn three_thousand_grants_are_copied_in_a_bounded_number_of_calls() {
    let master = format!("master_secret = \"{MASTER_SECRET}\"");
    let house = House::open(On::Cluster, "", &master).await;
    for database in [HOME, OTHER] {
        for schema in 0..SCHEMAS {
            let mut sqls = vec![format!("CREATE SCHEMA s{schema}")];
            for table in 0..TABLES {
                let name = format!("s{schema}.t{table}");
                sqls.push(format!("CREATE TABLE {name} (n int)"));
                sqls.push(format!(
                    "GRANT SELECT, INSERT, UPDATE ON TABLE {name} TO app"
                ));
            }
            let sqls: Vec<&str> = sqls.iter().map(String::as_str).collect();
            house.dba(database, &sqls).await;
        }
    }
    let marks = |house: &House| {
        let calls = house.stand_in.faults().calls().len();
        (calls, house.redshift().history().len())
    };
    let (call, statement) = marks(&house);
    house.good(&["rotate", "house"]).await;
    let (first, batches) = (calls(&house, call), changing_batches(&house, statement));
    println!(
        "the first run copies 3,000 grants in {batches} changing batches; all calls: {first:?}"
    );
    assert!(batches <= 4, "{batches}");
    let all: usize = first.values().sum();
    assert!(all <= 100, "{first:?}");
    house.good(&["rotate", "house"]).await;
    let (call, statement) = marks(&house);
    house.good(&["rotate", "house"]).await;
    let (later, batches) = (calls(&house, call), changing_batches(&house, statement));
    println!(
        "a run with nothing to copy changes something in {batches} batch; all calls: {later:?}"
    );
    assert_eq!(batches, 1, "the password alone");
    let granted = house.redshift().history();
    let granted = granted[statement..]
        .iter()
        .filter(|s| s.sql.starts_with("GRANT"));
    assert_eq!(granted.count(), 0);
}
