//! Relay between clients and the MongoDB server that records commands and injects faults.
//!
//! It terminates TLS if a test needs TLS.
//!
//! # Failure modes
//! - A command is not recorded. An unreadable message ends its connection and is recorded as such,
//!   and a command is recorded before it is relayed (`connection.rs`).
//! - A test searches the log for a masked password. Masked passwords are kept in memory.

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

use super::connection::relay_connection;
use super::documentdb_rules::{DocumentdbRule, RuledCommand, on_command, on_response};
use super::recorded_command::RecordedCommand;
use super::user_fields::UserFields;
use super::wire::Message;
use crate::interruption::Interruption;

/// The record of an unreadable message.
pub const UNREADABLE: &str = "unreadable message";

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

/// The state of an interrupted client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClientEnd {
    /// It waits for a response that never arrives.
    Waits,
    /// Its connection is closed.
    Disconnected,
}

/// A scheduled interruption of one client.
#[derive(Clone)]
pub(super) struct Interrupt {
    pub interruption: Interruption,
    pub client_end: ClientEnd,
    pub reached: Arc<Notify>,
}

struct Schedule {
    commands: &'static [&'static str],
    /// Number of commands to relay before.
    left: usize,
    interrupt: Interrupt,
}

/// A response that the relay gives in place of the server.
struct FixedResponse {
    command: String,
    response: Document,
}

pub(super) struct State {
    log: Mutex<File>,
    /// Masked passwords, each with the name of its command.
    passwords: Mutex<Vec<(String, SecretString)>>,
    schedule: Mutex<Option<Schedule>>,
    responses: Mutex<Vec<FixedResponse>>,
    rules: Mutex<Vec<DocumentdbRule>>,
    user_fields: UserFields,
}

/// A relay to one server; it ends with the test's runtime.
pub struct RecordingRelay {
    port: u16,
    folder: tempfile::TempDir,
    state: Arc<State>,
}

impl RecordingRelay {
    /// Relays to the port `server` from a new port.
    ///
    /// `tls`: certificate chain and key as PEM, for connections of clients only.
    pub async fn start(server: u16, tls: Option<&(String, String)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let folder = tempfile::tempdir().unwrap();
        let state = Arc::new(State {
            log: Mutex::new(File::create(folder.path().join("log")).unwrap()),
            passwords: Mutex::default(),
            schedule: Mutex::default(),
            responses: Mutex::default(),
            rules: Mutex::default(),
            user_fields: UserFields::default(),
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

    /// The log, with one line for each command.
    pub fn log_path(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_path()).unwrap()
    }

    /// Names of the commands that contained this password as `pwd`, in order.
    pub fn commands_with_password(&self, password: &SecretString) -> Vec<String> {
        let all = self.state.passwords.lock();
        let is_equal = |other: &SecretString| other.expose_secret() == password.expose_secret();
        let found = all.iter().filter(|(_, other)| is_equal(other));
        found.map(|(command, _)| command.clone()).collect()
    }

    /// Closes the connection at the `nth` of these commands, and then notifies the result.
    pub fn disconnect_at(
        &self,
        commands: &'static [&'static str],
        nth: usize,
        interruption: Interruption,
    ) -> Arc<Notify> {
        self.schedule(commands, nth, interruption, ClientEnd::Disconnected)
    }

    /// As [`Self::disconnect_at`], but the client's connection stays open without a response.
    pub fn hang_at(
        &self,
        commands: &'static [&'static str],
        nth: usize,
        interruption: Interruption,
    ) -> Arc<Notify> {
        self.schedule(commands, nth, interruption, ClientEnd::Waits)
    }

    /// All masked passwords.
    pub fn passwords(&self) -> Vec<SecretString> {
        let all = self.state.passwords.lock();
        all.iter().map(|(_, password)| password.clone()).collect()
    }

    fn schedule(
        &self,
        commands: &'static [&'static str],
        nth: usize,
        interruption: Interruption,
        client_end: ClientEnd,
    ) -> Arc<Notify> {
        let reached = Arc::new(Notify::new());
        let interrupt = Interrupt {
            interruption,
            client_end,
            reached: reached.clone(),
        };
        *self.state.schedule.lock() = Some(Schedule {
            commands,
            left: nth - 1,
            interrupt,
        });
        reached
    }

    /// Responds to this command in place of the server.
    pub fn respond_with(&self, command: &str, response: Document) {
        let command = command.to_owned();
        let mut all = self.state.responses.lock();
        all.retain(|fixed| fixed.command != command);
        all.push(FixedResponse { command, response });
    }

    /// Responds to this command with this error.
    pub fn respond_with_error(&self, command: &str, code: i32, name: &str, message: &str) {
        let error = doc! { "ok": 0.0, "errmsg": message, "code": code, "codeName": name };
        self.respond_with(command, error);
    }

    /// Follows these rules of Amazon DocumentDB.
    pub fn follow(&self, rules: &[DocumentdbRule]) {
        *self.state.rules.lock() = rules.to_vec();
    }

    /// Removes all faults and rules.
    pub fn pass_all(&self) {
        self.state.rules.lock().clear();
        *self.state.schedule.lock() = None;
        self.state.responses.lock().clear();
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
    // A client that closes the connection or rejects the certificate is part of a test.
    let _ = match tls {
        None => relay_connection(client, server, &state).await,
        Some(tls) => match tls.accept(client).await {
            Ok(client) => relay_connection(client, server, &state).await,
            Err(error) => Err(error),
        },
    };
}

impl State {
    /// Records a client's message and returns the command's name.
    pub fn record(&self, message: &Message) -> Option<String> {
        let mut log = self.log.lock();
        let Some(command) = message.document() else {
            writeln!(log, "{UNREADABLE}").unwrap();
            return None;
        };
        let recorded = RecordedCommand::new(command);
        writeln!(log, "{}", recorded.line).unwrap();
        if let Some(password) = recorded.password {
            let mut all = self.passwords.lock();
            all.push((recorded.name.clone(), password.into()));
        }
        Some(recorded.name)
    }

    /// The scheduled interruption if this command reaches it.
    pub fn interrupt_at(&self, command: &str) -> Option<Interrupt> {
        let mut schedule = self.schedule.lock();
        let current = schedule.as_mut()?;
        if !current.commands.contains(&command) {
            return None;
        }
        if current.left > 0 {
            current.left -= 1;
            return None;
        }
        // Later commands are relayed.
        schedule.take().map(|schedule| schedule.interrupt)
    }

    pub fn fixed_response(&self, command: &str) -> Option<Document> {
        let all = self.responses.lock();
        let found = all.iter().find(|fixed| fixed.command == command);
        found.map(|fixed| fixed.response.clone())
    }

    pub fn ruled(&self, message: &Message) -> RuledCommand {
        let Some(command) = message.document() else {
            return RuledCommand::Unchanged;
        };
        let rules = self.rules.lock();
        match self.user_fields.on_command(command.clone()) {
            RuledCommand::Unchanged if !rules.is_empty() => on_command(&rules, command),
            RuledCommand::Changed(command) => match on_command(&rules, command.clone()) {
                RuledCommand::Unchanged => RuledCommand::Changed(command),
                ruled => ruled,
            },
            ruled => ruled,
        }
    }

    pub fn ruled_response(&self, message: Message) -> Message {
        let ruled = message.document().and_then(|response| {
            let with_fields = self.user_fields.on_response(response.clone());
            let response = with_fields.clone().unwrap_or(response);
            on_response(&self.rules.lock(), response).or(with_fields)
        });
        match ruled {
            Some(response) => Message::new(&response, message.id(), message.response_to()),
            None => message,
        }
    }
}
