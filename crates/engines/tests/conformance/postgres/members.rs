//! Roles that are members of the clone.

use twinkey_core::secret::pair::PairMember;

use super::Server;
use super::adopted::adopted;
use super::found_first::{holds, mend};

pub async fn all(server: &Server) {
    a_member_of_the_clone_neither_gains_nor_loses(server).await;
    members_that_a_run_does_not_change_are_no_finding(server).await;
}

async fn a_member_of_the_clone_neither_gains_nor_loses(server: &Server) {
    // What the third role has: of the base user, of the clone.
    let third_has = |base: &str, of_base: bool, of_clone: bool| {
        format!(
            "SELECT has_table_privilege('{base}_third', 'shared.whole', 'SELECT') = {of_base} \
             AND pg_has_role('{base}_third', '{base}', 'USAGE') = {of_base} \
             AND has_schema_privilege('{base}_third', 'shared', 'CREATE') = {of_clone}"
        )
    };
    for (base, is_new) in [("gaining", true), ("losing", false)] {
        let mut case = adopted(server, base).await;
        let grants = "CREATE ROLE {0}_third; GRANT {0}_clone TO {0}_third WITH ADMIN OPTION; \
             GRANT CREATE ON SCHEMA public TO {0}; GRANT SELECT ON shared.whole TO {0}; \
             GRANT CREATE ON SCHEMA shared TO {0}_clone; CREATE ROLE {0}_fourth; \
             SET ROLE {0}_third; GRANT {0}_clone TO {0}_fourth"
            .replace("{0}", base);
        server.sql(&case.namespace, &grants).await;
        if is_new {
            let leave = format!("REVOKE {base} FROM {base}_clone");
            server.sql("postgres", &leave).await;
        }
        case.pair.active = PairMember::Base;
        case.current = case.previous.take().unwrap();
        assert!(holds(server, &case, &third_has(base, !is_new, true)).await);
        let found = mend(server, &case).await;
        assert_eq!(found.len(), 2, "{found:#?}");
        for (refusal, name) in found.iter().zip(["fourth", "third"]) {
            assert!(refusal.what.contains(&format!("{base}_{name}")));
        }
        for _ in 0..3 {
            case.rotate().await;
            assert!(holds(server, &case, &third_has(base, false, false)).await);
        }
    }
}

async fn members_that_a_run_does_not_change_are_no_finding(server: &Server) {
    let mut case = adopted(server, "kept_in").await;
    let grants = "CREATE ROLE kept_in_third; GRANT kept_in, kept_in_clone TO kept_in_third; \
         GRANT CREATE ON SCHEMA public TO kept_in; REVOKE kept_in FROM kept_in_clone; \
         GRANT SELECT ON shared.whole TO kept_in, kept_in_clone";
    server.sql(&case.namespace, grants).await;
    if server.version >= 16 {
        let administer = "CREATE ROLE kept_in_admin; \
             GRANT kept_in_clone TO kept_in_admin WITH ADMIN TRUE, INHERIT FALSE, SET FALSE";
        server.sql("postgres", administer).await;
    }
    case.pair.active = PairMember::Base;
    case.current = case.previous.take().unwrap();
    for _ in 0..3 {
        case.rotate().await;
        let kept = "SELECT has_table_privilege('kept_in_third', 'shared.whole', 'SELECT')";
        assert!(holds(server, &case, kept).await);
    }
}
