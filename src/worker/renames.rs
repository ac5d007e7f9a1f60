//! Rotations that were renamed in the config. They are recognised by their secret. Pure.
//!
//! # Failure modes
//! - A rotation is renamed, and runs although it is paused; the user of AWSPREVIOUS is never locked.
//!   The rotation that has the secret now keeps the pause, the last flip and the retirement.
//! - A window that the former name missed or ran counts for the new name. The time at which a
//!   worker first had the rotation is not kept.
//! - A secret of another store has the same name. The store is recorded with the secret.
//! - The name is changed back. The name that was in a config last is the former one.

use crate::config::settings::Rotation;
use crate::journal::RotationSecret;
use crate::rotation::context::rotation_set::RotationSet;
use twinkey_core::aws::secret_id::same_secret;

/// Former and present names.
pub(super) fn renamed(
    rotations: &RotationSet,
    recorded: &[RotationSecret],
) -> Vec<(String, String)> {
    let former: Vec<&RotationSecret> = (recorded.iter())
        .filter(|one| rotations.get(&one.rotation).is_none())
        .collect();
    if former.is_empty() {
        return Vec::new();
    }
    let own = |name: &str| recorded.iter().find(|one| one.rotation == name);
    rotations
        .iter()
        .filter_map(|rotation| {
            let known = own(&rotation.name).filter(|one| is_same(&one.secret, rotation));
            let from = (former.iter())
                .filter(|one| is_same(&one.secret, rotation))
                .filter(|one| known.is_none_or(|known| known.configured < one.configured))
                .max_by_key(|one| one.configured)?;
            Some((from.rotation.clone(), rotation.name.clone()))
        })
        .collect()
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

    fn recorded(rotation: &str, secret: &str, second: i64) -> RotationSecret {
        RotationSecret {
            rotation: rotation.into(),
            secret: secret.into(),
            configured: DateTime::from_timestamp(second, 0).unwrap(),
        }
    }

    #[test]
    fn a_rotation_has_its_former_name_by_its_secret() {
        let table =
            |name, secret| format!("[[rotation]]\nname = \"{name}\"\nsecret = \"{secret}\"\n");
        let text = table("new", "orders/db") + &table("kept", "kept/db");
        let settings = crate::config::testing::local(&text);
        let set: RotationSet = settings.rotations.into_iter().collect();
        let pair = |from: &str| vec![(from.to_owned(), "new".to_owned())];
        let arn = "arn:aws:secretsmanager:local:000000000000:secret:orders/db-a1B2c3";
        let old = recorded("old", arn, 10);
        assert_eq!(renamed(&set, std::slice::from_ref(&old)), pair("old"));
        let [older, newer] = [recorded("a", arn, 9), recorded("b", "orders/db", 11)];
        assert_eq!(renamed(&set, &[older, old.clone(), newer]), pair("b"));
        // It was renamed before.
        let known = recorded("new", "orders/db", 10);
        assert_eq!(renamed(&set, &[old.clone(), known]), []);
        // The name was changed back, or had another secret.
        let earlier = recorded("new", "orders/db", 8);
        assert_eq!(renamed(&set, &[old.clone(), earlier]), pair("old"));
        let other = recorded("new", "other/db", 20);
        assert_eq!(renamed(&set, &[old, other]), pair("old"));
        let in_config = recorded("kept", "orders/db", 20);
        assert_eq!(
            renamed(&set, &[in_config, recorded("gone", "gone/db", 9)]),
            []
        );
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
            let found = renamed(&set, &[recorded("old", secret, 10)]);
            assert_eq!(!found.is_empty(), is_renamed, "{secret}");
        }
    }
}
