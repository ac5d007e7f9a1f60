//! Refused rotations on MariaDB.

use super::fixture::MariadbFixture;
use crate::engines::pair::pair_tests;
use crate::faults::failures::is_refused;
use twinkey_testkit::environment::Setup;
use twinkey_testkit::environment::mariadb::MariadbEnvironment;

pair_tests!(
    MariadbFixture:
    a_wrong_password_has_its_own_code_for_each_user
    a_missing_privilege_is_reported_with_its_statement
    a_stopped_server_is_unreachable
    sessions_of_the_standby_stop_a_manual_run
    the_master_and_superusers_are_not_rotated
);

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_tls_is_refused_by_default() {
    let env = MariadbEnvironment::on_mariadb(Setup {
        rotation: "tls = { mode = \"verify-full\" }".into(),
        ..Setup::default()
    })
    .await;
    is_refused(&env, "tls_failed").await;
}
