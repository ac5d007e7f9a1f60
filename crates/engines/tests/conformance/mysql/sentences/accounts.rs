//! The accounts of a user at several hosts.

use twinkey_core::code::Code;
use twinkey_core::secret::ExposeSecret;
use twinkey_engines::{Engine, InspectRequest, MysqlOptions, Severity, TlsMode};

use super::super::{Server, pattern};
use crate::case::{Case, all_changes, refusal, rendered};

pub async fn all_accounts_of_a_user_rotate_after_any_cut(server: &Server) {
    let mut case = with_three_accounts(server, "many").await;
    let inspection = case.rotate().await;
    assert_eq!(inspection.set_password.len(), 3);
    case.run_workload().await;
    // From here on only the three passwords differ. A sign-in tests one account and no other.
    case.rotate().await;
    for cut in 0..=3 {
        let next = case.next();
        let changes = all_changes(&case.inspect().await);
        assert_eq!(changes.len(), 3, "{changes:#?}");
        let mut admin = case.admin().await;
        admin
            .apply(&rendered(&changes[..cut], &next.password))
            .await
            .unwrap();
        assert_eq!(
            case.holds(admin.as_mut(), &next.password).await,
            Some(cut == 3),
            "after {cut} of 3"
        );
    }
    // With a new standby one of the accounts is locked until the last password is set.
    server
        .sql("DROP USER 'many_clone'@'%', 'many_clone'@'10.%', 'many_clone'@'localhost'")
        .await;
    let next = case.next();
    let changes = all_changes(&case.inspect().await);
    for cut in 0..=changes.len() {
        let mut admin = case.admin().await;
        admin
            .apply(&rendered(
                &changes[cut.saturating_sub(1)..cut],
                &next.password,
            ))
            .await
            .unwrap();
        let held = case.holds(admin.as_mut(), &next.password).await;
        assert_eq!(held, Some(cut == changes.len()), "after {cut}");
    }
    case.rotate().await;
}

/// The server shows the test as `localhost`.
pub async fn accounts_must_list_the_selected_account(server: &Server) {
    let case = with_three_accounts(server, "selected").await;
    for (listed, is_error) in [(vec!["%", "10.%"], true), (vec!["%", "localhost"], false)] {
        let accounts = Some(listed.into_iter().map(str::to_owned).collect());
        let engine = server
            .engine
            .clone()
            .with_options(MysqlOptions { accounts });
        let mut admin = engine.admin(&case.target(), &server.master).await.unwrap();
        let request = InspectRequest {
            pair: &case.pair,
            password: None,
            current: Some(&case.current.password),
            tls: TlsMode::VerifyFull,
            thorough: true,
        };
        let inspection = admin.inspect(&request).await.unwrap();
        let refused = refusal(&inspection);
        let code = is_error.then_some(Some(Code::PendingSigninFailed));
        assert_eq!(refused.map(|finding| finding.code), code, "{refused:?}");
    }
}

pub async fn a_surplus_account_is_dropped_unless_it_is_a_definer(server: &Server) {
    let mut case = Case::new(server, "surplus").await;
    case.rotate().await;
    case.rotate().await;
    let namespace = case.namespace.clone();
    server
        .sql(&format!(
            "CREATE USER 'surplus_clone'@'h'; \
             CREATE DEFINER = 'surplus_clone'@'h' VIEW {namespace}.v AS SELECT 1"
        ))
        .await;
    let inspection = case.inspect().await;
    let refused: Vec<_> = inspection
        .findings
        .iter()
        .filter(|finding| finding.severity == Severity::Error)
        .collect();
    assert_eq!(refused.len(), 1, "{refused:#?}");
    assert_eq!(refused[0].code, Some(Code::PrivilegesDiffer));
    let is_reported = |what: &str| inspection.findings.iter().any(|f| f.what.contains(what));
    assert!(is_reported(&format!("DEFINER of view {namespace}.v")));
    server.sql(&format!("DROP VIEW {namespace}.v")).await;
    assert_eq!(case.differences().await, ["DROP USER `surplus_clone`@`h`"]);
    case.rotate().await;
}

/// A case with two more accounts of the base user.
pub async fn with_three_accounts<'a>(server: &'a Server, base: &str) -> Case<'a> {
    let case = Case::new(server, base).await;
    let password = case.current.password.expose_secret();
    server
        .quietly(&format!(
            "CREATE USER '{base}'@'10.%' IDENTIFIED BY '{password}' REQUIRE SSL"
        ))
        .await;
    server
        .quietly(&format!(
            "CREATE USER '{base}'@'localhost' IDENTIFIED BY '{password}'"
        ))
        .await;
    let namespace = pattern(&case.namespace);
    server
        .sql(&format!(
            "GRANT SELECT ON {namespace}.* TO '{base}'@'10.%'; \
             GRANT ALL PRIVILEGES ON {namespace}.* TO '{base}'@'localhost'"
        ))
        .await;
    case
}
