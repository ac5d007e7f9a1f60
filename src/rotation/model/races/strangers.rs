//! What people and other rotators do to a secret while it is rotated: nothing that harms by itself.

use super::history::{FIRST_STRANGER, History};
use crate::rotation::model::world::{Id, User, Value, Write};

const LAST_STRANGER: Id = 14;

impl History {
    /// One deed of a stranger.
    pub(super) fn stranger(&mut self) -> Result<(), String> {
        let chosen = self.chance.below(7);
        let did = match chosen {
            0 => self.edit(),
            1 => self.change_password(),
            2 => self.move_current(),
            3 => {
                self.town.world.pending = None;
                "a person takes AWSPENDING off".into()
            }
            4 => self.move_pending(),
            _ => self.another_rotator(),
        };
        self.note(|| did)
    }

    fn unused(&self) -> Option<Id> {
        (FIRST_STRANGER..=LAST_STRANGER).find(|id| self.town.world.versions[*id] == Value::None)
    }

    /// PutSecretValue without a label: the value is AWSCURRENT, what was it is AWSPREVIOUS.
    fn put_current(&mut self, id: Id, value: Value) {
        self.town.made(id);
        let world = &mut self.town.world;
        world.versions[id] = value;
        world.previous = Some(world.current);
        world.current = id;
    }

    fn edit(&mut self) -> String {
        let world = &self.town.world;
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
        "a person only looks".into()
    }

    /// Of the active user, unless a run is on that goes on with what it was when it began.
    fn change_password(&mut self) -> String {
        let world = &self.town.world;
        if let (Some(id), Value::Doc { clone, fields, .. }) =
            (self.unused(), world.versions[world.current])
            && self.workers.iter().all(|w| w.works_on() != Some(clone))
        {
            let password = self.town.new_password();
            self.town.world.users[usize::from(clone)] = User::There {
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
            return format!("a person gives the active user a password of her own: version {id}");
        }
        "a person only looks".into()
    }

    /// To a version that signs in, unless a run is changing its user at this very moment.
    fn move_current(&mut self) -> String {
        let to = self.chance.below(self.town.world.versions.len());
        let from = self.town.world.current;
        let taken = self.workers.iter().filter_map(|w| w.changes());
        let free = match self.town.world.versions[to] {
            Value::Doc { clone, .. } => taken.into_iter().all(|user| user != clone),
            _ => false,
        };
        if to == from || !free || !self.town.works(to) {
            return "a person only looks".into();
        }
        let (moved, _) = self.town.world.write(Write::Promote { from, to });
        self.town.world = moved;
        // What was promoted since may be taken back, and may be promoted again.
        self.town.promotions.fill(0);
        format!("a person moves AWSCURRENT from {from} to {to}")
    }

    fn move_pending(&mut self) -> String {
        let to = self.chance.below(self.town.world.versions.len());
        if self.town.world.versions[to] == Value::None {
            return "a person only looks".into();
        }
        self.town.world.pending = Some(to);
        format!("a person moves AWSPENDING to {to}")
    }

    fn another_rotator(&mut self) -> String {
        let Some(id) = self.unused() else {
            return "a person only looks".into();
        };
        let value = match self.chance.below(3) {
            0 => Value::Empty,
            1 => Value::Foreign,
            _ => Value::Doc {
                clone: !self.town.world.active_is_clone(),
                password: self.town.new_password(),
                fields: self.town.world.fields(),
            },
        };
        self.town.made(id);
        self.town.world.versions[id] = value;
        self.town.world.pending = Some(id);
        format!("another rotator writes {value:?} as AWSPENDING: version {id}")
    }
}
