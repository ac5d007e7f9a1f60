//! Who alternates with whom.

use serde::Serialize;

/// The two database users of a rotation. The base user's name never ends in the suffix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pair {
    /// `app`
    pub base: String,
    /// `app_clone`
    pub clone: String,
    /// Which of the two AWSCURRENT names.
    pub active: Which,
}

/// One of the two users of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Which {
    Base,
    Clone,
}

impl Which {
    /// The other one.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Base => Self::Clone,
            Self::Clone => Self::Base,
        }
    }
}

impl Pair {
    /// Derives the pair from the user in AWSCURRENT. `suffix` is not empty (the config sees to it);
    /// a user that is called just like the suffix is taken for a base user.
    #[must_use]
    pub fn of(active_user: &str, suffix: &str) -> Self {
        match active_user.strip_suffix(suffix) {
            Some(base) if !base.is_empty() => Self {
                base: base.to_owned(),
                clone: active_user.to_owned(),
                active: Which::Clone,
            },
            _ => Self {
                base: active_user.to_owned(),
                clone: format!("{active_user}{suffix}"),
                active: Which::Base,
            },
        }
    }

    /// The name of one of the two.
    #[must_use]
    pub fn name(&self, which: Which) -> &str {
        match which {
            Which::Base => &self.base,
            Which::Clone => &self.clone,
        }
    }

    /// The user that applications sign in with now.
    #[must_use]
    pub fn active_user(&self) -> &str {
        self.name(self.active)
    }

    /// The user that the next run prepares.
    #[must_use]
    pub fn standby_user(&self) -> &str {
        self.name(self.active.other())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pair_is_the_same_whichever_of_the_two_is_active() {
        for base in [
            "app",
            "a\"b'; DROP",
            "_clone",
            "ÄPP ünï",
            "app_clone_clone_",
        ] {
            let from_base = Pair::of(base, "_clone");
            let from_clone = Pair::of(&from_base.clone, "_clone");
            assert_eq!(from_base.base, from_clone.base);
            assert_eq!(from_base.clone, from_clone.clone);
            assert_eq!(from_base.active, Which::Base);
            assert_eq!(from_clone.active, Which::Clone);
            assert_eq!(from_base.standby_user(), from_clone.active_user());
        }
    }

    #[test]
    fn a_user_called_like_the_suffix_is_a_base_user() {
        let pair = Pair::of("_clone", "_clone");
        assert_eq!(
            (pair.base.as_str(), pair.clone.as_str()),
            ("_clone", "_clone_clone")
        );
    }
}
