//! Records of actions.

use super::fixture::*;
use super::*;
use twinkey_core::code::Code;

async fn records(journal: &dyn Journal, query: AuditQuery) -> Vec<AuditRecord> {
    let query = AuditQuery {
        limit: 100,
        ..query
    };
    journal.audit(&query).await.unwrap()
}

pub async fn an_action_outside_a_run_is_written_with_its_record(journal: &dyn Journal) {
    let paused = record_of(AuditAction::Pause, "orders", at(1));
    let pause = paused.as_pause(Some(at(100)));
    journal
        .set_paused("orders", Some(&pause), &paused)
        .await
        .unwrap();
    let record = journal.rotation_record("orders").await.unwrap().unwrap();
    assert_eq!(record.paused, Some(pause.clone()));
    assert_eq!(record.pause(at(99)), Some(&pause));
    assert_eq!(record.pause(at(100)), None, "it ends by itself");
    assert_eq!(
        (pause.by.as_deref(), pause.reason.as_deref(), pause.at),
        (Some("ann"), Some("because"), Some(at(1)))
    );
    let resumed = record_of(AuditAction::Resume, "orders", at(2));
    journal.set_paused("orders", None, &resumed).await.unwrap();
    let rolled_back = record_of(AuditAction::Rollback, "orders", at(3));
    journal
        .flipped("orders", &VersionId("v".into()), &pair(), &rolled_back)
        .await
        .unwrap();
    let retired = record_of(AuditAction::Retire, "orders", at(4));
    journal.retired("orders", &retired).await.unwrap();
    let refused = record_of(AuditAction::Rollback, "orders", at(5)).refused(Code::LostRace);
    journal.append(&refused).await.unwrap();
    let reloaded = AuditRecord::reload("w", at(6));
    journal.append(&reloaded).await.unwrap();
    let record = journal.rotation_record("orders").await.unwrap().unwrap();
    assert_eq!(record.paused, None);
    assert_eq!(record.seen, Some(pair()));
    assert_eq!(
        records(journal, AuditQuery::default()).await,
        [reloaded, refused, retired, rolled_back, resumed, paused]
    );
}

pub async fn a_run_is_recorded_once_when_it_has_ended(journal: &dyn Journal) {
    let run = claimed(journal, &request("orders", 1)).await;
    end(journal, &run, RunState::Deferred, at(2)).await;
    assert_eq!(records(journal, AuditQuery::default()).await, []);
    // Another worker takes it: its actor stays the one that requested it.
    let mut again = by("b", at(3), request("orders", 1));
    again.cause = Actor::schedule("b").into();
    let run = claimed(journal, &again).await;
    end(journal, &run, RunState::Succeeded, at(4)).await;
    let failed = claimed(journal, &by("a", at(5), request("orders", 2))).await;
    end(journal, &failed, RunState::Failed, at(6)).await;
    let missed = by("a", at(7), request("orders", 3));
    let outcome = Outcome {
        state: RunState::Missed,
        error: Some(problem(Code::WindowClosed)),
        now: at(8),
    };
    let mut other_window = missed.clone();
    other_window.window = Some(Window {
        opens: at(-9000),
        closes: at(-8000),
    });
    let missed = journal.end_window(&other_window, &outcome).await.unwrap();
    let missed = missed.expect("no run of this window");
    let told: Vec<_> = records(journal, AuditQuery::default())
        .await
        .into_iter()
        .map(|record| {
            assert_eq!(record.action, AuditAction::Rotate);
            assert_eq!(record.actor, cause().actor);
            assert_eq!(record.reason.as_deref(), Some("because"));
            (record.run, record.outcome, record.code, record.at)
        })
        .collect();
    let failed_with = |run: &Run, code, at| (Some(run.id), AuditOutcome::Failed, Some(code), at);
    assert_eq!(
        told,
        [
            failed_with(&missed, Code::WindowClosed, at(8)),
            failed_with(&failed, Code::DbUnreachable, at(6)),
            (Some(run.id), AuditOutcome::Done, None, at(4)),
        ]
    );
    let others = AuditQuery {
        without_runs: true,
        ..AuditQuery::default()
    };
    assert_eq!(records(journal, others).await, []);
}

pub async fn records_are_listed_newest_first_by_filter_and_page(journal: &dyn Journal) {
    let mut all = Vec::new();
    for (n, (rotation, action, name)) in [
        ("orders", AuditAction::Repair, "ann"),
        ("orders", AuditAction::Pause, "bob"),
        ("other", AuditAction::Pause, "ann"),
        // In the same microsecond as the one before.
        ("orders", AuditAction::Resume, "ann"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut record = record_of(action, rotation, at(n.min(2) as i64));
        record.actor.name = name.into();
        if action == AuditAction::Resume {
            record = record.refused(Code::AlreadyRunning);
        }
        journal.append(&record).await.unwrap();
        all.insert(0, record);
    }
    let list = async |query: AuditQuery| -> Vec<usize> {
        let found = journal.audit(&query).await.unwrap();
        let position = |record: &AuditRecord| all.iter().position(|other| other == record);
        found
            .iter()
            .map(|record| position(record).unwrap())
            .collect()
    };
    let query = || AuditQuery {
        limit: 10,
        ..AuditQuery::default()
    };
    assert_eq!(list(query()).await, [0, 1, 2, 3]);
    assert_eq!(
        list(AuditQuery {
            limit: 2,
            ..query()
        })
        .await,
        [0, 1]
    );
    let before = AuditQuery {
        before: Some(all[1].id),
        ..query()
    };
    assert_eq!(list(before).await, [2, 3]);
    let unknown = AuditQuery {
        before: Some(Uuid::nil()),
        ..query()
    };
    assert_eq!(list(unknown).await, [0_usize; 0]);
    let of_rotation = AuditQuery {
        rotation: Some("orders".into()),
        ..query()
    };
    assert_eq!(list(of_rotation).await, [0, 2, 3]);
    let of_rotations = AuditQuery {
        rotations: Some(vec!["other".into(), "missing".into()]),
        ..query()
    };
    assert_eq!(list(of_rotations).await, [1]);
    let matching = |patterns: &[&str]| AuditQuery {
        patterns: Some(patterns.iter().map(|&one| one.to_owned()).collect()),
        ..query()
    };
    assert_eq!(list(matching(&["o*er?"])).await, [0, 2, 3]);
    assert_eq!(list(matching(&["missing", "othe?"])).await, [1]);
    assert_eq!(list(matching(&[])).await, [0_usize; 0]);
    let of_actor = AuditQuery {
        actor: Some("bob".into()),
        ..query()
    };
    assert_eq!(list(of_actor).await, [2]);
    let of_action = AuditQuery {
        action: Some(AuditAction::Pause),
        ..query()
    };
    assert_eq!(list(of_action).await, [1, 2]);
    let of_outcome = AuditQuery {
        outcome: Some(AuditOutcome::Refused),
        ..query()
    };
    assert_eq!(list(of_outcome).await, [0]);
}
