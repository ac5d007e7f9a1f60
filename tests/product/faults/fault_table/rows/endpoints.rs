//! Readers, poolers and hooks.

use twinkey_testkit::environment::run;
use twinkey_testkit::postgres::LocalPostgres;

use super::super::gate::{Gate, Passage};
use super::super::row::{Expected, Row, SUCCEEDS, logged, run_fails};
use super::super::stage::Stage;
use crate::endpoints::poolers::pgbouncer;

/// A replica of the server, behind a gate.
async fn with_reader(stage: &mut Stage, more: &str) {
    let replica = tokio::task::block_in_place(|| {
        let (_, bin) = LocalPostgres::find_for_replicas().unwrap();
        stage.env.server.start_replica(bin, &[]).unwrap()
    });
    let gate = Gate::before(replica.port()).await;
    stage.configure(format!("readers = [\"127.0.0.1:{}\"]\n{more}", gate.port()));
    stage.gate = Some(gate);
    stage.kept.push(Box::new(replica));
}

fn on_replicas(mut row: Row) -> Row {
    row.setup.version = Some(LocalPostgres::find_for_replicas().unwrap().0);
    row
}

/// The columns of a run that waits for an endpoint.
const WAITS: Expected = [
    "running",
    "200",
    "journal 1, store 1, running",
    "running, waiting",
    "",
    "",
    "running",
];

pub fn rows() -> Vec<Row> {
    vec![
        on_replicas(
            Row::new(
                "a reader resets every connection",
                |stage| {
                    Box::pin(async {
                        stage.gate.as_ref().unwrap().set(Passage::Closed);
                        stage.rotate().await;
                    })
                },
                run_fails!("reader_unreachable"),
            )
            .prepare(|stage| Box::pin(with_reader(stage, "")))
            .lift(|stage| {
                Box::pin(async {
                    stage.gate.as_ref().unwrap().set(Passage::Open);
                })
            }),
        ),
        on_replicas(
            Row::new(
                "a reader does not receive changes any more",
                |stage| {
                    Box::pin(async {
                        let replica = stage.kept[0].downcast_ref::<LocalPostgres>().unwrap();
                        let root = stage.env.server.superuser();
                        let mut root = crate::endpoints::postgres::connect(
                            replica.port(),
                            root.username.clone(),
                            root.password.clone(),
                        )
                        .await
                        .unwrap();
                        run(&mut root, "SELECT pg_wal_replay_pause()").await;
                        stage.rotate().await;
                    })
                },
                WAITS,
            )
            .prepare(|stage| Box::pin(with_reader(stage, ""))),
        ),
        Row::new(
            "a pooler has a list without the standby",
            |stage| Box::pin(async { stage.rotate().await }),
            WAITS,
        )
        .prepare(|stage| {
            Box::pin(async {
                let listed = [twinkey_core::secret::Credentials {
                    username: "app".into(),
                    password: twinkey_testkit::environment::FIRST.to_owned().into(),
                }];
                let pooler = pgbouncer(&stage.env, &listed, &["pool_mode = session"]).await;
                stage.configure(
                    format!("poolers = [{{ host = \"127.0.0.1:{}\" }}]", pooler.port()),
                );
                stage.kept.push(Box::new(pooler));
            })
        }),
        Row::new(
            "a hook before the flip fails",
            |stage| Box::pin(async { stage.rotate().await }),
            run_fails!("hook_refused"),
        )
        .config("[[hook]]\nkind = \"exec\"\nwhen = \"before_flip\"\ncommand = [\"/bin/false\"]"),
        Row::new(
            "a hook after the flip fails",
            |stage| Box::pin(async { stage.rotate().await }),
            logged(SUCCEEDS, "ERROR hook failed"),
        )
        .config("[[hook]]\nkind = \"exec\"\ncommand = [\"/bin/false\"]"),
        Row::new(
            "the receiver of a webhook is gone",
            |stage| Box::pin(async { stage.rotate().await }),
            logged(SUCCEEDS, "WARN notification"),
        )
        .config("[[notify]]\nkind = \"webhook\"\nurl = \"http://127.0.0.1:1/hook\"\nkey = \"file:token\"\nevents = [\"succeeded\"]"),
    ]
}
