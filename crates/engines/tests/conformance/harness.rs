//! What an engine's fixture offers to the sentences, in words that no engine owns.
//!
//! A *place* is where one application works: a database, a schema. Every case has one of its own,
//! so that no sentence stands in another's way. A *privilege* has a name that only the fixture
//! understands; what is granted is always tried by really doing it, never read from a catalogue.
//!
//! What can go wrong, and what prevents it:
//! - a sentence passes because the fixture did nothing: whatever a fixture is asked to do and
//!   cannot do is a panic, and `may` is false only where the server says "not allowed";
//! - a powerful master hides what a real one lacks: the master is as weak as the services' own;
//! - a password that the fixture itself sets is found in the log: fixtures set theirs out of its sight.

use std::any::Any;
use std::net::TcpStream;
use std::path::PathBuf;

use async_trait::async_trait;
use twinkey_core::secret::pair::Pair;
use twinkey_engines::{Change, Credentials, Engine, Target};

/// A real server of one engine, with a master as its service would give one.
#[async_trait]
pub trait Harness: Sync {
    fn engine(&self) -> &dyn Engine;

    /// Not almighty: able to do what the documentation asks of a master.
    fn master(&self) -> &Credentials;

    /// A place that is always there, and in which the master may sign in.
    fn home(&self) -> &str;

    /// As a secret names it: by the certificate's own name, `localhost`, verified in full.
    fn target(&self, place: &str) -> Target;

    /// Makes a new place and a user who works there, whom the master may rotate; and in the place
    /// what [`Harness::privileges`] are about, of which the user has none yet.
    async fn prepare(&self, place: &str, user: &Credentials);

    /// Signs in and does everything that the application does, in a way that depends on what whoever
    /// it was did in the rounds before this one, from 0 on: creates, alters, writes, reads.
    async fn work(&self, place: &str, who: &Credentials, round: u32);

    /// A session of the application, for as long as the answer lives.
    async fn open(&self, place: &str, who: &Credentials) -> Box<dyn Any + Send>;

    /// The names of some privileges, as different from each other as the engine has them.
    fn privileges(&self) -> &'static [&'static str];

    /// To whom a DBA grants what the active user is to have.
    fn bearer<'a>(&self, pair: &'a Pair) -> &'a str {
        pair.active_user()
    }

    async fn grant(&self, place: &str, user: &str, privilege: &str);

    async fn revoke(&self, place: &str, user: &str, privilege: &str);

    /// Whether a new session can do what the privilege is for.
    async fn may(&self, place: &str, who: &Credentials, privilege: &str) -> bool;

    /// Takes from the master what it needs for this user, or gives the user what is beyond the
    /// master. Says how many lacks are to be reported.
    async fn break_master(&self, place: &str, user: &str) -> usize;

    /// Carries out what a finding proposes, as a DBA would.
    async fn mend(&self, place: &str, fix: &str);

    /// Makes users that are never rotated, and names them: the mightiest there are. The master is
    /// one without being named.
    async fn mighty_users(&self) -> Vec<String>;

    /// Names that are only names, each with room for `_clone`.
    fn hostile_names(&self) -> Vec<String>;

    /// Names that no user can have.
    fn impossible_names(&self) -> Vec<String>;

    /// The file in which the server notes what it is told.
    fn log_path(&self) -> PathBuf;

    /// Whether this part of the log shows the change, word for word but for the password's hash.
    fn is_logged(&self, log: &str, change: &Change) -> bool;

    /// Whether the engine opens connections to the server itself: without any, there is no TLS to be
    /// asked about, and nobody who could be unreachable there.
    fn connects(&self) -> bool {
        true
    }

    /// Whether a run can go on with the master's connection of another.
    fn hands_on(&self) -> bool {
        true
    }

    /// Plays a server without TLS until the client hangs up; gives back all that it was told
    /// besides the question for TLS.
    fn plain_server(&self) -> fn(TcpStream) -> Vec<u8>;
}
