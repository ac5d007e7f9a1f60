//! Properties of every store. Each gets a new secret.

use std::pin::Pin;

use secrecy::ExposeSecret;
use twinkey_core::code::{Code, Diagnostic};
use twinkey_stores::stage::{CURRENT, PENDING, PREVIOUS};
use twinkey_stores::{Selector, StoreError};

use crate::subject::{Subject, new_id};

type Sentence = for<'a> fn(&'a Subject) -> Pin<Box<dyn Future<Output = ()> + 'a>>;

const SENTENCES: &[(&str, Sentence)] = &[
    (
        "a secret is found by its name, its ARN and its partial ARN",
        |s| Box::pin(found(s)),
    ),
    (
        "several secrets are read at once, each its AWSCURRENT, and what is not there is left out",
        |s| Box::pin(batch(s)),
    ),
    ("what is not there is not found", |s| Box::pin(not_found(s))),
    ("a pending put leaves AWSCURRENT alone", |s| {
        Box::pin(pending(s))
    }),
    ("the same put again changes nothing", |s| {
        Box::pin(put_again(s))
    }),
    (
        "the same put again changes nothing, even after promotion",
        |s| Box::pin(put_after(s)),
    ),
    (
        "a put under the same id with other content is refused",
        |s| Box::pin(other_content(s)),
    ),
    ("AWSPREVIOUS follows AWSCURRENT, there and back", |s| {
        Box::pin(previous(s))
    }),
    (
        "a move from a version that does not have the label changes nothing and says so",
        |s| Box::pin(lost_race(s)),
    ),
    ("AWSCURRENT cannot be removed", |s| Box::pin(no_current(s))),
    (
        "an unlabelled version is hidden but can be read by its id",
        |s| Box::pin(hidden(s)),
    ),
    ("an unlabelled version can be given its label again", |s| {
        Box::pin(labelled_again(s))
    }),
    ("a custom label is a label like any other", |s| {
        Box::pin(custom(s))
    }),
    ("a value comes back byte for byte", |s| Box::pin(bytes(s))),
    ("a value of more than 65,536 bytes is refused", |s| {
        Box::pin(too_long(s))
    }),
    (
        "a secret marked for deletion can be described, but not read or written",
        |s| Box::pin(deleted(s)),
    ),
    ("a secret of bytes is refused with the reason", |s| {
        Box::pin(of_bytes(s))
    }),
    ("it answers a ping", |s| Box::pin(ping(s))),
];

/// Checks every property except the named ones, which must exist.
pub async fn conforms(subject: &Subject, except: &[&str]) {
    for name in except {
        assert!(SENTENCES.iter().any(|(s, _)| s == name), "{name}?");
    }
    for (name, holds) in SENTENCES {
        if !except.contains(name) {
            // Seen only when the test fails: the last one is the one that does not hold.
            println!("{name}");
            holds(subject).await;
        }
    }
}

async fn found(subject: &Subject) {
    let seeded = subject.seed("one").await;
    let arn = seeded.describe().await.arn;
    let partial = &arn[..arn.len() - 7];
    for named in [&seeded.name, &arn, partial] {
        let seen = subject.store.describe(named).await.unwrap();
        assert_eq!((&seen.name, &seen.arn), (&seeded.name, &arn));
        let read = subject.store.get(named, Selector::Stage(CURRENT)).await;
        assert_eq!(read.unwrap().value.expose_secret(), "one");
    }
    let seen = seeded.describe().await;
    assert!(!seen.rotation_enabled && !seen.deleted && seen.owning_service.is_none());
}

async fn batch(subject: &Subject) {
    let (one, two) = (subject.seed("one").await, subject.seed("two").await);
    one.pending("not yet").await;
    let arn = two.describe().await.arn;
    let asked = [arn.as_str(), "prod/nowhere", &one.name];
    let read = subject.store.get_batch(&asked).await.unwrap();
    let [Some(second), None, Some(first)] = &read[..] else {
        panic!("{read:?}");
    };
    assert_eq!(first.value.expose_secret(), "one");
    assert_eq!(first.version_id, one.first);
    assert_eq!(second.value.expose_secret(), "two");
    assert_eq!((&second.version_id, &second.arn), (&two.first, &arn));
}

async fn not_found(subject: &Subject) {
    let error = subject.store.describe("prod/nowhere").await.unwrap_err();
    assert_eq!(error.code(), Code::SecretNotFound);
    let seeded = subject.seed("one").await;
    let error = seeded.refused(Selector::Stage(PENDING)).await;
    assert!(matches!(error, StoreError::NotFound { .. }), "{error}");
    let error = seeded.refused(Selector::Version(&new_id())).await;
    assert!(matches!(error, StoreError::NotFound { .. }), "{error}");
}

async fn pending(subject: &Subject) {
    let seeded = subject.seed("one").await;
    let second = seeded.pending("two").await;
    let seen = seeded.describe().await;
    assert_eq!(seen.labelled(CURRENT), Some(&seeded.first));
    assert_eq!(seen.labelled(PENDING), Some(&second));
    assert_eq!(seeded.value(Selector::Stage(CURRENT)).await, "one");
    assert_eq!(seeded.value(Selector::Stage(PENDING)).await, "two");
}

async fn put_again(subject: &Subject) {
    let seeded = subject.seed("one").await;
    let id = seeded.pending("two").await;
    let before = seeded.describe().await;
    seeded.put(&id, "two", PENDING).await.unwrap();
    assert_eq!(seeded.describe().await, before);
}

