//! State that the workers of a history share: the model's world, the lock and late effects.

use crate::rotation::model::world::{Id, Password, Run, UNKNOWN, User, Value, World};

pub(super) const VERSIONS: usize = 16;

/// Random numbers (SplitMix64). Equal seeds give equal histories.
pub(super) struct Rng(pub(super) u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(super) fn below(&mut self, n: usize) -> usize {
        usize::try_from(self.next() % n as u64).unwrap()
    }

    pub(super) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

/// Shared state of a history.
pub(super) struct SharedState {
    pub(super) world: World<VERSIONS>,
    /// The worker that holds the pair's lock; it may have exited unnoticed.
    pub(super) lock: Option<usize>,
    /// The worker that took the lock last, as the lease's document names it.
    pub(super) last_holder: Option<usize>,
    /// The lock is a document with a lease instead of a connection.
    pub(super) lease: bool,
    /// A change of the standby that takes effect later, as the run that sent it.
    pub(super) change_under_way: Option<Run>,
    passwords: Password,
    /// Creation times of the versions, as sequence numbers.
    created: [u8; VERSIONS],
    versions: u8,
    pub(super) promotions: [u8; VERSIONS],
}

impl SharedState {
    pub(super) fn new(world: World<VERSIONS>, lease: bool) -> Self {
        Self {
            world,
            lock: None,
            last_holder: None,
            lease,
            change_under_way: None,
            passwords: 1,
            created: [0; VERSIONS],
            versions: 0,
            promotions: [0; VERSIONS],
        }
    }

    pub(super) fn new_password(&mut self) -> Password {
        self.passwords += 1;
        assert!(self.passwords < UNKNOWN);
        self.passwords
    }

    /// Records the creation of a version.
    pub(super) fn record_creation(&mut self, id: Id) {
        if self.created[id] == 0 {
            self.versions += 1;
            self.created[id] = self.versions;
        }
    }

    /// Whether AWSCURRENT is younger than a version.
    pub(super) fn is_superseded(&self, id: Id) -> bool {
        self.created[self.world.current] > self.created[id]
    }

    /// Whether the credentials in a version sign in, with full privileges.
    pub(super) fn works(&self, id: Id) -> bool {
        match self.world.versions[id] {
            Value::Doc {
                clone, password, ..
            } => {
                self.world.users[usize::from(clone)]
                    == User::There {
                        signs_in: true,
                        password,
                        full: true,
                    }
            }
            _ => false,
        }
    }
}
