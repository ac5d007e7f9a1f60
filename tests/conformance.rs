//! The sentences that every engine passes, each against its real server: PostgreSQL in every
//! version that is installed, one server a version.

#[path = "conformance/sentences.rs"]
mod sentences;
#[path = "conformance/server.rs"]
mod server;
#[path = "conformance/transport.rs"]
mod transport;

use twinkey::demo::postgres::LocalPostgres;

fn on(version: u32) {
    let Ok(bin) = LocalPostgres::find(Some(version)) else {
        assert!(
            std::env::var_os("TWINKEY_ALL_ENGINES").is_none(),
            "PostgreSQL {version} is not installed: run `make setup`"
        );
        eprintln!("PostgreSQL {version} is not installed: nothing was tested on it");
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let server = server::Server::start(version, bin).await;
        sentences::all(&server).await;
        transport::all(&server).await;
        sentences::the_log_holds_no_password(&server);
    });
}

#[test]
fn postgres_15_passes_every_sentence() {
    on(15);
}

#[test]
fn postgres_16_passes_every_sentence() {
    on(16);
}

#[test]
fn postgres_17_passes_every_sentence() {
    on(17);
}

#[test]
fn postgres_18_passes_every_sentence() {
    on(18);
}
