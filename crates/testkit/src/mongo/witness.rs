//! Stands between clients and the server: notes every command in a file, and does to a command what a
//! test orders. It ends TLS where a test wants it, so that what goes through can be read.
//!
//! What can go wrong, and what prevents it:
//! - a command goes by unnoted: whatever cannot be read ends the connection and is noted as such, and
//!   a note is written before its command is passed on (`relay.rs`);
//! - a password is looked for in the notes and left out of them: the few that are, are kept here.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use mongodb::bson::{Document, doc};
use parking_lot::Mutex;
use secrecy::{ExposeSecret, SecretString};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, crypto};

use super::noted::Noted;
use super::relay::relay;
use super::wire::Message;

/// How a message that is none is noted.
pub const UNREADABLE: &str = "a message that cannot be read";

/// The commands that change a user or a role, or the lock of a pair.
pub const WRITES: &[&str] = &[
    "createUser",
    "updateUser",
    "dropUser",
    "grantRolesToUser",
    "revokeRolesFromUser",
    "createRole",
    "updateRole",
    "dropRole",
    "grantRolesToRole",
    "revokeRolesFromRole",
    "grantPrivilegesToRole",
    "revokePrivilegesFromRole",
    "findAndModify",
    "insert",
    "update",
    "delete",
];

/// What becomes of the command at which a client is cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The server never sees it.
    Lost,
    /// The server carries it out, and nobody hears of it.
    CarriedOut,
}

/// What becomes of the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Client {
    /// It waits for an answer that never comes.
    Held,
    /// Its connection is closed.
    CutOff,
}

#[derive(Clone)]
pub(super) struct Cut {
    pub fate: Fate,
    pub client: Client,
    pub reached: Arc<Notify>,
}

struct Order {
    commands: &'static [&'static str],
    /// Commands yet to let through.
    left: usize,
    cut: Cut,
}

/// An answer in the server's place.
struct Played {
    command: String,
    answer: Document,
}

pub(super) struct State {
    log: Mutex<File>,
    /// With the name of the command that carried it.
    passwords: Mutex<Vec<(String, SecretString)>>,
    order: Mutex<Option<Order>>,
    played: Mutex<Vec<Played>>,
}

/// A relay to one server; it ends with the test's runtime.
pub struct Witness {
    port: u16,
    folder: tempfile::TempDir,
    state: Arc<State>,
}

impl Witness {
    /// Relays to `server` from a port of its own. `tls`: certificate chain and key as PEM, with which
    /// it speaks TLS to clients; to the server it never does.
    pub async fn start(server: u16, tls: Option<&(String, String)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let folder = tempfile::tempdir().unwrap();
        let state = Arc::new(State {
            log: Mutex::new(File::create(folder.path().join("log")).unwrap()),
            passwords: Mutex::default(),
            order: Mutex::default(),
            played: Mutex::default(),
        });
        let acceptor = tls.map(acceptor);
        let shared = state.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, server, acceptor.clone(), shared.clone()));
            }
        });
        Self {
            port,
            folder,
            state,
        }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// One line a command.
    pub fn log_path(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap()
    }

    /// By which commands this password came as `pwd`, one by one. Any other way is in the log.
    pub fn came_by(&self, password: &SecretString) -> Vec<String> {
        let all = self.state.passwords.lock();
        let is_it = |heard: &SecretString| heard.expose_secret() == password.expose_secret();
        let found = all.iter().filter(|(_, heard)| is_it(heard));
        found.map(|(command, _)| command.clone()).collect()
    }

    /// Closes the connection at the `nth` of these commands from now on; what is given tells when.
    pub fn cut(&self, commands: &'static [&'static str], nth: usize, fate: Fate) -> Arc<Notify> {
        self.order(commands, nth, fate, Client::CutOff)
    }

    /// As [`Self::cut`], and the connection stays: its client waits until it is gone.
    pub fn hold(&self, commands: &'static [&'static str], nth: usize, fate: Fate) -> Arc<Notify> {
        self.order(commands, nth, fate, Client::Held)
    }

    /// All that came as `pwd`, whosever it is.
    pub fn passwords(&self) -> Vec<SecretString> {
        let all = self.state.passwords.lock();
        all.iter().map(|(_, password)| password.clone()).collect()
    }

    fn order(
        &self,
        commands: &'static [&'static str],
        nth: usize,
        fate: Fate,
        client: Client,
    ) -> Arc<Notify> {
        let reached = Arc::new(Notify::new());
        let cut = Cut {
            fate,
            client,
            reached: reached.clone(),
        };
        *self.state.order.lock() = Some(Order {
            commands,
            left: nth - 1,
            cut,
        });
        reached
    }

    /// From now on answers this command in the server's place.
    pub fn answer(&self, command: &str, answer: Document) {
        let command = command.to_owned();
        let mut all = self.state.played.lock();
        all.retain(|played| played.command != command);
        all.push(Played { command, answer });
    }

    /// From now on answers this command with this error.
    pub fn refuse(&self, command: &str, code: i32, name: &str, message: &str) {
        let error = doc! { "ok": 0.0, "errmsg": message, "code": code, "codeName": name };
        self.answer(command, error);
    }

    /// Lets everything through again.
    pub fn let_through(&self) {
        *self.state.order.lock() = None;
        self.state.played.lock().clear();
    }
}

fn acceptor((certificate, key): &(String, String)) -> TlsAcceptor {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate.as_bytes()).collect();
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
    let provider = Arc::new(crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain.unwrap(), key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

async fn serve(client: TcpStream, server: u16, tls: Option<TlsAcceptor>, state: Arc<State>) {
    // A client that is gone, or that refuses our certificate, is a test's doing.
    let _ = match tls {
        None => relay(client, server, &state).await,
        Some(tls) => match tls.accept(client).await {
            Ok(client) => relay(client, server, &state).await,
            Err(error) => Err(error),
        },
    };
}

impl State {
    /// Notes what a client sends; gives the command's name.
    pub fn note(&self, message: &Message) -> Option<String> {
        let mut log = self.log.lock();
        let Some(command) = message.document() else {
            writeln!(log, "{UNREADABLE}").unwrap();
            return None;
        };
        let noted = Noted::of(command);
        writeln!(log, "{}", noted.line).unwrap();
        if let Some(password) = noted.password {
            let mut all = self.passwords.lock();
            all.push((noted.name.clone(), password.into()));
        }
        Some(noted.name)
    }

    /// What is ordered for this command.
    pub fn cut_at(&self, command: &str) -> Option<Cut> {
        let mut order = self.order.lock();
        let now = order.as_mut()?;
        if !now.commands.contains(&command) {
            return None;
        }
        if now.left > 0 {
            now.left -= 1;
            return None;
        }
        // Whoever comes back is let through.
        order.take().map(|order| order.cut)
    }

    pub fn played(&self, command: &str) -> Option<Document> {
        let all = self.played.lock();
        let found = all.iter().find(|played| played.command == command);
        found.map(|played| played.answer.clone())
    }
}
