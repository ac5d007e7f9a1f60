//! Rules of Amazon DocumentDB, which the relay follows in place of the server.

use twinkey_engines::{Engine, Severity, SignInChecks};

use super::{MASTER, Server, role};
use crate::case::{Case, refusal};
use crate::harness::Harness;
use twinkey_testkit::mongo::documentdb_rules::DocumentdbRule;

pub async fn all(server: &Server) {
    idle_connections_without_user_are_unknown(server).await;
    sessions_at_the_reader_are_listed(server).await;
    users_of_admin_are_no_duplicates(server).await;
    a_missing_role_is_one_that_the_server_has(server).await;
    readable_sessions_need_no_listed_privilege(server).await;
    a_user_that_restores_is_not_rotated(server).await;
    server.relay.pass_all();
}

async fn idle_connections_without_user_are_unknown(server: &Server) {
    let case = Case::new(server, "idle").await;
    let open = server.open_session(&case.namespace, &case.current).await;
    let listed = case.admin().await.sessions("idle").await.unwrap();
    assert!(!listed.unwrap().is_empty(), "without the rule it is listed");
    server
        .relay
        .follow(&[DocumentdbRule::IdleConnectionsHaveNoUser]);
    let unknown = case.admin().await.sessions("idle").await.unwrap();
    assert_eq!(unknown, None, "an idle connection may be the user's");
    let inspection = case.inspect().await;
    let finding = (inspection.findings.iter())
        .find(|finding| finding.what.contains("idle connections"))
        .expect("check names what in_use does not see");
    assert_eq!(finding.severity, Severity::Warning);
    assert!(finding.what.contains("\"shop\""), "{finding:?}");
    server.relay.pass_all();
    drop(open);
}

/// MongoDB lets each user list its own connections. This server requires a role for it.
async fn sessions_at_the_reader_are_listed(server: &Server) {
    let case = Case::new(server, "afar").await;
    let listed = async |user: &str| {
        let checks = SignInChecks {
            replication: Some(user),
            ..SignInChecks::default()
        };
        let target = case.target();
        let signed_in = server.engine.sign_in(&target, &case.current, checks);
        signed_in.await.unwrap().replication
    };
    assert_eq!(listed("afar").await.sessions, None, "not permitted");
    server
        .give("afar", &[role("clusterMonitor", "admin")])
        .await;
    assert_eq!(listed("afar").await.sessions, Some(vec![]));
    let open = server.open_session(&case.namespace, &case.current).await;
    let seen = listed("afar").await;
    assert_eq!(seen.sessions.map(|all| all.is_empty()), Some(false));
    assert_eq!(seen.is_replica, Some(false));
    drop(open);
}

async fn users_of_admin_are_no_duplicates(server: &Server) {
    let mut case = Case::new(server, "once").await;
    server
        .relay
        .follow(&[DocumentdbRule::UsersInfoIgnoresDatabase]);
    for _ in 0..2 {
        assert_eq!(refusal(&case.inspect().await), None);
        case.rotate().await;
    }
    server.relay.pass_all();
}

async fn a_missing_role_is_one_that_the_server_has(server: &Server) {
    let mut case = Case::new(server, "rolled").await;
    server.relay.follow(&[DocumentdbRule::NoUserAdmin]);
    for instead in [None, Some(role("dbOwner", "admin"))] {
        let all = [role("userAdminAnyDatabase", "admin")];
        server.take(MASTER, &all).await;
        if let Some(owner) = &instead {
            // On Amazon DocumentDB it administers no users.
            server.give(MASTER, std::slice::from_ref(owner)).await;
        }
        let inspection = case.inspect().await;
        let fixes: Vec<&str> = (inspection.missing.iter())
            .filter_map(|finding| finding.fix.as_deref())
            .collect();
        assert_eq!(fixes.len(), 1, "{instead:?}: {fixes:?}");
        assert!(fixes[0].contains("\"userAdminAnyDatabase\""), "{fixes:?}");
        server.apply_fix(&case.namespace, fixes[0]).await;
        if let Some(owner) = instead {
            server.take(MASTER, &[owner]).await;
        }
        assert_eq!(case.inspect().await.missing, []);
    }
    server.relay.pass_all();
    case.rotate().await;
}

async fn readable_sessions_need_no_listed_privilege(server: &Server) {
    let mut case = Case::new(server, "listed").await;
    server
        .relay
        .follow(&[DocumentdbRule::PrivilegesWithoutInprog]);
    let inspection = case.inspect().await;
    assert_eq!(inspection.missing, []);
    let about_sessions = |text: &str| text.contains("sessions");
    let found = (inspection.findings.iter()).find(|finding| about_sessions(&finding.what));
    assert_eq!(found, None);
    case.rotate().await;
    server.relay.pass_all();
}

async fn a_user_that_restores_is_not_rotated(server: &Server) {
    let case = Case::new(server, "restorer").await;
    server.give("restorer", &[role("restore", "admin")]).await;
    let inspection = case.inspect().await;
    let refused = refusal(&inspection).expect("restore creates users");
    assert!(refused.what.contains("restore on admin"), "{refused:?}");
}
