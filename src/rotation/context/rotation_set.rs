//! Rotations of a config, in its order and by name.

use std::sync::Arc;

use arc_swap::ArcSwap;
use indexmap::IndexMap;

use crate::config::settings::Rotation;

/// The rotations of one config, in its order. Names are unique.
#[derive(Debug, Default)]
pub struct RotationSet(IndexMap<String, Arc<Rotation>>);

impl RotationSet {
    /// The number of rotations.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the config has no rotation.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// One rotation by its name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<Rotation>> {
        self.0.get(name)
    }

    /// The place of a rotation in [`Self::iter`].
    #[must_use]
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.0.get_index_of(name)
    }

    /// The rotation at a place of [`Self::iter`].
    #[must_use]
    pub fn at(&self, place: usize) -> Option<&Arc<Rotation>> {
        self.0.get_index(place).map(|(_, rotation)| rotation)
    }

    /// All rotations, in the order of the config.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Rotation>> {
        self.0.values()
    }

    /// These rotations, and further ones after them.
    #[must_use]
    pub fn with(&self, further: Vec<Rotation>) -> Self {
        let mut all = self.0.clone();
        for rotation in further {
            all.entry(rotation.name.clone())
                .or_insert_with(|| Arc::new(rotation));
        }
        Self(all)
    }
}

impl FromIterator<Rotation> for RotationSet {
    fn from_iter<I: IntoIterator<Item = Rotation>>(rotations: I) -> Self {
        let by_name = |rotation: Rotation| (rotation.name.clone(), Arc::new(rotation));
        Self(rotations.into_iter().map(by_name).collect())
    }
}

/// The rotations of the active config, which a reload replaces. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct ActiveRotations(Arc<ArcSwap<RotationSet>>);

impl ActiveRotations {
    #[must_use]
    pub fn new(rotations: Vec<Rotation>) -> Self {
        let set = rotations.into_iter().collect();
        Self(Arc::new(ArcSwap::from_pointee(set)))
    }

    /// The rotations of the active config.
    #[must_use]
    pub fn get(&self) -> Arc<RotationSet> {
        self.0.load_full()
    }

    /// Activates the rotations of a new config.
    pub fn replace(&self, rotations: Vec<Rotation>) {
        self.activate(Arc::new(rotations.into_iter().collect()));
    }

    /// Activates a set that is read already.
    pub fn activate(&self, rotations: Arc<RotationSet>) {
        self.0.store(rotations);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_each_rotation_by_name_and_keeps_the_config_order() {
        let names = ["orders", "accounts", "zeta", "b", "a-1", "a-10", "a-2"];
        let mut text = String::new();
        for name in names {
            text += &format!("[[rotation]]\nname = \"{name}\"\nsecret = \"{name}/db\"\n");
        }
        let settings = crate::config::testing::local(&text);
        let set: RotationSet = settings.rotations.into_iter().collect();
        let order: Vec<&str> = set.iter().map(|r| r.name.as_str()).collect();
        assert_eq!(order, names);
        for name in names {
            assert_eq!(set.get(name).unwrap().name, name);
        }
        for name in ["", "a", "a-11", "zz"] {
            assert!(set.get(name).is_none(), "{name}");
        }
    }
}
