//! Keys of the store: the key file, sealed values, and the replacement of the key.

pub(super) mod file;
mod rekey;
mod rekey_rows;
mod ring;
mod sealed;

pub use self::rekey::Rekeyed;
pub(super) use self::ring::KeyRing;
pub(super) use self::sealed::{Binding, SealingKey};
