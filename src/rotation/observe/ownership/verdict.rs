//! Whose the pair is, from the evidence. Pure.

/// Result of signing in as the standby with versions of the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::rotation) enum Proof {
    /// A version of the secret holds its password.
    Held,
    /// Versions of the secret name the standby, and it has none of their passwords.
    Refused,
    /// No version of the secret names the standby.
    NoVersion,
}

/// What the operator allows for a standby that is not the secret's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::rotation) enum Consent {
    None,
    /// `standby = "existing"`: the operator made the standby for this secret.
    Existing,
    /// `standby = "adopt"`, not used yet.
    Adopt,
}

/// Facts about the standby and about other secrets with its pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub(in crate::rotation) struct Evidence {
    pub exists: bool,
    pub proof: Proof,
    /// No client can sign in as the standby.
    pub disabled: bool,
    /// This rotation locked it, or was due to, and nothing shows that it was unlocked.
    pub retired: bool,
    /// The journal has a success of this secret with this pair.
    pub owned: bool,
    /// It has exactly the active user's privileges and settings.
    pub equal: bool,
    /// AWS's function made the pair, whose clone is active.
    pub cloned_by_aws: bool,
    /// Another rotation of the config has this secret.
    pub duplicate: bool,
    /// Another secret's runs succeeded with the pair.
    pub other_owner: bool,
    /// AWSCURRENT of another secret is the standby.
    pub other_login: bool,
    pub consent: Consent,
}

/// Whose the pair is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::rotation) enum Verdict {
    Ours,
    /// No version of the secret proves the standby. AWS's function made it, or the operator says
    /// that it is this secret's.
    Unproved,
    /// The operator lets this run take it over.
    Adopted,
    Foreign,
    Shared,
}

/// Decides whose the pair is.
pub(in crate::rotation) fn verdict(e: &Evidence) -> Verdict {
    // A new password of the standby would lock another secret's applications out.
    if e.duplicate || e.other_login || (e.other_owner && e.consent != Consent::Adopt) {
        return Verdict::Shared;
    }
    // A half-made or retired standby accepts no password, so the versions that name it are enough.
    let left_by_a_run = e.retired || (e.disabled && e.proof == Proof::Refused);
    let named_by_none = e.proof == Proof::NoVersion;
    if !e.exists || e.proof == Proof::Held || left_by_a_run || (named_by_none && e.owned) {
        return Verdict::Ours;
    }
    if named_by_none && (e.cloned_by_aws || e.consent == Consent::Existing) {
        return Verdict::Unproved;
    }
    if e.consent == Consent::Adopt {
        return Verdict::Adopted;
    }
    // A standby that is complete, without a version that names it, is maintained by another secret.
    if e.proof == Proof::NoVersion && e.equal {
        return Verdict::Shared;
    }
    Verdict::Foreign
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNKNOWN: Evidence = Evidence {
        exists: true,
        proof: Proof::NoVersion,
        disabled: false,
        retired: false,
        owned: false,
        equal: false,
        cloned_by_aws: false,
        duplicate: false,
        other_owner: false,
        other_login: false,
        consent: Consent::None,
    };

    #[test]
    fn a_password_of_the_secret_proves_the_standby() {
        for (proof, expected) in [
            (Proof::Held, Verdict::Ours),
            (Proof::Refused, Verdict::Foreign),
            (Proof::NoVersion, Verdict::Foreign),
        ] {
            assert_eq!(verdict(&Evidence { proof, ..UNKNOWN }), expected);
        }
    }

    #[test]
    fn a_missing_standby_is_created() {
        let missing = Evidence {
            exists: false,
            ..UNKNOWN
        };
        assert_eq!(verdict(&missing), Verdict::Ours);
    }

    #[test]
    fn a_standby_that_a_run_left_is_taken() {
        let refused = Evidence {
            proof: Proof::Refused,
            ..UNKNOWN
        };
        let half_made = Evidence {
            disabled: true,
            ..refused
        };
        let retired = Evidence {
            retired: true,
            ..refused
        };
        let edited = Evidence {
            owned: true,
            ..UNKNOWN
        };
        for left in [half_made, retired, edited] {
            assert_eq!(verdict(&left), Verdict::Ours, "{left:?}");
        }
        let locked_by_others = Evidence {
            disabled: true,
            ..UNKNOWN
        };
        assert_eq!(verdict(&locked_by_others), Verdict::Foreign);
        let changed_by_hand = Evidence {
            owned: true,
            ..refused
        };
        assert_eq!(verdict(&changed_by_hand), Verdict::Foreign);
    }

    #[test]
    fn a_complete_standby_without_a_version_is_shared() {
        let complete = Evidence {
            equal: true,
            ..UNKNOWN
        };
        assert_eq!(verdict(&complete), Verdict::Shared);
        let by_aws = Evidence {
            cloned_by_aws: true,
            ..complete
        };
        assert_eq!(verdict(&by_aws), Verdict::Unproved);
        let owned = Evidence {
            owned: true,
            ..by_aws
        };
        assert_eq!(verdict(&owned), Verdict::Ours);
    }

    #[test]
    fn consent_never_takes_another_secrets_login() {
        for consent in [Consent::None, Consent::Existing, Consent::Adopt] {
            for proof in [Proof::Held, Proof::Refused, Proof::NoVersion] {
                for cloned_by_aws in [false, true] {
                    let login = Evidence {
                        proof,
                        consent,
                        cloned_by_aws,
                        other_login: true,
                        ..UNKNOWN
                    };
                    assert_eq!(verdict(&login), Verdict::Shared);
                }
            }
        }
        let owner = Evidence {
            other_owner: true,
            ..UNKNOWN
        };
        assert_eq!(verdict(&owner), Verdict::Shared);
        let proved = Evidence {
            proof: Proof::Held,
            ..owner
        };
        assert_eq!(verdict(&proved), Verdict::Shared);
        let adopted = Evidence {
            consent: Consent::Adopt,
            ..owner
        };
        assert_eq!(verdict(&adopted), Verdict::Adopted);
        let existing = Evidence {
            consent: Consent::Existing,
            ..UNKNOWN
        };
        assert_eq!(verdict(&existing), Verdict::Unproved);
    }

    #[test]
    fn two_rotations_of_one_secret_are_refused() {
        for consent in [Consent::None, Consent::Existing, Consent::Adopt] {
            let duplicate = Evidence {
                proof: Proof::Held,
                owned: true,
                duplicate: true,
                consent,
                ..UNKNOWN
            };
            assert_eq!(verdict(&duplicate), Verdict::Shared);
        }
    }
}
