//! Rotations that have another name in the config. They are recognised by their secret.
//!
//! # Failure modes
//! - A rotation is renamed, and runs although it is paused; the user of AWSPREVIOUS is never locked.
//!   The rotation that has the secret now keeps the pause, the last flip and the retirement.
//! - A new rotation takes the name of another one, which then runs although it is paused. The records of
//!   the former secret move to the name that it has now, or to one that no rotation has.
//! - Two rotations exchange their names. All records of names that were taken move first.
//! - The secret of a paused rotation is replaced in the config, and the rotation runs. Only a secret that
//!   another rotation has takes the pause along.
//! - A rotation is resumed, gets a former name back, and is paused again. The name that was in a config
//!   last is the former one, and its pause counts.
//! - A worker with the former config pauses the former name, and that pause is lost. A pause that began
//!   after the other name was last in a config stays.
//! - A window that the former name missed or ran counts for the new name. The time at which a
//!   worker first had the rotation is not kept.
//! - A secret of another store has the same name. The store is recorded with the secret.
//! - Only commands are used, and no worker records the names. A command records those that it changes.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::config::settings::Rotation;
use crate::journal::{Journal, JournalError, Rename, RotationSecret};
use crate::rotation::context::rotation_set::RotationSet;
use twinkey_core::aws::secret_id::{names, same_secret};

/// Characters of the suffix of a name that keeps the records of a former secret.
const SUFFIX: usize = 6;

/// Gives rotations the records of their secrets' former names, and records the present ones. Concerns the
/// rotations that are `selected`.
///
/// # Errors
/// `journal_unavailable`
pub async fn record_names(
    journal: &dyn Journal,
    rotations: &RotationSet,
    selected: impl Fn(&str) -> bool,
    now: DateTime<Utc>,
) -> Result<(), JournalError> {
    let planned = renames(rotations, &journal.rotation_secrets().await?, &selected);
    let mut renamed: Vec<&str> = Vec::new();
    for Rename { from, to, .. } in &planned {
        renamed.extend([&*from.rotation, &**to]);
    }
    let mut pauses = HashMap::new();
    if !renamed.is_empty() {
        let records = journal.rotation_records_of(&renamed).await?;
        pauses.extend(
            (records.into_iter()).filter_map(|(name, record)| Some((name, record.paused?))),
        );
    }
    for mut rename in planned {
        let (from, to) = (&rename.from, &rename.to);
        let has_rotation = rotations.get(to).is_some();
        // A copy for a secret that no rotation has: for its pause, or for the end of one.
        let is_copy = !rename.is_moved && !has_rotation;
        if is_copy && !rename.replaces_pause && !pauses.contains_key(&from.rotation) {
            continue;
        }
        let paused = pauses.get(to).and_then(|pause| pause.at);
        rename.replaces_pause &= paused.is_none_or(|at| at <= from.configured);
        journal.rename(&rename).await?;
        if has_rotation {
            tracing::warn!(rotation = %to, former = %from.rotation, "rotation renamed: its pause and its retirement are kept");
        } else {
            tracing::warn!(rotation = %from.rotation, kept = %to, secret = from.secret, "rotation has another secret: the records of the former one are kept");
        }
    }
    let selected = rotations.iter().filter(|one| selected(&one.name));
    let secrets = selected.map(|one| (one.name.clone(), one.secret_in_store()));
    journal
        .record_secrets(&secrets.collect::<Vec<_>>(), now)
        .await
}

/// What is to be renamed, in this order.
fn renames(
    rotations: &RotationSet,
    recorded: &[RotationSecret],
    selected: impl Fn(&str) -> bool,
) -> Vec<Rename> {
    let mut recorded = recorded.to_vec();
    let mut renames = vacated(rotations, &mut recorded, &selected);
    renames.extend(renamed(rotations, &recorded, &selected));
    renames
}

