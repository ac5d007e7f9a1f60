//! Masters whose rights come by other roles.

use twinkey_core::code::Code;
use twinkey_core::secret::pair::PairMember;

use super::adopted::adopted;
use super::found_first::{holds, mend};
use super::{MASTER, Server};
use crate::case::Case;

pub async fn all(server: &Server) {
    a_master_that_may_alter_but_not_grant_is_found(server).await;
    a_master_in_the_clone_revokes_the_same_after_a_run(server).await;
    grants_of_another_grantor_to_the_master_are_restored(server).await;
}

/// From 16 on. Before, CREATEROLE suffices.
async fn a_master_that_may_alter_but_not_grant_is_found(server: &Server) {
    if server.version < 16 {
        return;
    }
    let mut case = Case::new(server, "granted").await;
    let by_admins = format!(
        "REVOKE granted FROM {MASTER}; CREATE ROLE granted_admins; \
         GRANT granted TO granted_admins WITH ADMIN OPTION; GRANT granted_admins TO {MASTER}"
    );
    server.sql("postgres", &by_admins).await;
    case.rotate().await;
    // A complete pair has no grant in its runs.
    let no_longer = format!("GRANT granted_admins TO {MASTER} WITH INHERIT FALSE");
    server.sql("postgres", &no_longer).await;
    case.rotate().await;
    let leave = "REVOKE granted FROM granted_clone GRANTED BY granted_admins";
    server.sql("postgres", leave).await;
    let found = mend(server, &case).await;
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(found[0].code, Some(Code::PrivilegesMissing));
    for _ in 0..2 {
        case.rotate().await;
    }
}

async fn a_master_in_the_clone_revokes_the_same_after_a_run(server: &Server) {
    let mut case = adopted(server, "shown_in").await;
    let grants = format!(
        "REVOKE shown_in FROM shown_in_clone; GRANT shown_in_clone TO {MASTER} WITH ADMIN OPTION; \
         GRANT CREATE ON SCHEMA public TO shown_in; CREATE ROLE shown_in_owner; \
         GRANT shown_in_owner TO shown_in; CREATE ROLE shown_in_group; \
         CREATE TABLE public.shown (); ALTER TABLE public.shown OWNER TO shown_in_owner; \
         GRANT SELECT ON public.shown TO shown_in_clone; \
         GRANT shown_in_group TO shown_in_owner WITH ADMIN OPTION; SET ROLE shown_in_owner; \
         GRANT shown_in_group TO shown_in_clone"
    );
    server.sql(&case.namespace, &grants).await;
    case.pair.active = PairMember::Base;
    case.current = case.previous.take().unwrap();
    for _ in 0..3 {
        case.rotate().await;
    }
}

/// From 16 on. The master may grant both users as a member of a role.
async fn grants_of_another_grantor_to_the_master_are_restored(server: &Server) {
    if server.version < 16 {
        return;
    }
    let mut case = adopted(server, "steered").await;
    let by_admins = format!(
        "REVOKE steered FROM {MASTER} CASCADE; REVOKE steered_clone FROM {MASTER} CASCADE; \
         CREATE ROLE steered_admins; GRANT steered_admins TO {MASTER}; \
         GRANT steered, steered_clone TO steered_admins WITH ADMIN OPTION, INHERIT FALSE, SET FALSE; \
         GRANT steered, steered_clone TO {MASTER} WITH INHERIT FALSE, SET FALSE GRANTED BY steered_admins; \
         GRANT steered TO steered_clone WITH INHERIT TRUE, SET TRUE GRANTED BY steered_admins; \
         GRANT CREATE ON SCHEMA public TO steered; \
         CREATE TABLE public.steered (); ALTER TABLE public.steered OWNER TO steered_clone"
    );
    server.sql(&case.namespace, &by_admins).await;
    let before = memberships(server, &case).await;
    assert_eq!(before.lines().count(), 2, "{before}");
    for _ in 0..3 {
        case.rotate().await;
        assert_eq!(memberships(server, &case).await, before);
    }
    let owned = "SELECT tableowner = 'steered' FROM pg_tables WHERE tablename = 'steered'";
    assert!(holds(server, &case, owned).await);
}

/// Memberships of the master in the pair.
async fn memberships(server: &Server, case: &Case<'_>) -> String {
    let query = "SELECT string_agg(m::text, E'\\n' ORDER BY m.roleid) FROM pg_auth_members m \
         WHERE member = $1::text::regrole AND roleid IN ($2::text::regrole, $3::text::regrole)";
    let mut connection = server.connect("postgres").await;
    let query = sqlx::query_scalar(query)
        .bind(MASTER)
        .bind(&case.pair.base)
        .bind(&case.pair.clone);
    query.fetch_one(&mut connection).await.unwrap()
}
