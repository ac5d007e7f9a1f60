//! Number of calls for thousands of grants, and without any changes.

use std::collections::BTreeMap;

use super::fixture::{Deployment, MASTER_SECRET, OTHER, RedshiftFixture};
use twinkey_testkit::aws::redshift::HOME;

const SCHEMAS: usize = 5;
/// Tables in each schema of two databases; three privileges on each make 3,000 grants.
const TABLES: usize = 100;

fn calls(fixture: &RedshiftFixture, from: usize) -> BTreeMap<String, usize> {
    let mut of_action = BTreeMap::new();
    for call in &fixture.stand_in.faults().calls()[from..] {
        *of_action.entry(call.action.clone()).or_insert(0) += 1;
    }
    of_action
}

/// The number of batches that change a user of the pair.
fn changing_batches(fixture: &RedshiftFixture, from: usize) -> usize {
    let history = fixture.redshift().history();
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
async fn three_thousand_grants_take_a_bounded_number_of_calls() {
    let master = format!("master_secret = \"{MASTER_SECRET}\"");
    let fixture = RedshiftFixture::open(Deployment::Cluster, "", &master).await;
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
            fixture.dba(database, &sqls).await;
        }
    }
    let marks = |fixture: &RedshiftFixture| {
        let calls = fixture.stand_in.faults().calls().len();
        (calls, fixture.redshift().history().len())
    };
    let (call, statement) = marks(&fixture);
    fixture.good(&["rotate", "house"]).await;
    let (first, batches) = (calls(&fixture, call), changing_batches(&fixture, statement));
    println!(
        "the first run copies 3,000 grants in {batches} changing batches; all calls: {first:?}"
    );
    assert!(batches <= 4, "{batches}");
    let all: usize = first.values().sum();
    assert!(all <= 70, "{first:?}");
    fixture.good(&["rotate", "house"]).await;
    let (call, statement) = marks(&fixture);
    fixture.good(&["rotate", "house"]).await;
    let (later, batches) = (calls(&fixture, call), changing_batches(&fixture, statement));
    println!(
        "a run with nothing to copy changes something in {batches} batch; all calls: {later:?}"
    );
    assert_eq!(batches, 1, "the password alone");
    let granted = fixture.redshift().history();
    let granted = granted[statement..]
        .iter()
        .filter(|s| s.sql.starts_with("GRANT"));
    assert_eq!(granted.count(), 0);
}
