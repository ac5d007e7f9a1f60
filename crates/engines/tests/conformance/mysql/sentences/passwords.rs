//! Passwords and methods to sign in.

use twinkey_core::code::{Code, Diagnostic as _};
use twinkey_core::secret::ExposeSecret;
use twinkey_engines::{Credentials, Engine, InspectRequest, SignInChecks, StandbyAccess, TlsMode};
use twinkey_testkit::environment::mariadb::RDS_MASTER;
use twinkey_testkit::mysql::Flavor;

use super::super::{Server, account, try_run};
use super::described;
use crate::case::{Case, refusal};
use crate::passwords::new_password;

pub async fn a_validating_plugin_is_reported_with_its_fix(server: &Server) {
    let mut case = Case::new(server, "validated").await;
    server.sql("INSTALL SONAME 'simple_password_check'").await;
    let missing = case.inspect().await.missing;
    assert_eq!(missing.len(), 1, "{missing:#?}");
    let fix = missing[0].fix.as_ref().unwrap();
    // RDS gives its master no SUPER: the finding names where such a variable is set there.
    let master = Credentials {
        username: "rds_master".into(),
        password: new_password(),
    };
    server.make_user(&master).await;
    let name = account(&master.username);
    server
        .sql(&format!(
            "GRANT {RDS_MASTER} ON *.* TO {name} WITH GRANT OPTION"
        ))
        .await;
    let mut by_master = server.connect_as("mysql", &master).await;
    let refused = try_run(&mut by_master, fix).await.unwrap_err();
    assert!(refused.to_string().contains("SUPER"), "{refused}");
    let what = &missing[0].what;
    assert!(what.contains("On RDS"), "{what}");
    assert!(what.contains("DB parameter group"), "{what}");
    server.sql(fix).await;
    case.rotate().await;
    server
        .sql("UNINSTALL SONAME 'simple_password_check'; SET GLOBAL strict_password_validation = ON")
        .await;
}

pub async fn an_ed25519_user_is_rotated_and_signs_in(server: &Server) {
    let mut case = Case::new(server, "edward").await;
    let password = case.current.password.expose_secret();
    server
        .quietly(&format!(
            "ALTER USER {} IDENTIFIED VIA ed25519 USING PASSWORD('{password}')",
            account("edward")
        ))
        .await;
    for _ in 0..3 {
        case.rotate().await;
        let wrong = Credentials {
            password: new_password(),
            ..case.current.clone()
        };
        case.sign_in(&wrong).await.unwrap_err();
    }
    let lines = described(server, "edward_clone", "%").await;
    assert!(lines[0].contains("ed25519"), "{lines:?}");
}

pub async fn a_retained_password_is_discarded(server: &Server) {
    let mut case = Case::new(server, "retained").await;
    case.rotate().await;
    case.rotate().await;
    let retained = case.previous.clone().unwrap();
    server
        .quietly(&format!(
            "ALTER USER {} IDENTIFIED BY '{}' RETAIN CURRENT PASSWORD",
            account("retained_clone"),
            new_password().expose_secret()
        ))
        .await;
    case.sign_in(&retained).await.expect("it is retained");
    case.rotate().await;
    case.sign_in(&retained).await.unwrap_err();
}

pub async fn the_first_sign_in_after_a_change_needs_verified_tls(server: &Server) {
    let mut case = Case::new(server, "cached").await;
    case.rotate().await;
    // The superuser changes it, so that the server's cache lacks it.
    let fresh = Credentials {
        username: "cached".into(),
        password: new_password(),
    };
    server
        .quietly(&format!(
            "ALTER USER {} IDENTIFIED BY '{}'",
            account("cached"),
            fresh.password.expose_secret()
        ))
        .await;
    let mut target = case.target();
    target.tls.mode = TlsMode::Disable;
    let error = server
        .engine
        .sign_in(&target, &fresh, SignInChecks::default())
        .await
        .unwrap_err();
    assert_eq!(error.code(), Code::TlsFailed, "{error}");
    assert!(error.to_string().contains("verified TLS"), "{error}");
    assert!(error.hint().contains("mode = \"verify-full\""), "{error}");
    // The server's cache has the master.
    let mut admin = server.engine.admin(&target, &server.master).await.unwrap();
    let request = InspectRequest {
        pair: &case.pair,
        password: None,
        current: None,
        tls: target.tls.mode,
        thorough: false,
    };
    let inspection = admin.inspect(&request).await.unwrap();
    assert_eq!(refusal(&inspection).unwrap().code, Some(Code::TlsFailed));
}

/// A version of the secret names the standby, and its password is older than its interval.
pub async fn an_expired_standby_gets_its_next_password(server: &Server) {
    let mut case = Case::new(server, "aged").await;
    case.rotate().await;
    case.rotate().await;
    let age = match server.flavor {
        Flavor::Mariadb => {
            "global_priv SET Priv = JSON_SET(Priv, '$.password_last_changed', UNIX_TIMESTAMP() - 86400)"
        }
        Flavor::Mysql => "user SET password_last_changed = NOW() - INTERVAL 1 DAY",
    };
    let age = |user: &str| format!("UPDATE mysql.{age} WHERE User = '{user}'; FLUSH PRIVILEGES");
    server
        .sql("ALTER USER aged@'%', aged_clone@'%' PASSWORD EXPIRE INTERVAL 1 DAY")
        .await;
    server.sql(&age("aged_clone")).await;
    let inspection = case.inspect().await;
    assert_eq!(inspection.standby_access, StandbyAccess::Disabled);
    let previous = case.previous.clone().unwrap();
    let held = case
        .holds(case.admin().await.as_mut(), &previous.password)
        .await;
    assert_eq!(held, Some(false));
    case.rotate().await;
    server.sql(&age("aged_clone")).await;
    let obstacles = case.inspect().await.obstacles;
    let what = "PASSWORD EXPIRE INTERVAL 1 DAY";
    assert!(
        obstacles.iter().any(|o| o.what.contains(what)),
        "{obstacles:?}"
    );
}
