//! A world: names and script, determined by a seed.

use twinkey_core::secret::pair::{Pair, PairMember};
use twinkey_core::secret::{ExposeSecret, Sensitive, verifier};
use twinkey_engines::Credentials;
use twinkey_testkit::aws::redshift::HOME;
use twinkey_testkit::rng::Rng;

use super::statements::Script;

/// Statements of the script, in one session.
#[derive(Debug, Clone)]
pub struct Step {
    pub kind: &'static str,
    pub database: &'static str,
    /// `None`: the superuser.
    pub user: Option<String>,
    pub sqls: Vec<String>,
    /// In PostgreSQL's SQL, for what the stand-in stores and Redshift has no statement for.
    pub is_raw: bool,
    /// A world without it is none.
    pub required: bool,
}

pub struct World {
    pub seed: u64,
    pub pair: Pair,
    /// Of the active user.
    pub current: Credentials,
    /// In each database.
    pub schemas: [String; 2],
    pub groups: [String; 2],
    pub roles: [String; 3],
    /// Users of others, which own objects and hand on what they hold.
    pub others: [String; 2],
    pub has_both: bool,
    pub steps: Vec<Step>,
}

fn base_name(rng: &Rng, seed: u64) -> String {
    match rng.below(8) {
        0 => format!("W{seed} App"),
        1 => format!(r#"w{seed}a"b'; --"#),
        2 => format!("w{seed}ünï $1 \\"),
        3 => format!("w{seed}a=b, {{c}}"),
        _ => format!("w{seed}_app"),
    }
}

impl World {
    pub fn new(seed: u64) -> Self {
        let rng = Rng::new(seed);
        let mut pair = Pair::of(&base_name(&rng, seed), "_clone");
        let has_both = rng.below(2) == 0;
        if has_both && rng.below(2) == 0 {
            pair.active = PairMember::Clone;
        }
        let mut world = Self {
            seed,
            current: Credentials {
                username: pair.active_user().to_owned(),
                password: Sensitive::from(format!("Active-password-{seed}")),
            },
            pair,
            schemas: [format!("w{seed}_shop"), format!("W{seed} Mixed\"x")],
            groups: [format!("w{seed}_team"), format!("w{seed} group")],
            roles: ["reader", "writer", "nested"].map(|name| format!("w{seed}_{name}")),
            others: ["third", "lender"].map(|name| format!("w{seed}_{name}")),
            has_both,
            steps: Vec::new(),
        };
        world.steps = Script::new(&world, &rng).all();
        world
    }

    pub fn all_names(&self) -> Vec<String> {
        let pair = [&self.pair.base, &self.pair.clone];
        let all = self.groups.iter().chain(&self.roles).chain(&self.others);
        all.chain(pair).cloned().collect()
    }

    /// The form of a password in a statement.
    pub fn digest(who: &Credentials, is_sha256: bool) -> String {
        let digest = if is_sha256 {
            verifier::redshift_sha256(&who.password).unwrap()
        } else {
            verifier::md5(&who.password, &who.username)
        };
        digest.expose_secret().to_owned()
    }

    pub fn script(&self) -> String {
        let mut script = format!("-- world {}: {:?}\n", self.seed, self.pair);
        for step in &self.steps {
            let user = step.user.as_deref().unwrap_or("the superuser");
            let place = if step.database == HOME {
                ""
            } else {
                "\\c archive\n"
            };
            script += &format!(
                "{place}-- {} by {user}\n{};\n",
                step.kind,
                step.sqls.join(";\n")
            );
        }
        script
    }
}
