//! Answers to a server's authentication request ("Message Flow" in PostgreSQL's manual).

use std::num::NonZeroU32;

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use secrecy::ExposeSecret;
use twinkey_core::secret::verifier::{ScramKeys, md5_answer};

use super::Login;
use super::wire::{AUTHENTICATION, ERROR, Failure, Message, NEGOTIATE_VERSION, NOTICE};
use super::wire::{answer, read, send};
use crate::stream::Stream;
use crate::{StoredForm, TlsMode};

/// The maximum of rounds. PostgreSQL's default is 4,096.
const MOST_ROUNDS: u32 = 1_000_000;
/// The maximum of messages before the end of a sign-in. PostgreSQL sends four.
const MOST_MESSAGES: usize = 64;
const SCRAM: &str = "SCRAM-SHA-256";

const OK: u32 = 0;
const CLEAR_TEXT: u32 = 3;
const MD5: u32 = 5;
const SASL: u32 = 10;
const SASL_CONTINUE: u32 = 11;
const SASL_FINAL: u32 = 12;

/// The server's decision.
pub(super) enum Outcome {
    /// How the server stores the password. A server requests md5 of an md5 hash only, and SCRAM of a
    /// SCRAM verifier only (PostgreSQL manual, "Password Authentication").
    SignedIn(Option<StoredForm>),
    /// The error message of the server.
    Refused(Vec<u8>),
}

/// A request, or the error that refuses the sign-in.
enum Received {
    Request(Message),
    Refused(Vec<u8>),
}

/// Answers one request for the password, if it may be answered.
pub(super) async fn authenticate(
    server: &mut Box<dyn Stream>,
    login: &Login,
) -> Result<Outcome, Failure> {
    let mut exchange = Exchange {
        server,
        messages: 0,
    };
    let first = match exchange.receive().await? {
        Received::Request(message) => message,
        Received::Refused(error) => return Ok(Outcome::Refused(error)),
    };
    let form = match first.request()? {
        (OK, _) => return Ok(Outcome::SignedIn(None)),
        (CLEAR_TEXT, _) => {
            login.permits_clear_text()?;
            let password = login.password.expose_secret().as_bytes();
            exchange.send(&terminated(password)).await?;
            None
        }
        (MD5, salt) => {
            login.permits_md5()?;
            let salt = salt
                .try_into()
                .map_err(|_| Failure::Protocol("the salt of an md5 request has 4 bytes".into()))?;
            let digest = md5_answer(&login.password, &login.user, salt);
            exchange
                .send(&terminated(digest.expose_secret().as_bytes()))
                .await?;
            Some(StoredForm::Md5)
        }
        (SASL, mechanisms) => {
            if let Some(error) = scram(&mut exchange, login, mechanisms).await? {
                return Ok(Outcome::Refused(error));
            }
            Some(StoredForm::ScramSha256)
        }
        (number, _) => return Err(unsupported(number)),
    };
    match exchange.receive().await? {
        Received::Refused(error) => Ok(Outcome::Refused(error)),
        Received::Request(message) if message.request()?.0 == OK => Ok(Outcome::SignedIn(form)),
        Received::Request(_) => Err(Failure::Protocol(
            "the server requested the password a second time".into(),
        )),
    }
}

/// Signs in by SCRAM-SHA-256 (RFC 5802), up to the server's signature. Returns the server's error.
async fn scram(
    exchange: &mut Exchange<'_>,
    login: &Login,
    mechanisms: &[u8],
) -> Result<Option<Vec<u8>>, Failure> {
    let mut offered = mechanisms.split(|byte| *byte == 0);
    if !offered.any(|mechanism| mechanism == SCRAM.as_bytes()) {
        return Err(unsupported(SASL));
    }
    let mut nonce = [0_u8; 18];
    rand::fill(&mut nonce)
        .map_err(|_| Failure::Io(std::io::Error::other("no random numbers for a nonce")))?;
    let nonce = BASE64_STANDARD.encode(nonce);
    // The server takes the user name from the start-up message.
    let first_bare = format!("n=,r={nonce}");
    let first = format!("n,,{first_bare}");
    let length = u32::try_from(first.len()).unwrap_or(u32::MAX);
    let initial = [
        SCRAM.as_bytes(),
        b"\0",
        &length.to_be_bytes(),
        first.as_bytes(),
    ];
    exchange.send(&initial.concat()).await?;

    let server_first = match exchange.receive().await? {
        Received::Refused(error) => return Ok(Some(error)),
        Received::Request(message) => scram_text(&message, SASL_CONTINUE)?,
    };
    let challenge = Challenge::parse(&server_first, &nonce)?;
    let keys = challenge.keys(login).await?;
    let unproved = format!("c=biws,r={}", challenge.nonce);
    let signed = format!("{first_bare},{server_first},{unproved}");
    let proof = BASE64_STANDARD.encode(keys.client_proof(signed.as_bytes()));
    exchange
        .send(format!("{unproved},p={proof}").as_bytes())
        .await?;

    let server_final = match exchange.receive().await? {
        Received::Refused(error) => return Ok(Some(error)),
        Received::Request(message) => scram_text(&message, SASL_FINAL)?,
    };
    let signature = server_final
        .strip_prefix("v=")
        .and_then(|text| BASE64_STANDARD.decode(text).ok());
    match signature {
        Some(signature) if keys.is_server_signature(signed.as_bytes(), &signature) => Ok(None),
        _ => Err(Failure::WrongSignature),
    }
}