/// The names that have another secret in the config than recorded. Their records get another name, also
/// in `recorded`.
fn vacated(
    rotations: &RotationSet,
    recorded: &mut Vec<RotationSecret>,
    selected: impl Fn(&str) -> bool,
) -> Vec<Rename> {
    let mut taken: Vec<RotationSecret> = (recorded.iter())
        .filter(|one| {
            let rotation = rotations.get(&one.rotation);
            rotation.is_some_and(|rotation| !is_same(&one.secret, rotation))
        })
        .cloned()
        .collect();
    if taken.is_empty() {
        return Vec::new();
    }
    let mut known: HashMap<String, String> = (recorded.iter())
        .map(|one| (one.rotation.clone(), one.secret.clone()))
        .collect();
    // Of two names with one secret the last one counts.
    taken.sort_by_key(|one| Reverse(one.configured));
    let by_secret = rotations
        .iter()
        .map(|rotation| (&*rotation.secret, &**rotation));
    let by_secret = BySecret::new(by_secret);
    let mut former: Vec<RotationSecret> = Vec::new();
    let mut all = Vec::new();
    for from in taken {
        let present = references(&from.secret)
            .flat_map(|one| by_secret.candidates(one))
            .find(|rotation| is_same(&from.secret, rotation))
            .map(|rotation| &*rotation.name);
        if !selected(&from.rotation) && !present.is_some_and(&selected) {
            continue;
        }
        let direct = present.filter(|name| !known.contains_key(*name));
        let to = direct.map_or_else(|| free_name(&from, rotations, &known), str::to_owned);
        let kept = RotationSecret {
            rotation: to.clone(),
            ..from.clone()
        };
        let replaces_pause = known.insert(to.clone(), from.secret.clone()).is_some();
        let is_moved = present.is_some();
        if is_moved {
            known.remove(&from.rotation);
        }
        former.push(kept);
        all.push(Rename {
            from,
            to,
            replaces_pause,
            is_moved,
        });
    }
    let moved: HashSet<&str> = (all.iter())
        .filter(|rename| rename.is_moved)
        .map(|rename| &*rename.from.rotation)
        .collect();
    let written: HashSet<&str> = all.iter().map(|rename| &*rename.to).collect();
    recorded.retain(|one| !moved.contains(&*one.rotation) && !written.contains(&*one.rotation));
    recorded.extend(former);
    all
}

/// A name that no rotation has, for the records of a former secret: the same one each time.
fn free_name(
    from: &RotationSecret,
    rotations: &RotationSet,
    known: &HashMap<String, String>,
) -> String {
    let digest = Uuid::new_v5(&Uuid::NAMESPACE_URL, from.secret.as_bytes());
    let digest = digest.simple().to_string();
    let digest = digest.get(..SUFFIX).unwrap_or_default();
    let name = format!("{}-{digest}", from.rotation);
    let is_free = |name: &String| {
        let other = known.get(name).is_some_and(|secret| *secret != from.secret);
        rotations.get(name).is_none() && !other
    };
    let numbered = (2..).map(|n| format!("{name}-{n}"));
    let mut names = std::iter::once(name.clone()).chain(numbered);
    names.find(is_free).unwrap_or_default()
}

/// The former names of rotations, which no rotation has now.
fn renamed(
    rotations: &RotationSet,
    recorded: &[RotationSecret],
    selected: impl Fn(&str) -> bool,
) -> Vec<Rename> {
    let former = recorded.iter();
    let mut former = former
        .filter(|one| rotations.get(&one.rotation).is_none())
        .peekable();
    if former.peek().is_none() {
        return Vec::new();
    }
    let former = BySecret::new(
        former.flat_map(|one| references(&one.secret).map(move |secret| (secret, one))),
    );
    let own: HashMap<&str, &RotationSecret> =
        recorded.iter().map(|one| (&*one.rotation, one)).collect();
    rotations
        .iter()
        .filter(|rotation| selected(&rotation.name))
        .filter_map(|rotation| {
            let known = own.get(&*rotation.name);
            let known = known.filter(|one| is_same(&one.secret, rotation));
            let from = (former.candidates(&rotation.secret).into_iter())
                .filter(|one| is_same(&one.secret, rotation))
                .filter(|one| known.is_none_or(|known| known.configured < one.configured))
                .max_by_key(|one| one.configured)?;
            Some(Rename {
                from: from.clone(),
                to: rotation.name.clone(),
                replaces_pause: known.is_some(),
                is_moved: false,
            })
        })
        .collect()
}

