//! What is DocumentDB's and MongoDB's own: users, mechanisms, passwords.

use mongodb::bson::{Document, doc};
use twinkey_core::code::Code;
use twinkey_core::secret::ExposeSecret;
use twinkey_engines::{ChangeKind, Credentials};

use super::{MASTER, SHA_1, SHA_256, Server, locks, role, servers};
use crate::case::{Case, all_changes, ready, refusal};
use crate::harness::Harness;
use crate::passwords::new_password;

pub async fn all(server: &Server) {
    what_the_server_tells_of_the_two_users_differs_in_the_name_only(server).await;
    passwords_come_by_create_user_and_update_user_and_by_nothing_else(server).await;
    users_that_live_in_the_secrets_own_database_are_rotated_there(server).await;
    a_user_of_the_pairs_name_in_the_other_database_is_refused(server).await;
    a_standby_with_other_mechanisms_is_found_out(server).await;
    a_role_that_is_gone_stands_in_nobodys_way(server).await;
    a_master_that_may_not_even_look_is_told_what_it_lacks(server).await;
    locks::all(server).await;
    servers::all(server).await;
}

async fn what_the_server_tells_of_the_two_users_differs_in_the_name_only(server: &Server) {
    let mut case = Case::new(server, "told").await;
    for privilege in server.privileges() {
        case.grant(privilege).await;
    }
    for round in 0..4 {
        case.rotate().await;
        let (active, standby) = (case.pair.active_user(), case.pair.standby_user());
        let told = server.told("admin", active).await;
        assert_eq!(told, server.told("admin", standby).await);
        let mechanisms = told.get_array("mechanisms").unwrap().iter();
        let mechanisms = mechanisms.map(|one| one.as_str().unwrap());
        assert!(mechanisms.eq(server.mechanisms.iter().copied()), "{told}");
        case.revoke(server.privileges()[round]).await;
    }
}

async fn passwords_come_by_create_user_and_update_user_and_by_nothing_else(server: &Server) {
    let mut case = Case::new(server, "heard").await;
    for round in 0..3 {
        let heard = server.witness.passwords().len();
        case.rotate().await;
        let came_by = server.witness.came_by(&case.current.password);
        assert_eq!(came_by, ["updateUser"]);
        // A new standby begins with a password that nobody knows.
        let heard = server.witness.passwords().len() - heard;
        assert_eq!(heard, if round == 0 { 2 } else { 1 });
    }
    // What was left out of the log is nowhere else in it either: neither the pending ones nor those
    // that nobody was to know.
    let log = server.witness.log();
    for password in server.witness.passwords() {
        let is_there = log.contains(password.expose_secret());
        assert!(!is_there, "a password is in the log");
    }
}

/// As [`Case::new`], but the user lives in the place.
async fn at_home<'a>(server: &'a Server, base: &str) -> Case<'a> {
    let case = Case::new(server, base).await;
    server.run("admin", doc! { "dropUser": base }).await;
    server.make_user(&case.place, &case.current).await;
    let roles = [
        role("readWrite", &case.place),
        role("reader", &format!("{}_2", case.place)),
    ];
    let grant = doc! { "grantRolesToUser": base, "roles": &roles[..] };
    server.run(&case.place, grant).await;
    case
}

async fn users_that_live_in_the_secrets_own_database_are_rotated_there(server: &Server) {
    let mut case = at_home(server, "homely").await;
    for _ in 0..3 {
        case.rotate().await;
        let (active, standby) = (case.pair.active_user(), case.pair.standby_user());
        let place = case.place.as_str();
        assert_eq!(
            server.told(place, active).await,
            server.told(place, standby).await
        );
        for user in [active, standby] {
            assert!(!server.has("admin", user).await, "{user} is in admin too");
        }
        server.door(place).sign_in(&case.current).await.unwrap();
    }
}

async fn a_user_of_the_pairs_name_in_the_other_database_is_refused(server: &Server) {
    let mut case = at_home(server, "double").await;
    case.rotate().await;
    let other = Credentials {
        username: "double".into(),
        password: new_password(),
    };
    server.make_user("admin", &other).await;
    let inspection = case.inspect().await;
    let refused = refusal(&inspection).unwrap();
    assert!(refused.what.contains("authSource"), "{refused:?}");
    server.run("admin", doc! { "dropUser": "double" }).await;
    case.rotate().await;
}

async fn a_standby_with_other_mechanisms_is_found_out(server: &Server) {
    let mut case = Case::new(server, "poorer").await;
    case.rotate().await;
    case.rotate().await;
    let standby = case.previous.clone().unwrap();
    let fewer = if server.mechanisms == [SHA_1] {
        SHA_256
    } else {
        SHA_1
    };
    let by_hand = doc! {
        "createUser": &standby.username,
        "pwd": standby.password.expose_secret(),
        "roles": [role("readWrite", &case.place)],
        "mechanisms": [fewer],
    };
    let drop = doc! { "dropUser": &standby.username };
    server.run("admin", drop.clone()).await;
    server.run("admin", by_hand).await;
    let mut admin = case.admin().await;
    let next = case.next();
    let held = case.holds(admin.as_mut(), &next.password).await;
    assert_eq!(held, Some(false), "although all roles are equal");
    // This server keeps the mechanisms that a user was made with, whatever updateUser says. A sign-in
    // proves nothing then: the application may come by the mechanism that is not there.
    let changes = all_changes(&case.inspect().await);
    admin.apply(&ready(&changes, &next.password)).await.unwrap();
    let held = case.holds(admin.as_mut(), &next.password).await;
    assert_eq!(held, Some(false), "the server ignored the mechanisms");
    server.run("admin", drop).await;
    case.rotate().await;
}

async fn a_role_that_is_gone_stands_in_nobodys_way(server: &Server) {
    let mut case = Case::new(server, "orphan").await;
    let custom = doc! { "createRole": "passing", "privileges": [], "roles": [] };
    server.run("admin", custom).await;
    server.give("orphan", &[role("passing", "admin")]).await;
    case.rotate().await;
    server.run("admin", doc! { "dropRole": "passing" }).await;
    case.rotate().await;
    case.work().await;
    case.rotate().await;
}

async fn a_master_that_may_not_even_look_is_told_what_it_lacks(server: &Server) {
    let mut case = Case::new(server, "unseen").await;
    case.rotate().await;
    let mighty = [role("userAdminAnyDatabase", "admin")];
    server.take(MASTER, &mighty).await;
    let mut mended = 0;
    loop {
        let inspection = case.inspect().await;
        let Some(lack) = inspection.missing.first() else {
            assert_eq!(inspection.set_password[0].kind, ChangeKind::Password);
            break;
        };
        assert_eq!(lack.code, Some(Code::PrivilegesMissing));
        assert_eq!(inspection.differences, []);
        server.mend(&case.place, lack.fix.as_ref().unwrap()).await;
        mended += 1;
    }
    assert_eq!(mended, 1, "the likelier of two databases is named first");
    case.rotate().await;
}

impl Server {
    async fn has(&self, database: &str, user: &str) -> bool {
        let who: Document = doc! { "usersInfo": { "user": user, "db": database } };
        let answer = self.run(database, who).await;
        !answer.get_array("users").unwrap().is_empty()
    }
}