/// `server-first-message`
struct Challenge {
    nonce: String,
    salt: Vec<u8>,
    rounds: NonZeroU32,
}

impl Challenge {
    fn parse(text: &str, own_nonce: &str) -> Result<Self, Failure> {
        let wrong = || Failure::Protocol("the server's SCRAM challenge is malformed".into());
        let mut fields = text.splitn(3, ',');
        let mut field = |name: &str| {
            let field = fields.next().and_then(|field| field.strip_prefix(name));
            field.ok_or_else(wrong)
        };
        let nonce = field("r=")?;
        let salt = BASE64_STANDARD.decode(field("s=")?).map_err(|_| wrong())?;
        let rounds: NonZeroU32 = field("i=")?.parse().map_err(|_| wrong())?;
        if !nonce.starts_with(own_nonce) || nonce.len() == own_nonce.len() {
            return Err(wrong());
        }
        Ok(Self {
            nonce: nonce.to_owned(),
            salt,
            rounds,
        })
    }

    /// Computes the keys on a thread of their own.
    async fn keys(&self, login: &Login) -> Result<ScramKeys, Failure> {
        if self.rounds.get() > MOST_ROUNDS {
            return Err(Failure::Requested {
                what: format!(
                    "the server requests {} rounds of {SCRAM}; the limit is {MOST_ROUNDS}",
                    self.rounds
                ),
                hint: format!(
                    "set scram_iterations on the server to {MOST_ROUNDS} or less, then set the password of {:?} again; if the server does not have so many, check which server listens there",
                    login.user
                ),
            });
        }
        let (password, salt, rounds) = (login.password.clone(), self.salt.clone(), self.rounds);
        tokio::task::spawn_blocking(move || ScramKeys::derive(&password, &salt, rounds))
            .await
            .map_err(|error| Failure::Io(std::io::Error::other(error)))
    }
}

fn scram_text(message: &Message, expected: u32) -> Result<String, Failure> {
    match message.request()? {
        (number, data) if number == expected => String::from_utf8(data.to_vec())
            .map_err(|_| Failure::Protocol("the server's SCRAM message is no text".into())),
        _ => Err(Failure::Protocol(
            "the server did not complete the SCRAM exchange".into(),
        )),
    }
}

fn terminated(text: &[u8]) -> zeroize::Zeroizing<Vec<u8>> {
    let mut body = zeroize::Zeroizing::new(Vec::with_capacity(text.len() + 1));
    body.extend_from_slice(text);
    body.push(0);
    body
}

fn unsupported(number: u32) -> Failure {
    let name = match number {
        2 => "Kerberos",
        7 => "GSSAPI",
        9 => "SSPI",
        SASL => "SASL without SCRAM-SHA-256",
        _ => "unknown here",
    };
    Failure::Requested {
        what: format!(
            "the server requests an authentication method that is not supported: {name} ({number})"
        ),
        hint: "let the user sign in by scram-sha-256 in the server's pg_hba.conf".into(),
    }
}

/// The messages of one sign-in.
struct Exchange<'a> {
    server: &'a mut Box<dyn Stream>,
    messages: usize,
}

impl Exchange<'_> {
    /// The next request or error. Notices are skipped.
    async fn receive(&mut self) -> Result<Received, Failure> {
        loop {
            self.messages += 1;
            if self.messages > MOST_MESSAGES {
                return Err(Failure::Protocol(format!(
                    "the server sent {MOST_MESSAGES} messages and did not complete the sign-in"
                )));
            }
            let message = read(self.server).await?;
            match message.kind {
                AUTHENTICATION => return Ok(Received::Request(message)),
                ERROR => return Ok(Received::Refused(message.into_bytes())),
                NOTICE | NEGOTIATE_VERSION => {}
                kind => {
                    return Err(Failure::Protocol(format!(
                        "the server sent a message of type {:?} before the sign-in",
                        char::from(kind)
                    )));
                }
            }
        }
    }

    async fn send(&mut self, body: &[u8]) -> Result<(), Failure> {
        Ok(send(self.server, &answer(body)).await?)
    }
}

impl Login {
    fn has_verified_tls(&self) -> bool {
        matches!(self.mode, TlsMode::VerifyFull | TlsMode::VerifyCa)
    }

    fn permits_clear_text(&self) -> Result<(), Failure> {
        self.permit(self.has_verified_tls(), "in clear text")
    }

    /// The users of a pair may still have md5 passwords without TLS.
    fn permits_md5(&self) -> Result<(), Failure> {
        self.permit(!self.master || self.has_verified_tls(), "as an md5 digest")
    }

    fn permit(&self, permitted: bool, form: &str) -> Result<(), Failure> {
        if permitted {
            return Ok(());
        }
        Err(Failure::Requested {
            what: format!(
                "the server requests the password {form}, and this connection is not protected by verified TLS"
            ),
            hint: format!(
                "set tls = {{ mode = \"verify-full\" }} for the rotation; or set the password of {:?} again under password_encryption = 'scram-sha-256' and let it sign in by scram-sha-256 in the server's pg_hba.conf",
                self.user
            ),
        })
    }
}