/// Items by the names that their references to secrets can mean.
struct BySecret<'a, T>(HashMap<&'a str, Vec<&'a T>>);

impl<'a, T> BySecret<'a, T> {
    fn new(all: impl Iterator<Item = (&'a str, &'a T)>) -> Self {
        let mut by_name: HashMap<&str, Vec<_>> = HashMap::new();
        for (secret, item) in all {
            for name in names(secret) {
                by_name.entry(name).or_default().push(item);
            }
        }
        Self(by_name)
    }

    /// The items that may refer to the same secret.
    fn candidates(&self, secret: &str) -> Vec<&'a T> {
        let found = names(secret).filter_map(|name| self.0.get(name));
        found.flatten().copied().collect()
    }
}

/// A recorded secret with and without the name of a store before it.
fn references(recorded: &str) -> impl Iterator<Item = &str> {
    let secret = recorded.split_once(':').map(|(_, secret)| secret);
    std::iter::once(recorded).chain(secret)
}

/// Whether a recorded secret is that of a rotation, and in the same store.
fn is_same(recorded: &str, rotation: &Rotation) -> bool {
    let secret = match rotation.store_name() {
        Some(store) => recorded
            .strip_prefix(store)
            .and_then(|rest| rest.strip_prefix(':')),
        None => Some(recorded),
    };
    secret.is_some_and(|secret| same_secret(secret, &rotation.secret, rotation.location()))
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;
    use crate::journal::tests::fixture::{at, record_of};
    use crate::journal::{AuditAction, SqliteJournal};

    fn recorded(rotation: &str, secret: &str, second: i64) -> RotationSecret {
        RotationSecret {
            rotation: rotation.into(),
            secret: secret.into(),
            configured: DateTime::from_timestamp(second, 0).unwrap(),
        }
    }

    fn set(rotations: &[(&str, &str)]) -> RotationSet {
        let table =
            |(name, secret)| format!("[[rotation]]\nname = \"{name}\"\nsecret = \"{secret}\"\n");
        let text: String = rotations.iter().copied().map(table).collect();
        let settings = crate::config::testing::local(&text);
        settings.rotations.into_iter().collect()
    }

    /// The former and the new names.
    fn pairs(set: &RotationSet, recorded: &[RotationSecret]) -> Vec<(String, String)> {
        let renames = renames(set, recorded, |_| true).into_iter();
        renames
            .map(|rename| (rename.from.rotation, rename.to))
            .collect()
    }

    /// A journal, and what configs at some second and pauses make of it.
    struct Fixture {
        _folder: tempfile::TempDir,
        journal: SqliteJournal,
    }

    impl Fixture {
        async fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let journal = SqliteJournal::open(&folder.path().join("j.db")).await;
            Self {
                _folder: folder,
                journal: journal.unwrap(),
            }
        }

        async fn activate(&self, rotations: &[(&str, &str)], second: i64) {
            let set = set(rotations);
            record_names(&self.journal, &set, |_| true, at(second))
                .await
                .unwrap();
            let names: Vec<String> = set.iter().map(|one| one.name.clone()).collect();
            self.journal.first_seen(&names, at(second)).await.unwrap();
        }

        async fn set_paused(&self, rotation: &str, paused: bool, second: i64) {
            let record = record_of(AuditAction::Pause, rotation, at(second));
            let pause = paused.then(|| record.as_pause(None));
            let set = self.journal.set_paused(rotation, pause.as_ref(), &record);
            set.await.unwrap();
        }

        async fn is_paused(&self, rotation: &str) -> bool {
            let record = self.journal.rotation_record(rotation).await.unwrap();
            record.unwrap().paused.is_some()
        }
    }

    #[tokio::test]
    async fn a_pause_that_was_lifted_does_not_return() {
        let one = Fixture::new().await;
        let [found, own] = ["a-u2", "mine"].map(|name| [(name, "a/u2")]);
        one.activate(&found, 0).await;
        one.set_paused("a-u2", true, 1).await;
        one.activate(&own, 2).await;
        assert!(one.is_paused("mine").await);
        one.set_paused("mine", false, 3).await;
        one.activate(&found, 4).await;
        assert!(!one.is_paused("a-u2").await);
        // A worker with the former config pauses the former name.
        one.activate(&own, 5).await;
        one.set_paused("a-u2", true, 6).await;
        one.activate(&found, 7).await;
        assert!(one.is_paused("a-u2").await);
    }

    #[tokio::test]
    async fn a_pause_follows_a_secret_whose_name_is_taken() {
        let one = Fixture::new().await;
        let (found, taken) = ([("orders", "orders/db")], ("orders", "other/db"));
        let suffixed = ("orders-f0a708", "orders/db");
        one.activate(&found, 0).await;
        one.set_paused("orders", true, 1).await;
        one.activate(&[taken, suffixed], 2).await;
        assert!(!one.is_paused("orders").await);
        assert!(one.is_paused("orders-f0a708").await);
        one.activate(&[suffixed], 3).await;
        assert!(one.is_paused("orders-f0a708").await);
        one.activate(&found, 4).await;
        assert!(one.is_paused("orders").await);
        // The secret of the rotation is replaced, and is used again later.
        one.activate(&[taken], 5).await;
        assert!(one.is_paused("orders").await);
        one.activate(&[taken, ("later", "orders/db")], 6).await;
        assert!(one.is_paused("later").await);
        // Two names are exchanged.
        one.set_paused("orders", false, 7).await;
        one.activate(&[("orders", "orders/db"), ("later", "other/db")], 8)
            .await;
        assert!(one.is_paused("orders").await);
        assert!(!one.is_paused("later").await);
    }

    #[test]
    fn a_rotation_has_its_former_name_by_its_secret() {
        let set = set(&[("new", "orders/db"), ("kept", "kept/db")]);
        let pair = |from: &str| vec![(from.to_owned(), "new".to_owned())];
        let arn = "arn:aws:secretsmanager:local:000000000000:secret:orders/db-a1B2c3";
        let old = recorded("old", arn, 10);
        assert_eq!(pairs(&set, std::slice::from_ref(&old)), pair("old"));
        let [older, newer] = [recorded("a", arn, 9), recorded("b", "orders/db", 11)];
        assert_eq!(pairs(&set, &[older, old.clone(), newer]), pair("b"));
        // It was renamed before.
        let known = recorded("new", "orders/db", 10);
        assert_eq!(pairs(&set, &[old.clone(), known]), []);
        // The name was changed back.
        let earlier = recorded("new", "orders/db", 8);
        assert_eq!(pairs(&set, &[old.clone(), earlier]), pair("old"));
        let gone = recorded("gone", "gone/db", 9);
        assert_eq!(pairs(&set, &[recorded("kept", "kept/db", 20), gone]), []);
    }

    #[test]
    fn a_pause_of_the_name_that_was_used_last_counts() {
        let set = set(&[("a", "orders/db")]);
        let [a, b] = [("a", 1), ("b", 2)].map(|(name, at)| recorded(name, "orders/db", at));
        let renames = renames(&set, &[a, b.clone()], |_| true);
        let expected = Rename {
            from: b.clone(),
            to: "a".into(),
            replaces_pause: true,
            is_moved: false,
        };
        assert_eq!(renames, std::slice::from_ref(&expected));
        let first = super::renames(&set, std::slice::from_ref(&b), |_| true);
        assert!(!first[0].replaces_pause);
    }

    #[test]
    fn records_leave_a_name_that_another_secret_has() {
        // The secret has another name now, which is new.
        let both = set(&[("orders", "other/db"), ("orders-f0a708", "orders/db")]);
        let old = recorded("orders", "orders/db", 1);
        let moved = Rename {
            from: old.clone(),
            to: "orders-f0a708".into(),
            replaces_pause: false,
            is_moved: true,
        };
        let found = renames(&both, std::slice::from_ref(&old), |_| true);
        assert_eq!(found, std::slice::from_ref(&moved));
        // Either name is enough for a command; others are not concerned.
        for (name, expected) in [("orders", 1), ("orders-f0a708", 1), ("x", 0)] {
            let found = renames(&both, std::slice::from_ref(&old), |one| one == name);
            assert_eq!(found.len(), expected, "{name}");
        }
        // The new name is a renamed rotation.
        let third = recorded("third", "other/db", 2);
        let found = pairs(&both, &[old.clone(), third.clone()]);
        let pair = |from: &str, to: &str| (from.to_owned(), to.to_owned());
        let expected = [pair("orders", "orders-f0a708"), pair("third", "orders")];
        assert_eq!(found, expected);
        // No rotation has the secret: the name keeps its records, and so does another one.
        let gone = set(&[("orders", "other/db")]);
        let found = renames(&gone, std::slice::from_ref(&old), |_| true);
        let [kept] = &found[..] else {
            panic!("{found:?}")
        };
        assert!(!kept.is_moved && gone.get(&kept.to).is_none(), "{kept:?}");
        // The secret is back, under any name.
        let recorded_then = |name: &str| RotationSecret {
            rotation: name.into(),
            ..old.clone()
        };
        let then = [recorded_then(&kept.to), recorded("orders", "other/db", 3)];
        assert_eq!(pairs(&both, &then), [pair(&kept.to, "orders-f0a708")]);
        // Names of other records are not used for that.
        let used = recorded(&kept.to, "used/db", 1);
        let found = pairs(&gone, &[old, used]);
        assert_eq!(found, [pair("orders", &format!("{}-2", kept.to))]);
    }

    #[test]
    fn two_rotations_exchange_their_names() {
        let swapped = set(&[("a", "b/db"), ("b", "a/db")]);
        let [a, b] = ["a", "b"].map(|name| recorded(name, &format!("{name}/db"), 1));
        let found = renames(&swapped, &[a, b], |_| true);
        let [from_a, from_b, to_b] = &found[..] else {
            panic!("{found:?}")
        };
        // A name outside the config, so that the other one is free.
        assert!(from_a.is_moved && swapped.get(&from_a.to).is_none());
        assert!(from_b.is_moved && from_b.to == "a", "{from_b:?}");
        assert_eq!((&to_b.from.rotation, &*to_b.to), (&from_a.to, "b"));
        assert!(!to_b.replaces_pause && !to_b.is_moved, "{to_b:?}");
        // A chain: each name is taken by the next secret.
        let chain = set(&[("b", "a/db"), ("c", "b/db")]);
        let [a, b] = ["a", "b"].map(|name| recorded(name, &format!("{name}/db"), 1));
        let found = pairs(&chain, &[a, b]);
        let pair = |from: &str, to: &str| (from.to_owned(), to.to_owned());
        assert_eq!(found, [pair("b", "c"), pair("a", "b")]);
    }

    #[test]
    fn a_secret_of_another_store_is_another_one() {
        let stores = ["eu", "us"].map(|name| {
            format!("[[store]]\nname = \"{name}\"\nbackend = \"aws\"\nregion = \"{name}-west-1\"\n")
        });
        let table = "[[rotation]]\nname = \"new\"\nsecret = \"orders/db\"\nstore = \"eu\"\n";
        let settings = crate::config::testing::local(&(stores.concat() + table));
        let set: RotationSet = settings.rotations.into_iter().collect();
        for (secret, is_renamed) in [
            ("eu:orders/db", true),
            (
                "eu:arn:aws:secretsmanager:eu-west-1:111122223333:secret:orders/db-a1B2c3",
                true,
            ),
            (
                "eu:arn:aws:secretsmanager:us-west-1:111122223333:secret:orders/db-a1B2c3",
                false,
            ),
            ("us:orders/db", false),
            ("orders/db", false),
            (
                "arn:aws:secretsmanager:eu-west-1:111122223333:secret:orders/db-a1B2c3",
                false,
            ),
        ] {
            let found = pairs(&set, &[recorded("old", secret, 10)]);
            assert_eq!(!found.is_empty(), is_renamed, "{secret}");
        }
    }
}
