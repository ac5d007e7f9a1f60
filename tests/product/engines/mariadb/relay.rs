//! Relay between the worker and MariaDB that withholds the nth statement that changes an account.
//!
//! Its connections are not encrypted. A packet has three bytes of length and its number, which is 0
//! for a command; a command begins with 3 for a query.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use twinkey_testkit::environment::mariadb::changes_anything;
use twinkey_testkit::interruption::Interruption;

struct Schedule {
    /// Number of statements to relay before.
    left: usize,
    interruption: Interruption,
    reached: Arc<Notify>,
}

/// A relay to one server, until the end of the test's runtime.
pub struct StatementRelay {
    port: u16,
    schedule: Arc<Mutex<Option<Schedule>>>,
}

impl StatementRelay {
    /// Relays to the port `server` from a new port.
    pub async fn start(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let schedule: Arc<Mutex<Option<Schedule>>> = Arc::default();
        let shared = schedule.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(relay(client, server, shared.clone()));
            }
        });
        Self { port, schedule }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Withholds the `nth` change, and then notifies the result.
    pub fn hang_at(&self, nth: usize, interruption: Interruption) -> Arc<Notify> {
        let reached = Arc::new(Notify::new());
        *self.schedule.lock() = Some(Schedule {
            left: nth - 1,
            interruption,
            reached: reached.clone(),
        });
        reached
    }

    /// Relays all later statements.
    pub fn relay_all(&self) {
        *self.schedule.lock() = None;
    }
}

async fn relay(client: TcpStream, server: u16, schedule: Arc<Mutex<Option<Schedule>>>) {
    let server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
    let (from_client, mut to_client) = client.into_split();
    let (mut from_server, to_server) = server.into_split();
    tokio::select! {
        _ = tokio::io::copy(&mut from_server, &mut to_client) => {}
        _ = statements(from_client, to_server, &schedule) => {}
    }
}

/// Relays the client's packets until either side closes the connection.
async fn statements(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    schedule: &Mutex<Option<Schedule>>,
) -> std::io::Result<()> {
    loop {
        let mut packet = vec![0; 4];
        from.read_exact(&mut packet).await?;
        let length = usize::from(packet[0]) | usize::from(packet[1]) << 8;
        packet.resize(4 + length, 0);
        from.read_exact(&mut packet[4..]).await?;
        let withheld = (packet[3] == 0 && packet.get(4) == Some(&3))
            .then(|| interruption_at(&String::from_utf8_lossy(&packet[5..]), schedule))
            .flatten();
        let Some((interruption, reached)) = withheld else {
            to.write_all(&packet).await?;
            continue;
        };
        reached.notify_one();
        if interruption == Interruption::AfterExecution {
            to.write_all(&packet).await?;
        }
        // Waits until the client is killed; it receives no response.
        let _ = from.read_u8().await;
        return Ok(());
    }
}

fn interruption_at(
    statement: &str,
    schedule: &Mutex<Option<Schedule>>,
) -> Option<(Interruption, Arc<Notify>)> {
    if !changes_anything(statement) {
        return None;
    }
    let mut schedule = schedule.lock();
    let current = schedule.as_mut()?;
    if current.left > 0 {
        current.left -= 1;
        return None;
    }
    Some((current.interruption, current.reached.clone()))
}
