//! Absence of passwords and their parts in statements, logs and errors.
//!
//! The Data API returns the text of a statement for a day.

use aws_sdk_redshiftdata::Client;
use secrecy::ExposeSecret;
use twinkey_stores::{SecretStore, Selector};

use super::fixture::{Deployment, FIRST, MASTER, MASTER_SECRET, RedshiftFixture, SECRET, text};
use super::rotations::furnish;
use twinkey_testkit::aws::sdk_config;

/// Length of a part that counts as a leak.
const PART: usize = 8;

fn contains_part(said: &str, password: &str) -> bool {
    let all = password.as_bytes().windows(PART);
    let mut all = all.map(|part| std::str::from_utf8(part).unwrap());
    all.any(|part| said.contains(part))
}

/// All passwords in versions of the secret, and the master's.
async fn passwords(fixture: &RedshiftFixture) -> Vec<String> {
    let store = fixture.stand_in.store();
    let mut all = vec![FIRST.to_owned(), MASTER.to_owned()];
    for entry in store.versions(SECRET).await.unwrap() {
        let version = store.get(SECRET, Selector::Version(&entry.id)).await;
        let document = version.unwrap().value;
        let document: serde_json::Value = serde_json::from_str(document.expose_secret()).unwrap();
        all.push(document["password"].as_str().unwrap().to_owned());
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn no_part_of_a_password_is_in_any_statement_log_or_error() {
    let master = format!("master_secret = \"{MASTER_SECRET}\"");
    let fixture = RedshiftFixture::open(Deployment::Cluster, "", &master).await;
    furnish(&fixture).await;
    let mut said = String::new();
    let mut run = async |args: &[&str]| {
        let output = fixture.twinkey(args).await;
        said.push_str(&text(&output.stdout));
        said.push_str(&text(&output.stderr));
    };
    for _ in 0..3 {
        run(&["-v", "rotate", "house"]).await;
    }
    for args in [
        &["check", "house"][..],
        &["plan", "house", "--json"],
        &["history", "--json"],
    ] {
        run(args).await;
    }
    // The database's message quotes the statement with its digest.
    let fails = |words: &str| fixture.redshift().fail(" PASSWORD 'md5", 1, words);
    fails("syntax error at or near \"'md50123\"");
    run(&["-v", "rotate", "house"]).await;
    run(&["-v", "rotate", "house"]).await;
    let all = passwords(&fixture).await;
    assert!(all.len() > 4, "there were passwords to leak");
    let statements = statements_of_the_api(&fixture).await;
    assert!(statements.len() > 20);
    for password in &all {
        assert!(!contains_part(&said, password), "{said}");
        for sql in &statements {
            assert!(!contains_part(sql, password), "{sql}");
        }
    }
    let digests = statements
        .iter()
        .filter_map(|sql| sql.split(" PASSWORD 'md5").nth(1));
    for digest in digests {
        let digest = digest.trim_end_matches('\'');
        assert!(
            !contains_part(&said, digest),
            "a digest is in an output: {said}"
        );
    }
}

/// All statement texts that the worker's role can read in the API.
pub async fn statements_of_the_api(fixture: &RedshiftFixture) -> Vec<String> {
    let client = Client::new(&sdk_config(&fixture.stand_in.url()));
    let mut pages = client
        .list_statements()
        .status(aws_sdk_redshiftdata::types::StatusString::All)
        .into_paginator()
        .send();
    let mut statements = Vec::new();
    while let Some(page) = pages.next().await {
        for statement in page.unwrap().statements() {
            statements.extend(statement.query_string().map(str::to_owned));
            statements.extend(statement.query_strings().iter().cloned());
            let described = client.describe_statement().id(statement.id()).send().await;
            let described = described.unwrap();
            statements.extend(described.query_string().map(str::to_owned));
            let parts = described.sub_statements().iter();
            statements.extend(parts.filter_map(|part| part.query_string().map(str::to_owned)));
        }
    }
    statements
}
