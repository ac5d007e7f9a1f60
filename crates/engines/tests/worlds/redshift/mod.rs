//! Worlds on the stand-in of Redshift: two databases with objects of several owners, and grants of
//! several grantors.
//!
//! After each rotation, these properties must hold:
//!
//! - The new active user can do what the previous one could, by the server's functions and by doing.
//! - What is granted to the two users is equal, except on what they own.
//! - No row of the catalogue that is about another user, group or role differs from before.
//! - Findings name a refusal before anything changes, and their fix repairs it.

mod abilities;
mod rotation;
mod server;
mod snapshot;
mod statements;
mod twins;
mod world;

use self::rotation::Rotation;
use self::server::Server;
use self::world::World;
use crate::seeds::seeds;
use crate::tally::Tally;
use twinkey_testkit::postgres::LocalPostgres;

#[test]
fn redshift_pairs_rotate_in_any_world() {
    let Ok(bin) = LocalPostgres::find(None) else {
        let needed = std::env::var_os("TWINKEY_ALL_ENGINES").is_some();
        assert!(!needed, "PostgreSQL is not installed: run `make setup`");
        eprintln!("PostgreSQL is not installed: nothing was tested on the stand-in of Redshift");
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let server = Server::start(bin).await;
        snapshot::kinds_are_complete(&server).await;
        let mut tally = Tally::default();
        let seeds = seeds();
        for seed in seeds.clone() {
            let world = World::new(seed);
            for step in &world.steps {
                let done = server.run(step).await;
                assert!(done.is_ok() || !step.required, "{step:?}: {done:?}");
                if let (Err(error), Some(_)) = (&done, std::env::var_os("TWINKEY_WORLD_ERRORS")) {
                    eprintln!("{}: {error}", step.kind);
                }
                tally.statement(step.kind, done.is_ok());
            }
            let outcome = Rotation::new(&server, &world).both_ways().await;
            tally.world(seed, &world.script(), outcome);
            server.clear(&world).await;
        }
        tally.finish("Redshift", &seeds);
    });
}
