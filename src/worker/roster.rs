//! The rotations of one config, in its order, and found by their names.
//!
//! What can go wrong: each window looks its rotation up, and so does each event, so that a thousand windows at once
//! among ten thousand rotations are ten million comparisons. A name is found by bisection.

use std::ops::Deref;
use std::sync::Arc;

use crate::config::settings::Rotation;

/// The rotations, in the config's order; names are unique there.
#[derive(Debug)]
pub struct Roster {
    rotations: Box<[Arc<Rotation>]>,
    /// Places in `rotations`, in the order of the names.
    by_name: Box<[usize]>,
}

impl Roster {
    #[must_use]
    pub fn new(rotations: Vec<Rotation>) -> Self {
        let rotations: Box<[Arc<Rotation>]> = rotations.into_iter().map(Arc::new).collect();
        let mut by_name: Box<[usize]> = (0..rotations.len()).collect();
        by_name.sort_unstable_by(|a, b| rotations[*a].name.cmp(&rotations[*b].name));
        Self { rotations, by_name }
    }

    /// One rotation by its name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Arc<Rotation>> {
        let name_of = |place: &usize| self.rotations[*place].name.as_str();
        let found = self.by_name.binary_search_by(|p| name_of(p).cmp(name));
        Some(&self.rotations[self.by_name[found.ok()?]])
    }
}

impl Deref for Roster {
    type Target = [Arc<Rotation>];

    fn deref(&self) -> &[Arc<Rotation>] {
        &self.rotations
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rotation_is_found_by_its_name_and_they_keep_the_order_of_the_config() {
        let names = ["orders", "accounts", "zeta", "b", "a-1", "a-10", "a-2"];
        let mut text = String::from("[secrets]\nbackend = \"local\"\n");
        for name in names {
            text += &format!("[[rotation]]\nname = \"{name}\"\nsecret = \"{name}/db\"\n");
        }
        let file = std::path::Path::new("twinkey.toml");
        let settings = crate::config::parse(file, &text, &Default::default()).unwrap();
        let roster = Roster::new(settings.rotations);
        let order: Vec<&str> = roster.iter().map(|r| r.name.as_str()).collect();
        assert_eq!(order, names);
        for name in names {
            assert_eq!(roster.find(name).unwrap().name, name);
        }
        for name in ["", "a", "a-11", "zz"] {
            assert!(roster.find(name).is_none(), "{name}");
        }
    }
}
