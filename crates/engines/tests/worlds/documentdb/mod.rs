//! Worlds on a server of MongoDB's protocol.
//!
//! A world has users in several databases, built-in and custom roles, inherited roles, and a pair
//! whose other user may exist, with other roles. In every third world a relay follows the rules of
//! Amazon DocumentDB. After each rotation, these properties must hold:
//!
//! - The new active user can do what the previous one could, with each of its mechanisms.
//! - The users differ in name and credentials only.
//! - No other user, no role and no collection differs from before.
//! - Findings name a refusal before anything changes, and their fix repairs it.

mod abilities;
mod rotation;
mod server;
mod snapshot;
mod world;

use self::rotation::Rotation;
use self::server::Server;
use self::world::World;
use crate::seeds::seeds;
use crate::tally::Tally;

#[test]
fn documentdb_pairs_rotate_in_any_world() {
    if !Server::is_installed() {
        let needed = std::env::var_os("TWINKEY_ALL_ENGINES").is_some();
        assert!(!needed, "SecantusDB is not installed: run `make setup`");
        eprintln!("SecantusDB is not installed: nothing was tested on it");
        return;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let server = Server::start().await;
        let mut tally = Tally::default();
        let seeds = seeds();
        for seed in seeds.clone() {
            let world = World::new(&server, seed);
            server.follow_rules(world.is_documentdb);
            for step in &world.steps {
                let done = server.try_run(&step.database, step.command.clone()).await;
                assert!(done.is_ok() || !step.required, "{step:?}: {done:?}");
                tally.statement(step.kind, done.is_ok());
            }
            let outcome = Rotation::new(&server, &world).both_ways().await;
            tally.world(seed, &world.script(), outcome);
            server.clear(&world).await;
        }
        tally.finish("DocumentDB", &seeds);
    });
}
