//! No password, nor a part of one, is where others can read it: in a statement's text, which the Data API
//! tells for a day, in a log, in an error.

use aws_sdk_redshiftdata::Client;
use secrecy::ExposeSecret;
use twinkey_stores::{SecretStore, Selector};

use super::house::{FIRST, House, MASTER, MASTER_SECRET, On, SECRET, text};
use super::rotations::furnish;
use twinkey_testkit::aws::sdk_config;

/// A part of so many characters is a leak.
const PART: usize = 8;

fn holds_part(said: &str, password: &str) -> bool {
    let all = password.as_bytes().windows(PART);
    let mut all = all.map(|part| std::str::from_utf8(part).unwrap());
    all.any(|part| said.contains(part))
}

/// Every password that the secret has had, and the master's.
async fn passwords(house: &House) -> Vec<String> {
    let store = house.stand_in.store();
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
    let house = House::open(On::Cluster, "", &master).await;
    furnish(&house).await;
    let mut said = String::new();
    let mut run = async |args: &[&str]| {
        let output = house.twinkey(args).await;
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
    // The database's own words quote the statement, digest and all.
    let fails = |words: &str| house.redshift().fail(" PASSWORD 'md5", 1, words);
    fails("syntax error at or near \"'md50123\"");
    run(&["-v", "rotate", "house"]).await;
    run(&["-v", "rotate", "house"]).await;
    let all = passwords(&house).await;
    assert!(all.len() > 4, "there were passwords to leak");
    let told = told_by_the_api(&house).await;
    assert!(told.len() > 20);
    for password in &all {
        assert!(!holds_part(&said, password), "{said}");
        for sql in &told {
            assert!(!holds_part(sql, password), "{sql}");
        }
    }
    let digests = told
        .iter()
        .filter_map(|sql| sql.split(" PASSWORD 'md5").nth(1));
    for digest in digests {
        let digest = digest.trim_end_matches('\'');
        assert!(
            !holds_part(&said, digest),
            "a digest is in an output: {said}"
        );
    }
}

/// As anybody with the worker's role would ask.
pub async fn told_by_the_api(house: &House) -> Vec<String> {
    let client = Client::new(&sdk_config(&house.stand_in.url()));
    let mut pages = client
        .list_statements()
        .status(aws_sdk_redshiftdata::types::StatusString::All)
        .into_paginator()
        .send();
    let mut told = Vec::new();
    while let Some(page) = pages.next().await {
        for statement in page.unwrap().statements() {
            told.extend(statement.query_string().map(str::to_owned));
            told.extend(statement.query_strings().iter().cloned());
            let described = client.describe_statement().id(statement.id()).send().await;
            let described = described.unwrap();
            told.extend(described.query_string().map(str::to_owned));
            let parts = described.sub_statements().iter();
            told.extend(parts.filter_map(|part| part.query_string().map(str::to_owned)));
        }
    }
    told
}
