//! Actions of people and other rotators during a rotation; none breaks AWSCURRENT by itself.

use super::history::{FIRST_EXTERNAL, History};
use crate::rotation::model::world::{Id, User, Value, Write};

const LAST_EXTERNAL: Id = 14;

impl History {
    /// One action of an external actor.
    pub(super) fn external_actor(&mut self) -> Result<(), String> {
        let chosen = self.rng.below(7);
        let did = match chosen {
            0 => self.edit(),
            1 => self.change_password(),
            2 => self.move_current(),
            3 => {
                self.shared.world.pending = None;
                "a person takes AWSPENDING off".into()
            }
            4 => self.move_pending(),
            _ => self.another_rotator(),
        };
        self.note(|| did)
    }

    fn unused(&self) -> Option<Id> {
        (FIRST_EXTERNAL..=LAST_EXTERNAL).find(|id| self.shared.world.versions[*id] == Value::None)
    }

    /// PutSecretValue without a label: the version becomes AWSCURRENT and the old one AWSPREVIOUS.
    fn put_current(&mut self, id: Id, value: Value) {
        self.shared.record_creation(id);
        let world = &mut self.shared.world;
        world.versions[id] = value;
        world.previous = Some(world.current);
        world.current = id;
    }

    fn edit(&mut self) -> String {
        let world = &self.shared.world;
        if let (
            Some(id),
            Value::Doc {
                clone,
                password,
                fields,
            },
        ) = (self.unused(), world.versions[world.current])
        {
            self.put_current(
                id,
                Value::Doc {
                    clone,
                    password,
                    fields: fields + 1,
                },
            );
            return format!("a person edits the secret: version {id} is AWSCURRENT");
        }
        "a person does nothing".into()
    }

    /// Changes the active user's password, unless a run that observed the old one continues.
    fn change_password(&mut self) -> String {
        let world = &self.shared.world;
        if let (Some(id), Value::Doc { clone, fields, .. }) =
            (self.unused(), world.versions[world.current])
            && self.workers.iter().all(|w| w.works_on() != Some(clone))
        {
            let password = self.shared.new_password();
            self.shared.world.users[usize::from(clone)] = User::There {
                signs_in: true,
                password,
                full: true,
            };
            self.put_current(
                id,
                Value::Doc {
                    clone,
                    password,
                    fields,
                },
            );
            return format!("a person gives the active user another password: version {id}");
        }
        "a person does nothing".into()
    }

    /// Moves AWSCURRENT to a version that signs in, unless a run is changing its user.
    fn move_current(&mut self) -> String {
        let to = self.rng.below(self.shared.world.versions.len());
        let from = self.shared.world.current;
        let taken = self.workers.iter().filter_map(|w| w.changes());
        let free = match self.shared.world.versions[to] {
            Value::Doc { clone, .. } => taken.into_iter().all(|user| user != clone),
            _ => false,
        };
        if to == from || !free || !self.shared.works(to) {
            return "a person does nothing".into();
        }
        let (moved, _) = self.shared.world.write(Write::Promote { from, to });
        self.shared.world = moved;
        // A version that was promoted before may be promoted again.
        self.shared.promotions.fill(0);
        format!("a person moves AWSCURRENT from {from} to {to}")
    }

    fn move_pending(&mut self) -> String {
        let to = self.rng.below(self.shared.world.versions.len());
        if self.shared.world.versions[to] == Value::None {
            return "a person does nothing".into();
        }
        self.shared.world.pending = Some(to);
        format!("a person moves AWSPENDING to {to}")
    }

    fn another_rotator(&mut self) -> String {
        let Some(id) = self.unused() else {
            return "a person does nothing".into();
        };
        let value = match self.rng.below(3) {
            0 => Value::Empty,
            1 => Value::Foreign,
            _ => Value::Doc {
                clone: !self.shared.world.active_is_clone(),
                password: self.shared.new_password(),
                fields: self.shared.world.fields(),
            },
        };
        self.shared.record_creation(id);
        self.shared.world.versions[id] = value;
        self.shared.world.pending = Some(id);
        format!("another rotator writes {value:?} as AWSPENDING: version {id}")
    }
}
