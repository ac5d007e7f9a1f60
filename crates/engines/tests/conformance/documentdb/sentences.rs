//! Conformance that only DocumentDB and MongoDB need: users, mechanisms, passwords.

use mongodb::bson::{Document, doc};
use twinkey_core::code::Code;
use twinkey_core::secret::ExposeSecret;
use twinkey_engines::{ChangeKind, Credentials};

use super::{MASTER, SHA_1, SHA_256, Server, amazon, locks, role, servers};
use crate::case::{Case, all_changes, refusal, rendered};
use crate::harness::Harness;
use crate::passwords::new_password;

pub async fn all(server: &Server) {
    the_two_users_differ_in_their_names_only(server).await;
    only_create_user_and_update_user_contain_passwords(server).await;
    users_in_the_secrets_own_database_are_rotated_there(server).await;
    a_duplicate_user_in_the_other_database_is_refused(server).await;
    a_standby_with_other_mechanisms_is_found(server).await;
    a_dropped_role_does_not_block_rotations(server).await;
    a_master_that_may_not_read_users_gets_the_missing_role(server).await;
    locks::all(server).await;
    servers::all(server).await;
    amazon::all(server).await;
}

async fn the_two_users_differ_in_their_names_only(server: &Server) {
    let mut case = Case::new(server, "named").await;
    for privilege in server.privileges() {
        case.grant(privilege).await;
    }
    for round in 0..4 {
        case.rotate().await;
        let (active, standby) = (case.pair.active_user(), case.pair.standby_user());
        let reported = server.reported("admin", active).await;
        assert_eq!(reported, server.reported("admin", standby).await);
        let mechanisms = reported.get_array("mechanisms").unwrap().iter();
        let mechanisms = mechanisms.map(|one| one.as_str().unwrap());
        assert!(
            mechanisms.eq(server.mechanisms.iter().copied()),
            "{reported}"
        );
        case.revoke(server.privileges()[round]).await;
    }
}

async fn only_create_user_and_update_user_contain_passwords(server: &Server) {
    let mut case = Case::new(server, "sent").await;
    for round in 0..3 {
        let count = server.relay.passwords().len();
        case.rotate().await;
        let commands = server.relay.commands_with_password(&case.current.password);
        assert_eq!(commands, ["updateUser"]);
        // A new standby first has a throwaway password.
        let count = server.relay.passwords().len() - count;
        assert_eq!(count, if round == 0 { 2 } else { 1 });
    }
    // Neither pending nor throwaway passwords are elsewhere in the log.
    let log = server.relay.log();
    for password in server.relay.passwords() {
        let is_there = log.contains(password.expose_secret());
        assert!(!is_there, "a password is in the log");
    }
}

/// As [`Case::new`], but the user is defined in the place.
async fn in_own_database<'a>(server: &'a Server, base: &str) -> Case<'a> {
    let case = Case::new(server, base).await;
    server.run("admin", doc! { "dropUser": base }).await;
    server.make_user(&case.namespace, &case.current).await;
    let roles = [
        role("readWrite", &case.namespace),
        role("reader", &format!("{}_2", case.namespace)),
    ];
    let grant = doc! { "grantRolesToUser": base, "roles": &roles[..] };
    server.run(&case.namespace, grant).await;
    case
}

async fn users_in_the_secrets_own_database_are_rotated_there(server: &Server) {
    let mut case = in_own_database(server, "local").await;
    for _ in 0..3 {
        case.rotate().await;
        let (active, standby) = (case.pair.active_user(), case.pair.standby_user());
        let place = case.namespace.as_str();
        assert_eq!(
            server.reported(place, active).await,
            server.reported(place, standby).await
        );
        for user in [active, standby] {
            assert!(!server.has("admin", user).await, "{user} is in admin too");
        }
        server
            .sign_in_options(place)
            .connect(&case.current)
            .await
            .unwrap();
    }
}

async fn a_duplicate_user_in_the_other_database_is_refused(server: &Server) {
    let mut case = in_own_database(server, "double").await;
    case.rotate().await;
    // The standby and the active user.
    for name in ["double", "double_clone"] {
        let other = Credentials {
            username: name.into(),
            password: new_password(),
        };
        server.make_user("admin", &other).await;
        let inspection = case.inspect().await;
        let refused = refusal(&inspection).unwrap();
        assert!(refused.what.contains("authSource"), "{refused:?}");
        // AWSCURRENT signs in as the other one.
        let drop = format!("db.getSiblingDB(\"admin\").dropUser(\"{name}\")");
        let fix = refused.fix.as_deref().unwrap();
        assert!(fix.ends_with(&drop), "{fix}");
        server.run("admin", doc! { "dropUser": name }).await;
    }
    case.rotate().await;
}

async fn a_standby_with_other_mechanisms_is_found(server: &Server) {
    let mut case = Case::new(server, "poorer").await;
    case.rotate().await;
    case.rotate().await;
    let standby = case.previous.clone().unwrap();
    let fewer = if server.mechanisms == [SHA_1] {
        SHA_256
    } else {
        SHA_1
    };
    let create = doc! {
        "createUser": &standby.username,
        "pwd": standby.password.expose_secret(),
        "roles": [role("readWrite", &case.namespace)],
        "mechanisms": [fewer],
    };
    let drop = doc! { "dropUser": &standby.username };
    server.run("admin", drop.clone()).await;
    server.run("admin", create).await;
    let mut admin = case.admin().await;
    let next = case.next();
    let held = case.holds(admin.as_mut(), &next.password).await;
    assert_eq!(held, Some(false), "although all roles are equal");
    // This server ignores the mechanisms in updateUser. A sign-in is then not sufficient, because
    // the application may use the missing mechanism.
    let changes = all_changes(&case.inspect().await);
    admin
        .apply(&rendered(&changes, &next.password))
        .await
        .unwrap();
    let held = case.holds(admin.as_mut(), &next.password).await;
    assert_eq!(held, Some(false), "the server ignored the mechanisms");
    server.run("admin", drop).await;
    case.rotate().await;
}

async fn a_dropped_role_does_not_block_rotations(server: &Server) {
    let mut case = Case::new(server, "orphan").await;
    let custom = doc! { "createRole": "passing", "privileges": [], "roles": [] };
    server.run("admin", custom).await;
    server.give("orphan", &[role("passing", "admin")]).await;
    case.rotate().await;
    server.run("admin", doc! { "dropRole": "passing" }).await;
    case.rotate().await;
    case.run_workload().await;
    case.rotate().await;
}

async fn a_master_that_may_not_read_users_gets_the_missing_role(server: &Server) {
    let mut case = Case::new(server, "unseen").await;
    case.rotate().await;
    let revoked = [role("userAdminAnyDatabase", "admin")];
    server.take(MASTER, &revoked).await;
    let mut fixes = 0;
    loop {
        let inspection = case.inspect().await;
        let Some(lack) = inspection.missing.first() else {
            assert_eq!(inspection.set_password[0].kind, ChangeKind::Password);
            break;
        };
        assert_eq!(lack.code, Some(Code::PrivilegesMissing));
        assert_eq!(inspection.differences, []);
        server
            .apply_fix(&case.namespace, lack.fix.as_ref().unwrap())
            .await;
        fixes += 1;
    }
    assert_eq!(fixes, 1, "the more likely of two databases is named first");
    case.rotate().await;
}

impl Server {
    async fn has(&self, database: &str, user: &str) -> bool {
        let who: Document = doc! { "usersInfo": { "user": user, "db": database } };
        let answer = self.run(database, who).await;
        !answer.get_array("users").unwrap().is_empty()
    }
}
