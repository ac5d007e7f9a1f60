//! Pairs of alternating database users.

use serde::Serialize;

/// The two database users of a rotation. The name of the base user never ends in the suffix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pair {
    /// `app`
    pub base: String,
    /// `app_clone`
    pub clone: String,
    /// The user in AWSCURRENT.
    pub active: PairMember,
}

/// One of the two users of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PairMember {
    Base,
    Clone,
}

impl PairMember {
    /// The other member.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Base => Self::Clone,
            Self::Clone => Self::Base,
        }
    }
}

impl Pair {
    /// Derives the pair from the user in AWSCURRENT. The config guarantees that `suffix` is not
    /// empty. A user named exactly like the suffix is a base user.
    #[must_use]
    pub fn of(active_user: &str, suffix: &str) -> Self {
        match active_user.strip_suffix(suffix) {
            Some(base) if !base.is_empty() => Self {
                base: base.to_owned(),
                clone: active_user.to_owned(),
                active: PairMember::Clone,
            },
            _ => Self {
                base: active_user.to_owned(),
                clone: format!("{active_user}{suffix}"),
                active: PairMember::Base,
            },
        }
    }

    /// The one user of `strategy = "single"` as both members. Its lock is that of the pair with this
    /// base user.
    #[must_use]
    pub fn of_one(user: &str) -> Self {
        Self {
            base: user.to_owned(),
            clone: user.to_owned(),
            active: PairMember::Base,
        }
    }

    /// The name of a member.
    #[must_use]
    pub fn name(&self, member: PairMember) -> &str {
        match member {
            PairMember::Base => &self.base,
            PairMember::Clone => &self.clone,
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
    fn the_pair_does_not_depend_on_the_active_user() {
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
            assert_eq!(from_base.active, PairMember::Base);
            assert_eq!(from_clone.active, PairMember::Clone);
            assert_eq!(from_base.standby_user(), from_clone.active_user());
        }
    }

    #[test]
    fn a_user_named_like_the_suffix_is_a_base_user() {
        let pair = Pair::of("_clone", "_clone");
        assert_eq!(
            (pair.base.as_str(), pair.clone.as_str()),
            ("_clone", "_clone_clone")
        );
    }
}
