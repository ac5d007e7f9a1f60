//! Listings for `[[discover]]`, and what is armed of them.

use std::time::Duration;

use super::fixture::at;
use super::*;
use twinkey_stores::ListedSecret;

fn claim(worker: &str, second: i64) -> ListingClaim {
    ListingClaim {
        query: "q".into(),
        store: String::new(),
        worker: worker.into(),
        now: at(second),
        every: Duration::from_secs(600),
        at_once: false,
    }
}

fn listed(name: &str, tag: &str) -> ListedSecret {
    ListedSecret {
        arn: format!("arn:{name}"),
        name: name.into(),
        tags: [("t".to_owned(), tag.to_owned())].into(),
        deleted: false,
        rotation_enabled: false,
        owning_service: None,
        primary_region: None,
    }
}

fn listing(names: &[&str], gone: &[&str]) -> Listing {
    Listing {
        found: names.iter().map(|name| listed(name, "x")).collect(),
        gone: (gone.iter())
            .map(|name| (format!("arn:{name}"), "it was deleted".to_owned()))
            .collect(),
    }
}

async fn revision(journal: &dyn Journal) -> i64 {
    journal.listings().await.unwrap()[0].revision
}

pub async fn one_worker_lists_when_it_is_due(journal: &dyn Journal) {
    let claimed = async |claim| journal.claim_listing(&claim).await.unwrap();
    assert!(claimed(claim("a", 0)).await);
    assert!(!claimed(claim("b", 1)).await, "a lists");
    assert!(claimed(claim("b", 300)).await, "a has not ended");
    let of_b = claim("b", 300);
    journal
        .record_listing(&of_b, &listing(&["s"], &[]))
        .await
        .unwrap();
    assert!(!claimed(claim("a", 899)).await);
    let at_once = ListingClaim {
        at_once: true,
        ..claim("a", 400)
    };
    assert!(claimed(at_once).await);
    journal
        .record_listing(&claim("a", 400), &listing(&["s"], &[]))
        .await
        .unwrap();
    assert!(claimed(claim("a", 1000)).await);
    // It fails, and is repeated after a minute.
    let problem = Problem {
        code: Code::StoreDenied,
        message: "denied\0".into(),
        hint: "allow".into(),
    };
    journal
        .listing_failed(&claim("a", 1000), &problem)
        .await
        .unwrap();
    let state = journal.listings().await.unwrap().remove(0);
    assert_eq!(state.problem.unwrap().code, Code::StoreDenied);
    assert_eq!((state.listed, state.asked), (Some(at(400)), at(1000)));
    assert!(!claimed(claim("b", 1059)).await);
    assert!(claimed(claim("b", 1060)).await);
    // The clock was set back, or `every` is shorter now.
    assert!(claimed(claim("b", 100)).await);
    let other = ListingClaim {
        query: "other".into(),
        ..claim("b", 100)
    };
    assert!(claimed(other).await);
}

pub async fn a_listing_is_recorded_as_a_whole(journal: &dyn Journal) {
    assert!(journal.claim_listing(&claim("a", 0)).await.unwrap());
    journal
        .record_listing(&claim("a", 1), &listing(&["s", "t\0"], &[]))
        .await
        .unwrap();
    assert_eq!(revision(journal).await, 1);
    let known = journal.known_secrets().await.unwrap();
    let names: Vec<&str> = known.iter().map(|one| one.listed.name.as_str()).collect();
    assert_eq!(names, ["s", "t\0"]);
    journal
        .record_listing(&claim("a", 2), &listing(&["s", "t\0"], &[]))
        .await
        .unwrap();
    assert_eq!(revision(journal).await, 1, "nothing changed");
    let changed = Listing {
        found: vec![listed("s", "y")],
        gone: Vec::new(),
    };
    journal
        .record_listing(&claim("a", 3), &changed)
        .await
        .unwrap();
    assert_eq!(revision(journal).await, 2);
    let known = journal.known_secrets().await.unwrap();
    assert_eq!(known[0].listed.tags["t"], "y");
    journal
        .record_listing(&claim("a", 4), &listing(&[], &["s"]))
        .await
        .unwrap();
    assert_eq!(revision(journal).await, 3);
    let known = journal.known_secrets().await.unwrap();
    assert_eq!(known[0].gone.as_deref(), Some("it was deleted"));
    assert_eq!(known[1].gone, None, "it was not reported as gone");
    journal
        .record_listing(&claim("a", 5), &listing(&["s"], &[]))
        .await
        .unwrap();
    assert_eq!(journal.known_secrets().await.unwrap()[0].gone, None);
    // It is forgotten after a month.
    journal
        .record_listing(&claim("a", 6), &listing(&[], &["s"]))
        .await
        .unwrap();
    let later = 6 + 31 * 86_400;
    journal
        .record_listing(&claim("a", later), &listing(&[], &[]))
        .await
        .unwrap();
    assert_eq!(journal.known_secrets().await.unwrap().len(), 1);
}

pub async fn arming_is_recorded_once(journal: &dyn Journal) {
    assert!(journal.claim_listing(&claim("a", 0)).await.unwrap());
    journal
        .record_listing(&claim("a", 1), &listing(&["s"], &[]))
        .await
        .unwrap();
    let read = async || journal.known_secrets().await.unwrap().remove(0);
    let change = |before: KnownSecret, armed, refusal: Option<&str>| ArmingChange {
        record: Some(AuditRecord::done(
            AuditAction::Discover,
            "s",
            Actor::worker("a").into(),
            at(5),
        )),
        rotation: Some("s".into()),
        refusal: refusal.map(str::to_owned),
        before,
        armed,
    };
    let audit = async || {
        let query = AuditQuery {
            action: Some(AuditAction::Discover),
            limit: 10,
            ..AuditQuery::default()
        };
        journal.audit(&query).await.unwrap().len()
    };
    let new = read().await;
    let armed = [change(new.clone(), Some(at(5)), None)];
    journal.record_arming(&armed).await.unwrap();
    let known = read().await;
    assert_eq!(
        (known.armed, known.rotation.as_deref()),
        (Some(at(5)), Some("s"))
    );
    // Another worker, a moment later.
    journal
        .record_arming(&[change(new, Some(at(6)), None)])
        .await
        .unwrap();
    assert_eq!((read().await.armed, audit().await), (Some(at(5)), 1));
    let refused = [change(known, None, Some("its tag"))];
    journal.record_arming(&refused).await.unwrap();
    journal.record_arming(&refused).await.unwrap();
    let known = read().await;
    assert_eq!((known.armed, audit().await), (None, 2));
    assert_eq!(known.refusal.as_deref(), Some("its tag"));
    let again = [change(known, None, Some("another tag"))];
    journal.record_arming(&again).await.unwrap();
    assert_eq!(
        (read().await.rotation.as_deref(), audit().await),
        (Some("s"), 3)
    );
}