async fn put_after(subject: &Subject) {
    let seeded = subject.seed("one").await;
    let id = seeded.pending("two").await;
    seeded
        .shift(CURRENT, Some(&seeded.first), Some(&id))
        .await
        .unwrap();
    seeded.shift(PENDING, Some(&id), None).await.unwrap();
    let before = seeded.describe().await;
    seeded.put(&id, "two", PENDING).await.unwrap();
    assert_eq!(seeded.describe().await, before);
}

async fn other_content(subject: &Subject) {
    let seeded = subject.seed("one").await;
    let id = seeded.pending("two").await;
    let error = seeded.put(&id, "hunter2", PENDING).await.unwrap_err();
    assert!(matches!(error, StoreError::VersionExists { .. }), "{error}");
    assert!(!format!("{error} {error:?}").contains("hunter2"));
    assert_eq!(seeded.value(Selector::Version(&id)).await, "two");
}

async fn previous(subject: &Subject) {
    let seeded = subject.seed("one").await;
    let first = &seeded.first;
    let second = seeded.pending("two").await;
    seeded
        .shift(CURRENT, Some(first), Some(&second))
        .await
        .unwrap();
    let seen = seeded.describe().await;
    assert_eq!(seen.labelled(CURRENT), Some(&second));
    assert_eq!(seen.labelled(PREVIOUS), Some(first));
    assert_eq!(seen.labelled(PENDING), Some(&second), "it was not removed");
    assert_eq!(seeded.value(Selector::Stage(CURRENT)).await, "two");
    seeded
        .shift(CURRENT, Some(&second), Some(first))
        .await
        .unwrap();
    let seen = seeded.describe().await;
    assert_eq!(seen.labelled(CURRENT), Some(first));
    assert_eq!(seen.labelled(PREVIOUS), Some(&second));
}

async fn lost_race(subject: &Subject) {
    let seeded = subject.seed("one").await;
    let second = seeded.pending("two").await;
    let before = seeded.describe().await;
    for from in [Some(&second), None] {
        let error = seeded
            .shift(CURRENT, from, Some(&second))
            .await
            .unwrap_err();
        assert!(matches!(error, StoreError::StageMoved { .. }), "{error}");
    }
    assert_eq!(seeded.describe().await, before);
}

async fn no_current(subject: &Subject) {
    let seeded = subject.seed("one").await;
    let moved = seeded.shift(CURRENT, Some(&seeded.first), None).await;
    moved.unwrap_err();
    assert_eq!(
        seeded.describe().await.labelled(CURRENT),
        Some(&seeded.first)
    );
}

async fn hidden(subject: &Subject) {
    let seeded = subject.seed("one").await;
    let id = seeded.pending("two").await;
    seeded.shift(PENDING, Some(&id), None).await.unwrap();
    assert!(!seeded.describe().await.versions.contains_key(&id));
    assert_eq!(seeded.value(Selector::Version(&id)).await, "two");
}

async fn labelled_again(subject: &Subject) {
    let seeded = subject.seed("one").await;
    let id = seeded.pending("two").await;
    seeded.shift(PENDING, Some(&id), None).await.unwrap();
    seeded.shift(PENDING, None, Some(&id)).await.unwrap();
    assert_eq!(seeded.describe().await.labelled(PENDING), Some(&id));
}

async fn custom(subject: &Subject) {
    let seeded = subject.seed("one").await;
    seeded
        .shift("blue", None, Some(&seeded.first))
        .await
        .unwrap();
    let mut stages = seeded.describe().await.versions[&seeded.first].clone();
    stages.sort();
    assert_eq!(stages, [CURRENT, "blue"]);
    assert_eq!(seeded.value(Selector::Stage("blue")).await, "one");
}

async fn bytes(subject: &Subject) {
    let seeded = subject.seed("one").await;
    for value in [
        "{\"z\": 1,\t\"a\":\"\\u00fc ü 🔑\"}\r\n",
        &"x".repeat(65_536),
    ] {
        let id = seeded.pending(value).await;
        assert_eq!(seeded.value(Selector::Version(&id)).await, value);
    }
}

async fn too_long(subject: &Subject) {
    let seeded = subject.seed("one").await;
    let put = seeded.put(&new_id(), &"x".repeat(65_537), PENDING).await;
    let error = put.unwrap_err();
    assert!(matches!(error, StoreError::Refused { .. }), "{error}");
    assert!(error.to_string().len() < 300);
}

async fn deleted(subject: &Subject) {
    let seeded = subject.seed("one").await;
    subject.mark_deleted(&seeded.name).await;
    assert!(seeded.describe().await.deleted);
    let errors = [
        seeded.refused(Selector::Stage(CURRENT)).await,
        seeded.put(&new_id(), "two", PENDING).await.unwrap_err(),
    ];
    for error in errors {
        assert!(matches!(error, StoreError::Refused { .. }), "{error}");
        assert!(!error.retryable());
    }
}

async fn of_bytes(subject: &Subject) {
    let Some(name) = subject.seed_bytes(b"\x00\xff").await else {
        return;
    };
    let error = subject.store.get(&name, Selector::Stage(CURRENT)).await;
    let error = error.unwrap_err();
    assert!(error.to_string().contains("SecretBinary"), "{error}");
}

async fn ping(subject: &Subject) {
    subject.store.ping().await.unwrap();
}
