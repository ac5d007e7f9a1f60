//! Answers to a server's requests for a proof of the password.

use secrecy::ExposeSecret;
use twinkey_core::secret::verifier::{
    caching_sha2_answer, mariadb_ed25519_signature, mysql_native_answer,
};
use zeroize::Zeroizing;

use super::Login;
use super::failure::Failure;
use super::wire::{Fields, MORE_DATA, OK, SWITCH, Wire};

/// The maximum of requests for another method than the last one: an account has two at most, as
/// one method and its alternative.
const MOST_SWITCHES: usize = 2;
/// Length of the nonce of `mysql_native_password` and `caching_sha2_password`.
const NONCE_LEN: usize = 20;
/// NONCE_BYTES in plugin/auth_ed25519/common.h of MariaDB.
const ED25519_NONCE_LEN: usize = 32;
/// `caching_sha2_password`: the server has the user in its cache, and the answer was right.
const CACHED: u8 = 3;
/// `caching_sha2_password`: the server has to compute the stored form.
const NOT_CACHED: u8 = 4;

/// A sign-in method that is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Native,
    CachingSha2,
    Sha256,
    Ed25519,
}

impl Method {
    const ALL: [Self; 4] = [Self::Native, Self::CachingSha2, Self::Sha256, Self::Ed25519];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Native => "mysql_native_password",
            Self::CachingSha2 => "caching_sha2_password",
            Self::Sha256 => "sha256_password",
            Self::Ed25519 => "client_ed25519",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.name() == name)
    }

    /// The answer to a greeting, which names the server's default method. It is empty where that
    /// one needs another nonce, or the password itself: the server then requests the account's.
    pub(super) fn first_answer(
        default: &str,
        login: &Login,
        nonce: &[u8],
    ) -> Result<(Self, Zeroizing<Vec<u8>>), Failure> {
        match Self::named(default) {
            Some(method @ (Self::Native | Self::CachingSha2)) => {
                Ok((method, method.answer(login, nonce)?))
            }
            _ => Ok((Self::Ed25519, Zeroizing::default())),
        }
    }

    /// The answer to a request with this nonce.
    fn answer(self, login: &Login, nonce: &[u8]) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let answer = match self {
            Self::Native => mysql_native_answer(&login.password, self.nonce(nonce)?),
            Self::CachingSha2 => caching_sha2_answer(&login.password, self.nonce(nonce)?),
            Self::Ed25519 => {
                mariadb_ed25519_signature(&login.password, self.nonce(nonce)?).to_vec()
            }
            Self::Sha256 => return login.clear_text(self),
        };
        Ok(Zeroizing::new(answer))
    }

    /// The nonce without the NUL that servers append to it.
    fn nonce(self, nonce: &[u8]) -> Result<&[u8], Failure> {
        let length = match self {
            Self::Ed25519 => ED25519_NONCE_LEN,
            _ => NONCE_LEN,
        };
        match nonce.split_at_checked(length) {
            Some((nonce, [] | [0])) => Ok(nonce),
            _ => Err(Failure::Protocol(format!(
                "the nonce of {} has {length} bytes",
                self.name()
            ))),
        }
    }
}

/// Answers the server's requests until it accepts the user. `proved`: the login request held an
/// answer.
pub(super) async fn authenticate(
    wire: &mut Wire,
    login: &Login,
    mut method: Method,
    mut proved: bool,
) -> Result<(), Failure> {
    let mut switches = 0;
    loop {
        let packet = wire.read().await?;
        match packet.as_slice() {
            [OK, ..] if proved => return Ok(()),
            [OK, ..] => return Err(Failure::NoProof),
            [SWITCH] => return Err(unsupported("mysql_old_password")),
            [SWITCH, request @ ..] => {
                switches += 1;
                if switches > MOST_SWITCHES {
                    return Err(Failure::Protocol(format!(
                        "the server requested another sign-in method more than {MOST_SWITCHES} times"
                    )));
                }
                let mut fields = Fields(request);
                let name = String::from_utf8_lossy(fields.text()).into_owned();
                method = Method::named(&name).ok_or_else(|| unsupported(&name))?;
                wire.write(&method.answer(login, fields.0)?).await?;
                proved = true;
            }
            [MORE_DATA, CACHED] if method == Method::CachingSha2 => {}
            [MORE_DATA, NOT_CACHED] if method == Method::CachingSha2 => {
                wire.write(&login.clear_text(method)?).await?;
            }
            _ => {
                return Err(Failure::Protocol(
                    "the server's packet is not one of a sign-in".into(),
                ));
            }
        }
    }
}

/// Returns the session to its state without the server's `init_connect`: the settings are the
/// server's own, and no transaction, table lock or user variable is left.
pub(super) async fn reset(wire: &mut Wire) -> Result<(), Failure> {
    const COM_RESET_CONNECTION: u8 = 31;
    wire.command(COM_RESET_CONNECTION).await?;
    match wire.read().await?.first() {
        Some(&OK) => Ok(()),
        _ => Err(Failure::Protocol(
            "the server did not reset the session".into(),
        )),
    }
}

fn unsupported(method: &str) -> Failure {
    let method: String = method.chars().take(64).collect();
    Failure::Unsupported(format!("the sign-in method {method:?}"))
}

impl Login {
    /// The password itself, as the methods with SHA-256 send it.
    fn clear_text(&self, method: Method) -> Result<Zeroizing<Vec<u8>>, Failure> {
        if !self.has_verified_tls() {
            return Err(Failure::ClearText(method.name()));
        }
        let password = self.password.expose_secret().as_bytes();
        let mut answer = Zeroizing::new(Vec::with_capacity(password.len() + 1));
        answer.extend_from_slice(password);
        answer.push(0);
        Ok(answer)
    }
}
