//! Random worlds of MariaDB and MySQL.
//!
//! A world has accounts of the pair and of others, roles, objects of every kind, and grants on every
//! level. `SHOW PRIVILEGES` lists the privileges. The master has what the findings demand, and no
//! more.

mod accounts;
mod effective;
mod objects;
mod rotation;
mod server;
mod snapshot;
mod statements;
mod world;

use std::collections::BTreeMap;

use sqlx::mysql::MySqlConnection;
use twinkey_testkit::mysql::{Flavor, find_for_test};

use self::rotation::{Failure, Outcome, Rotation};
use self::server::{MASTER, Server, account, execute, ident, rows};
use self::world::World;
use crate::seeds::{MANY, seeds};

/// Successes and failures of the statements, by kind.
type Counts = BTreeMap<&'static str, (usize, usize)>;

fn on(flavor: Flavor) {
    let Some(program) = find_for_test(flavor) else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let server = Server::start(program).await;
        all_worlds(&server).await;
    });
}

async fn all_worlds(server: &Server) {
    let (mut counts, mut outcomes, mut failed) = (Counts::new(), BTreeMap::new(), Vec::new());
    let seeds = seeds();
    for seed in seeds.clone() {
        let world = World::new(server, seed);
        let outcome = match rotated(server, &world, &mut counts).await {
            Ok(Outcome::Rotated) => "rotated".to_owned(),
            Ok(Outcome::Refused(codes)) => format!("refused: {codes:?}"),
            Ok(Outcome::Unusable) => "AWSCURRENT refused, with its cause".to_owned(),
            Err(failure) => {
                println!("{}-- world {seed}: {failure}\n", world.script());
                failed.push(seed);
                "failed".to_owned()
            }
        };
        *outcomes.entry(outcome).or_insert(0) += 1;
        clear(server, &world).await;
    }
    println!("worlds {seeds:?}: {outcomes:#?}\nstatements (done, refused): {counts:?}");
    assert!(failed.is_empty(), "worlds {failed:?} failed");
    if seeds.end - seeds.start >= MANY {
        for (kind, (done, refused)) in counts {
            assert!(done > 0, "no {kind} succeeded, and {refused} were refused");
        }
    }
}

async fn rotated(server: &Server, world: &World, counts: &mut Counts) -> Result<Outcome, Failure> {
    let mut root = server.superuser().await;
    server.make_master(&mut root, world.broad_master).await;
    for step in &world.steps {
        let mode = "SET SESSION sql_mode = 'ORACLE'";
        execute(&mut root, if step.oracle { mode } else { server::MODE })
            .await
            .unwrap();
        let done = execute(&mut root, &step.sql).await;
        let counted = counts.entry(step.kind).or_default();
        match done {
            Ok(()) => counted.0 += 1,
            Err(error) if step.required => panic!("{}: {error:?}", step.sql),
            Err(error) => {
                counted.1 += 1;
                if std::env::var_os("TWINKEY_WORLD_ERRORS").is_some() {
                    eprintln!("{}: {}: {error:?}", step.kind, step.sql);
                }
            }
        }
    }
    if world.has_plain_names() {
        // MySQL keeps some changes in its tables only.
        execute(&mut root, "FLUSH PRIVILEGES").await.unwrap();
    }
    Rotation::new(server, world, root).both_ways().await
}

/// Removes everything of the world.
async fn clear(server: &Server, world: &World) {
    let mut root = server.superuser().await;
    for schema in &world.schemas {
        let drop = format!("DROP DATABASE IF EXISTS {}", ident(schema));
        execute(&mut root, &drop).await.unwrap();
    }
    if !server.is_mariadb() {
        let mode = "SET GLOBAL mandatory_roles = ''";
        execute(&mut root, mode).await.unwrap();
    }
    for (user, host) in accounts(&mut root).await {
        let is_ours = user.to_lowercase().starts_with(&format!("w{}", world.seed));
        if !is_ours && user != MASTER {
            continue;
        }
        let drop = if server.is_mariadb() && host.is_empty() {
            format!("DROP ROLE {}", ident(&user))
        } else {
            format!("DROP USER {}", account(&user, &host))
        };
        execute(&mut root, &drop).await.unwrap();
    }
    if server.is_mariadb() {
        // Grants to PUBLIC outlive the schemas.
        let revoke = "REVOKE ALL PRIVILEGES, GRANT OPTION FROM PUBLIC";
        let _ = execute(&mut root, revoke).await;
    } else {
        execute(&mut root, "SET GLOBAL partial_revokes = OFF")
            .await
            .unwrap();
    }
}

async fn accounts(root: &mut MySqlConnection) -> Vec<(String, String)> {
    let all = "SELECT CAST(User AS CHAR), CAST(Host AS CHAR) FROM mysql.user";
    let all = rows(root, all).await.unwrap();
    let pair = |row: Vec<String>| (row[0].clone(), row[1].clone());
    all.into_iter().map(pair).collect()
}

#[test]
fn mariadb_pairs_rotate_in_any_world() {
    on(Flavor::Mariadb);
}

#[test]
fn mysql_pairs_rotate_in_any_world() {
    on(Flavor::Mysql);
}
