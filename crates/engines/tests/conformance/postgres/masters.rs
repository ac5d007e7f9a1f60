//! Masters whose rights come by other roles.

use twinkey_core::code::Code;
use twinkey_core::secret::pair::PairMember;

use super::adopted::adopted;
use super::found_first::mend;
use super::{MASTER, Server};
use crate::case::Case;

pub async fn all(server: &Server) {
    a_master_that_may_alter_but_not_grant_is_found(server).await;
    a_master_in_the_clone_revokes_the_same_after_a_run(server).await;
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
