//! The form in which the new password is stored, where the master cannot read the active user's, as on
//! RDS: the server's request at the active user's sign-in shows it.

use sqlx::postgres::PgConnection;
use twinkey_stores::stage;
use twinkey_testkit::environment::{Environment, Setup, run, value};
use twinkey_testkit::pki::Pki;

const FORMS: [&str; 2] = ["md5", "scram-sha-256"];

/// The method of RDS: the server requests md5 of users with an md5 hash, and SCRAM of the others.
const METHOD: &str = "host all all 127.0.0.1/32 md5";

async fn store_current_as(env: &Environment, root: &mut PgConnection, form: &str) {
    let (current, _) = env.read(stage::CURRENT).await;
    let [user, password] = ["username", "password"].map(|field| current[field].as_str().unwrap());
    let set = format!(
        "SET password_encryption = '{form}'; ALTER ROLE {user} PASSWORD '{password}'; \
         RESET password_encryption"
    );
    run(root, &set).await;
}

async fn form_of_current(env: &Environment, root: &mut PgConnection) -> &'static str {
    let (current, _) = env.read(stage::CURRENT).await;
    let user = current["username"].as_str().unwrap();
    let is_md5 = format!("SELECT rolpassword LIKE 'md5%' FROM pg_authid WHERE rolname = '{user}'");
    if value(root, &is_md5).await {
        "md5"
    } else {
        "scram-sha-256"
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_standby_is_stored_as_the_active_user_is() {
    for (version, of_server) in [15, 18]
        .into_iter()
        .flat_map(|v| FORMS.map(|form| (v, form)))
    {
        let pki = Pki::new();
        let env = Environment::open(Setup {
            version: Some(version),
            settings: vec![format!("password_encryption={of_server}")],
            hba: vec![METHOD.into()],
            // A master answers md5 under verified TLS only.
            tls: Some(pki.server.clone()),
            rotation: format!(
                "tls = {{ mode = \"verify-ca\", ca_file = \"{}\" }}",
                pki.ca_file.display()
            ),
            ..Setup::default()
        })
        .await;
        let mut root = env.root("shop").await;
        for of_active in FORMS {
            let case = format!("{version}, server {of_server}, active user {of_active}");
            store_current_as(&env, &mut root, of_active).await;
            let is_warned = env.run_ok(&["check", "shop"]).await.contains("as md5");
            assert_eq!(is_warned, of_active == "md5", "{case}");
            for _ in 0..2 {
                env.run_ok(&["rotate", "shop"]).await;
                assert_eq!(form_of_current(&env, &mut root).await, of_active, "{case}");
            }
            env.run_ok(&["rollback", "shop"]).await;
            env.signed_in(stage::CURRENT).await;
        }
    }
}
