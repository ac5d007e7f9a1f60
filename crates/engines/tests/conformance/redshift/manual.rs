//! Rules of Redshift's manual that PostgreSQL does not have.

use super::Server;
use super::copies::rows;
use crate::case::Case;
use twinkey_testkit::aws::redshift::HOME;

pub async fn all(server: &Server) {
    names_in_upper_case_are_kept(server).await;
}

/// Names in quotes are folded to lower case while `enable_case_sensitive_identifier` is off.
async fn names_in_upper_case_are_kept(server: &Server) {
    let mut case = Case::new(server, "cased").await;
    let place = case.namespace.clone();
    let made = [
        "SET enable_case_sensitive_identifier TO true",
        "CREATE SCHEMA \"{p}_Mixed\"",
        "GRANT USAGE, CREATE ON SCHEMA \"{p}_Mixed\" TO cased",
        "CREATE TABLE \"{p}_Mixed\".\"Orders\" (\"Seen\" int, n int)",
        "CREATE TABLE \"{p}_Mixed\".orders (n int)",
        "CREATE TABLE \"{p}_Mixed\".\"Part\" (\"Seen\" int, n int)",
        "GRANT SELECT, INSERT ON TABLE \"{p}_Mixed\".\"Orders\" TO cased",
        "GRANT SELECT (\"Seen\") ON TABLE \"{p}_Mixed\".\"Part\" TO cased",
    ]
    .map(|sql| sql.replace("{p}", &place));
    let made: Vec<&str> = made.iter().map(String::as_str).collect();
    server.dba(HOME, &made).await;
    case.rotate().await;
    let held = format!(
        "SELECT relation_name, privilege_type FROM svv_relation_privileges \
         WHERE identity_name = 'cased_clone' AND namespace_name = '{place}_Mixed'"
    );
    let both = ["(Orders,INSERT)", "(Orders,SELECT)"];
    assert_eq!(rows(server, HOME, &held).await, both);
    let columns =
        "SELECT column_name FROM svv_column_privileges WHERE identity_name = 'cased_clone'";
    assert_eq!(rows(server, HOME, columns).await, ["(Seen)"]);
    // A table of the clone changes its owner while the clone is the standby.
    let create = format!("CREATE TABLE \"{place}_Mixed\".\"Made\" (n int)");
    let mut app = server.connect_as(HOME, &case.current).await;
    super::run(&mut app, &create).await;
    case.rotate().await;
    case.rotate().await;
    let owner = format!(
        "SELECT tableowner FROM pg_tables WHERE schemaname = '{place}_Mixed' AND tablename = 'Made'"
    );
    assert_eq!(rows(server, HOME, &owner).await, ["(cased)"]);
}
