//! The API: its states, its limits, its errors.
use super::*;

#[tokio::test]
async fn smoke() {
    let setup = Setup::new().await;
    println!(
        "{:?}",
        setup
            .run("admin", "select current_user, 1, true, getdate()")
            .await
    );
    println!(
        "{:?}",
        setup.run("admin", "select * from svv_user_info").await
    );
}
