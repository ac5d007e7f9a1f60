//! The config: as written ([`raw`]) -> validated and typed ([`settings`]). All errors are reported
//! at once, each with file and key; an unknown key names the nearest known one.

pub mod settings;
