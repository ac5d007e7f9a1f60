//! Rotation records, lists of runs, and abandoned runs.

use super::fixture::*;
use super::*;
use twinkey_core::code::{Code, Problem};

pub async fn two_rotations_of_one_secret_are_independent(journal: &dyn Journal) {
    let orders = claimed(journal, &request("orders", 1)).await;
    let copy = claimed(journal, &request("copy", 1)).await;
    assert_ne!(orders.id, copy.id);
}

pub async fn runs_are_listed_newest_first_by_filter_and_page(journal: &dyn Journal) {
    let mut ids = Vec::new();
    for n in 0..5_u32 {
        let rotation = if n == 2 { "other" } else { "orders" };
        // 3 and 4 start in the same microsecond.
        let now = at(i64::from(n.min(3)));
        let run = claimed(journal, &by("a", now, request(rotation, n))).await;
        let state = if n == 1 {
            RunState::Failed
        } else {
            RunState::Succeeded
        };
        end(journal, &run, state, now).await;
        ids.push(run.id);
    }
    let list = async |rotation: Option<&str>, state, before: Option<usize>, limit| {
        let query = RunQuery {
            rotation: rotation.map(Into::into),
            rotations: None,
            patterns: None,
            state,
            before: before.map(|n| ids[n]),
            limit,
        };
        let runs = journal.runs(&query).await.unwrap();
        runs.iter()
            .map(|run| ids.iter().position(|id| *id == run.id).unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(list(None, None, None, 10).await, [4, 3, 2, 1, 0]);
    assert_eq!(list(None, None, None, 2).await, [4, 3]);
    assert_eq!(list(None, None, Some(4), 2).await, [3, 2]);
    assert_eq!(list(Some("orders"), None, Some(3), 10).await, [1, 0]);
    assert_eq!(list(None, Some(RunState::Failed), None, 10).await, [1]);
    assert_eq!(list(Some("missing"), None, None, 10).await, [0_usize; 0]);
    assert_eq!(list(None, None, None, 0).await, [0_usize; 0]);
    let of_rotations = async |rotations: &[&str]| {
        let query = RunQuery {
            rotations: Some(rotations.iter().map(|&name| name.to_owned()).collect()),
            limit: 10,
            ..RunQuery::default()
        };
        journal.runs(&query).await.unwrap().len()
    };
    assert_eq!(of_rotations(&["missing"]).await, 0);
    assert_eq!(of_rotations(&[]).await, 0);
    let orders = list(Some("orders"), None, None, 10).await.len();
    assert_eq!(of_rotations(&["missing", "orders"]).await, orders);
    let matching = async |patterns: &[&str]| {
        let query = RunQuery {
            patterns: Some(patterns.iter().map(|&one| one.to_owned()).collect()),
            limit: 10,
            ..RunQuery::default()
        };
        journal.runs(&query).await.unwrap().len()
    };
    for pattern in ["*", "ord*", "order?", "?rders", "*r*s*", "orders*"] {
        assert!(matching(&[pattern]).await >= orders, "{pattern}");
    }
    // Characters that the pattern language of a database has besides.
    for pattern in [
        "order", "order_", "o%", "Orders", "[o]rders", "orders\\", "",
    ] {
        assert_eq!(matching(&[pattern]).await, 0, "{pattern}");
    }
    assert_eq!(matching(&["missing", "orders"]).await, orders);
    assert_eq!(matching(&[]).await, 0);
    let unknown = RunQuery {
        before: Some(Uuid::nil()),
        limit: 10,
        ..RunQuery::default()
    };
    assert_eq!(journal.runs(&unknown).await.unwrap(), []);
}

pub async fn writes_about_a_missing_or_ended_run_fail(journal: &dyn Journal) {
    let nothing = ClaimToken {
        run: Uuid::nil(),
        attempt: 1,
    };
    let word = step(StepName::Set, StepState::Running, "x");
    let note = Note {
        seen: None,
        steps: vec![word],
    };
    journal.note(nothing, &note).await.unwrap_err();
    let done = Outcome {
        state: RunState::Succeeded,
        error: None,
        now: at(1),
    };
    journal.finish(nothing, &note, &done).await.unwrap_err();
    let run = claimed(journal, &request("orders", 1)).await;
    let still = Outcome {
        state: RunState::Running,
        ..done.clone()
    };
    journal
        .finish(run.claim_token(), &note, &still)
        .await
        .unwrap_err();
    journal
        .finish(run.claim_token(), &note, &done)
        .await
        .unwrap();
    journal
        .finish(run.claim_token(), &note, &done)
        .await
        .unwrap_err();
    journal.note(run.claim_token(), &note).await.unwrap_err();
    assert_eq!(journal.run(nothing.run).await.unwrap(), None);
}

pub async fn records_contain_pauses_and_first_seen_times(journal: &dyn Journal) {
    assert_eq!(journal.rotation_records().await.unwrap(), HashMap::new());
    let names = ["orders".to_owned(), "a \"b' \\ ü".to_owned()];
    journal.first_seen(&names[..1], at(1)).await.unwrap();
    journal.first_seen(&names, at(2)).await.unwrap();
    journal.first_seen(&[], at(3)).await.unwrap();
    pause(journal, "orders").await;
    let memory = journal.rotation_records().await.unwrap();
    assert_eq!(memory.len(), 2);
    assert_eq!(memory["orders"].first_seen, Some(at(1)));
    assert_eq!(memory[&names[1]].first_seen, Some(at(2)));
    assert!(memory["orders"].paused.is_some());
    assert_eq!(memory[&names[1]].paused, None);
    let resume = record_of(AuditAction::Resume, "orders", at(1));
    journal.set_paused("orders", None, &resume).await.unwrap();
    assert_eq!(
        journal.rotation_records().await.unwrap()["orders"].paused,
        None
    );
}

pub async fn a_retirement_is_recorded_until_the_next_flip(journal: &dyn Journal) {
    let retired = async || {
        journal
            .rotation_record("orders")
            .await
            .unwrap()
            .unwrap()
            .retired
    };
    let run = claimed(journal, &request("orders", 1)).await;
    end(journal, &run, RunState::Succeeded, at(1)).await;
    assert_eq!(retired().await, None);
    retire(journal, "orders", at(2)).await;
    assert_eq!(retired().await, Some(at(2)));
    flip(journal, "orders", at(3)).await;
    assert_eq!(retired().await, None);
    retire(journal, "orders", at(4)).await;
    let failed = claimed(journal, &request("orders", 2)).await;
    end(journal, &failed, RunState::Failed, at(5)).await;
    assert_eq!(retired().await, Some(at(4)), "nothing was flipped");
    let run = claimed(journal, &request("orders", 3)).await;
    end(journal, &run, RunState::Succeeded, at(6)).await;
    assert_eq!(retired().await, None);
}

pub async fn a_refusal_is_recorded_until_it_is_accepted_or_flipped(journal: &dyn Journal) {
    let refused = async || {
        let record = journal.rotation_record("orders").await.unwrap();
        record.and_then(|record| record.refused)
    };
    let refusal = |second, message: &str| CurrentRefusal {
        since: at(second),
        problem: Problem {
            code: Code::CurrentSigninFailed,
            message: message.into(),
            hint: "store the password".into(),
        },
    };
    assert_eq!(refused().await, None);
    journal.current_accepted("orders").await.unwrap();
    let first = refusal(1, "first");
    journal.current_refused("orders", &first).await.unwrap();
    assert_eq!(refused().await, Some(first));
    let second = refusal(2, "second");
    journal.current_refused("orders", &second).await.unwrap();
    assert_eq!(refused().await, Some(refusal(1, "second")));
    journal.current_accepted("orders").await.unwrap();
    assert_eq!(refused().await, None);

    journal.current_refused("orders", &second).await.unwrap();
    let failed = claimed(journal, &request("orders", 1)).await;
    end(journal, &failed, RunState::Failed, at(3)).await;
    assert_eq!(refused().await, Some(second.clone()), "nothing was flipped");
    flip(journal, "orders", at(4)).await;
    assert_eq!(refused().await, None);
    journal.current_refused("orders", &second).await.unwrap();
    let run = claimed(journal, &request("orders", 2)).await;
    end(journal, &run, RunState::Succeeded, at(5)).await;
    assert_eq!(refused().await, None);
}

pub async fn abandoned_runs_are_ended(journal: &dyn Journal) {
    let closed = claimed(journal, &request("closed", 1)).await;
    end(journal, &closed, RunState::Deferred, at(1)).await;
    let dead = claimed(journal, &request("dead", 1)).await;
    let mut by_hand = request("by-hand", 1);
    by_hand.window = None;
    let by_hand = claimed(journal, &by_hand).await;

    assert_eq!(journal.sweep(at(30)).await.unwrap(), [by_hand.clone()][..0]);
    let ended = journal.sweep(at(61)).await.unwrap();
    assert_eq!(
        ended.len(),
        1,
        "only the manual run has neither a lease nor a window: {ended:?}"
    );
    assert_eq!(
        (ended[0].id, ended[0].state),
        (by_hand.id, RunState::Failed)
    );
    let mut states: Vec<(Uuid, RunState)> = journal
        .sweep(at(3600))
        .await
        .unwrap()
        .into_iter()
        .map(|run| (run.id, run.state))
        .collect();
    states.sort_by_key(|(id, _)| *id);
    let mut expected = [(closed.id, RunState::Missed), (dead.id, RunState::Missed)];
    expected.sort_by_key(|(id, _)| *id);
    assert_eq!(states, expected);
    let why = |run: Run| run.error.unwrap().code;
    assert_eq!(
        why(read(journal, &closed).await),
        Code::DbUnreachable,
        "its own reason is kept"
    );
    assert_eq!(why(read(journal, &dead).await), Code::WindowClosed);
    assert!(journal.sweep(at(9999)).await.unwrap().is_empty());
}

pub async fn finds_a_run_by_version_and_a_record_by_rotation(journal: &dyn Journal) {
    let run = claimed(journal, &request("orders", 1)).await;
    pause(journal, "copy").await;
    let version = |n| request("orders", n).version_id;
    assert_eq!(
        journal.run_of("orders", &version(1)).await.unwrap(),
        Some(run.clone())
    );
    assert_eq!(journal.run_of("orders", &version(2)).await.unwrap(), None);
    assert_eq!(journal.run_of("copy", &version(1)).await.unwrap(), None);
    let all = journal.rotation_records().await.unwrap();
    for name in ["orders", "copy"] {
        assert_eq!(
            journal.rotation_record(name).await.unwrap().as_ref(),
            all.get(name)
        );
    }
    assert_eq!(
        journal
            .rotation_record("orders")
            .await
            .unwrap()
            .unwrap()
            .last_run,
        Some(run)
    );
    assert_eq!(journal.rotation_record("missing").await.unwrap(), None);
    let some = journal.rotation_records_of(&["copy", "missing"]).await;
    let some = some.unwrap();
    assert_eq!((some.len(), some.get("copy")), (1, all.get("copy")));
    assert_eq!(journal.rotation_records_of(&[]).await.unwrap().len(), 0);
}

pub async fn a_closed_journal_accepts_no_calls(journal: &dyn Journal) {
    pause(journal, "orders").await;
    journal.close().await;
    journal.close().await;
    journal.rotation_records().await.unwrap_err();
    let resume = record_of(AuditAction::Resume, "orders", at(1));
    journal
        .set_paused("orders", None, &resume)
        .await
        .unwrap_err();
}

pub async fn pairs_are_found_by_server_and_user(journal: &dyn Journal) {
    let pair = |rotation: &str, server: &str, base: &str| PairRecord {
        rotation: rotation.into(),
        secret: format!("arn:{rotation}"),
        server: server.into(),
        server_identity: None,
        base: base.into(),
        clone: format!("{base}_clone"),
        owned: None,
        adopted: None,
    };
    let [a, b, c] = [
        pair("a", "db:5432", "app"),
        pair("b", "db:5432", "app_clone"),
        pair("c", "other:5432", "app"),
    ];
    for one in [&a, &b, &c] {
        journal.record_pair(one).await.unwrap();
    }
    let found = journal.pairs("db:5432", None, ["app", "app_clone"]).await;
    assert_eq!(found.unwrap(), [a.clone(), b]);
    // The same server under another name.
    let alias = PairRecord {
        server_identity: Some("7421".into()),
        ..c
    };
    journal.record_pair(&alias).await.unwrap();
    let found = journal.pairs("10.0.0.1:5432", Some("7421"), ["app", "x"]);
    assert_eq!(found.await.unwrap(), std::slice::from_ref(&alias));
    // Its secret names other users now, then another server.
    let edited = PairRecord {
        base: "web".into(),
        ..alias
    };
    let moved = PairRecord {
        server: "moved:5432".into(),
        server_identity: None,
        ..edited.clone()
    };
    for (read, expected) in [(&edited, &edited), (&moved, &moved)] {
        let read = PairRecord {
            server_identity: None,
            ..read.clone()
        };
        journal.pairs_seen(&[read]).await.unwrap();
        assert!(journal.all_pairs().await.unwrap().contains(expected));
    }
    let owned = PairRecord {
        owned: Some(at(3)),
        adopted: Some(at(4)),
        ..a
    };
    journal.record_pair(&owned).await.unwrap();
    let found = journal.pairs("db:5432", None, ["app", "x"]).await;
    assert_eq!(found.unwrap(), [owned]);
    let found = journal.pairs("db:1", Some("other"), ["app", "x"]).await;
    assert_eq!(found.unwrap(), []);
}

pub async fn a_pair_that_was_seen_keeps_its_owner(journal: &dyn Journal) {
    let pair = |rotation: &str, base: &str| PairRecord {
        rotation: rotation.into(),
        secret: format!("arn:{rotation}"),
        server: "db:5432".into(),
        server_identity: None,
        base: base.into(),
        clone: format!("{base}_clone"),
        owned: None,
        adopted: None,
    };
    let owned = PairRecord {
        owned: Some(at(3)),
        adopted: Some(at(4)),
        ..pair("b", "app")
    };
    journal.record_pair(&owned).await.unwrap();
    let seen = [pair("b", "app"), pair("a", "web")];
    journal.pairs_seen(&seen).await.unwrap();
    let [b, a] = seen;
    assert_eq!(journal.all_pairs().await.unwrap(), [a.clone(), owned]);
    // Its secret names other users now.
    let edited = PairRecord {
        base: "web".into(),
        clone: "web_clone".into(),
        ..b
    };
    journal
        .pairs_seen(std::slice::from_ref(&edited))
        .await
        .unwrap();
    assert_eq!(journal.all_pairs().await.unwrap(), [a, edited]);
    journal.pairs_seen(&[]).await.unwrap();
}

pub async fn a_renamed_rotation_keeps_its_pause_and_flip(journal: &dyn Journal) {
    let named = |name: &str| (name.to_owned(), "orders/db".to_owned());
    journal.record_secrets(&[named("b")], at(1)).await.unwrap();
    journal.record_secrets(&[named("a")], at(2)).await.unwrap();
    let known = journal.rotation_secrets().await.unwrap();
    let known: Vec<_> = known.iter().map(|k| (&*k.rotation, k.configured)).collect();
    assert_eq!(known, [("a", at(2)), ("b", at(1))]);

    pause(journal, "a").await;
    flip(journal, "a", at(5)).await;
    retire(journal, "a", at(6)).await;
    let mut known = journal.rotation_secrets().await.unwrap();
    let (former_b, a) = (known.remove(1), known.remove(0));
    let to_b = Rename {
        from: a,
        to: "b".into(),
        replaces_pause: true,
        is_moved: false,
    };
    journal.rename(&to_b).await.unwrap();
    let b = journal.rotation_record("b").await.unwrap().unwrap();
    assert_eq!(
        (b.paused.is_some(), b.last_flip, b.retired),
        (true, Some(at(5)), Some(at(6)))
    );
    assert_eq!(b.first_seen, None);
    // It is resumed. Another worker has the same rename, then one of a row that has changed.
    journal.record_secrets(&[named("b")], at(7)).await.unwrap();
    let resume = record_of(AuditAction::Resume, "b", at(7));
    journal.set_paused("b", None, &resume).await.unwrap();
    journal.rename(&to_b).await.unwrap();
    let stale = Rename {
        from: former_b,
        to: "a".into(),
        ..to_b
    };
    journal.rename(&stale).await.unwrap();
    let is_paused = async |name| {
        let record = journal.rotation_record(name).await.unwrap().unwrap();
        record.paused.is_some()
    };
    assert_eq!((is_paused("a").await, is_paused("b").await), (true, false));
    // The former name is given back, and is not paused again.
    let known = journal.rotation_secrets().await.unwrap();
    let back = Rename {
        from: known.into_iter().find(|one| one.rotation == "b").unwrap(),
        ..stale
    };
    journal.rename(&back).await.unwrap();
    assert!(!is_paused("a").await);
    // A later flip under the new name counts more, and so does a pause.
    pause(journal, "b").await;
    flip(journal, "c", at(9)).await;
    rename(journal, "b", "c", false).await;
    let c = journal.rotation_record("c").await.unwrap().unwrap();
    assert_eq!(
        (c.paused.is_some(), c.last_flip, c.retired),
        (true, Some(at(9)), None)
    );
    pause(journal, "d").await;
    rename(journal, "a", "d", false).await;
    assert!(is_paused("d").await);
}

pub async fn a_name_of_another_secret_keeps_no_record(journal: &dyn Journal) {
    let named = ("a".to_owned(), "orders/db".to_owned());
    journal.record_secrets(&[named], at(1)).await.unwrap();
    journal.first_seen(&["a".to_owned()], at(0)).await.unwrap();
    let pair = PairRecord {
        rotation: "a".into(),
        secret: "arn:a".into(),
        server: "db:5432".into(),
        server_identity: None,
        base: "app".into(),
        clone: "app_clone".into(),
        owned: Some(at(3)),
        adopted: None,
    };
    journal.record_pair(&pair).await.unwrap();
    let ended = claimed(journal, &request("a", 1)).await;
    end(journal, &ended, RunState::Succeeded, at(4)).await;
    pause(journal, "a").await;
    let running = claimed(journal, &request("a", 2)).await;
    rename(journal, "a", "b", true).await;
    // The run ends under its new name.
    end(journal, &running, RunState::Succeeded, at(6)).await;

    let a = journal.rotation_record("a").await.unwrap().unwrap();
    assert_eq!(a, RotationRecord::default());
    let b = journal.rotation_record("b").await.unwrap().unwrap();
    assert!(b.paused.is_some());
    assert_eq!((b.last_success, b.last_flip), (Some(at(6)), Some(at(6))));
    assert_eq!(b.last_run.unwrap().id, running.id);
    let query = RunQuery {
        limit: 10,
        ..RunQuery::default()
    };
    let runs = journal.runs(&query).await.unwrap();
    let runs: Vec<_> = runs.iter().map(|run| (&*run.rotation, run.id)).collect();
    assert_eq!(runs, [("b", running.id), ("b", ended.id)]);
    let moved = PairRecord {
        rotation: "b".into(),
        ..pair
    };
    assert_eq!(journal.all_pairs().await.unwrap(), [moved]);
    let known = journal.rotation_secrets().await.unwrap();
    let known: Vec<_> = (known.iter())
        .map(|one| (&*one.rotation, &*one.secret, one.configured))
        .collect();
    assert_eq!(known, [("b", "orders/db", at(1))]);
}

pub async fn changed_records_are_found_by_revision(journal: &dyn Journal) {
    let mut revision = journal.changed_rotations(None).await.unwrap().revision;
    let first = revision;
    let mut changed = async |expected: &[&str]| {
        let since = Some(revision);
        let mut changes = journal.changed_rotations(since).await.unwrap();
        changes.rotations.sort();
        // Other transactions of the server are running: rows can be reported again.
        if journal.is_shared() {
            changes.rotations.retain(|name| expected.contains(&&**name));
        }
        assert_eq!(changes.rotations, expected);
        revision = changes.revision;
    };
    changed(&[]).await;
    let names = ["a".to_owned(), "b".to_owned(), "c".to_owned()];
    journal.first_seen(&names, at(0)).await.unwrap();
    changed(&["a", "b", "c"]).await;
    changed(&[]).await;
    let run = claimed(journal, &request("a", 1)).await;
    changed(&["a"]).await;
    end(journal, &run, RunState::Failed, at(1)).await;
    changed(&["a"]).await;
    pause(journal, "b").await;
    changed(&["b"]).await;
    journal.seen("c", &pair()).await.unwrap();
    changed(&["c"]).await;
    let refusal = CurrentRefusal {
        since: at(2),
        problem: problem(Code::CurrentSigninFailed),
    };
    journal.current_refused("c", &refusal).await.unwrap();
    changed(&["c"]).await;
    journal.current_accepted("c").await.unwrap();
    changed(&["c"]).await;
    flip(journal, "b", at(3)).await;
    let deferred = claimed(journal, &request("a", 2)).await;
    changed(&["a", "b"]).await;
    journal
        .renew(deferred.claim_token(), at(4), LEASE)
        .await
        .unwrap();
    // The time that is recorded stays.
    journal.first_seen(&names, at(5)).await.unwrap();
    changed(&[]).await;
    end(journal, &deferred, RunState::Deferred, at(5)).await;
    changed(&["a"]).await;
    let all = journal.changed_rotations(Some(first)).await.unwrap();
    assert_eq!(all.rotations.len(), 3, "{all:?}");
}
