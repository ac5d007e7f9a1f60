//! Stands between the worker and the server, and holds back the n-th statement that changes an account.
//!
//! The connections through it are not encrypted, so a packet's statement can be read: three bytes of
//! length, the number of the packet, which is 0 where a command begins, and 3 for a query.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use twinkey_testkit::shop::mariadb::changes_anything;

/// What becomes of the statement at which a run is cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// The server never sees it.
    Lost,
    /// The server carries it out, and nobody hears of it.
    CarriedOut,
}

struct Order {
    /// Statements yet to let through.
    left: usize,
    fate: Fate,
    reached: Arc<Notify>,
}

/// A relay to one server; it ends with the test's runtime.
pub struct Relay {
    port: u16,
    order: Arc<Mutex<Option<Order>>>,
}

impl Relay {
    /// Relays to `server` from a port of its own.
    pub async fn start(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let order: Arc<Mutex<Option<Order>>> = Arc::default();
        let orders = order.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(relay(client, server, orders.clone()));
            }
        });
        Self { port, order }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Holds back the `nth` change from now on; what is given tells when it is there.
    pub fn cut(&self, nth: usize, fate: Fate) -> Arc<Notify> {
        let reached = Arc::new(Notify::new());
        *self.order.lock() = Some(Order {
            left: nth - 1,
            fate,
            reached: reached.clone(),
        });
        reached
    }

    /// Lets everything through again.
    pub fn let_through(&self) {
        *self.order.lock() = None;
    }
}

async fn relay(client: TcpStream, server: u16, orders: Arc<Mutex<Option<Order>>>) {
    let server = TcpStream::connect(("127.0.0.1", server)).await.unwrap();
    let (from_client, mut to_client) = client.into_split();
    let (mut from_server, to_server) = server.into_split();
    tokio::select! {
        _ = tokio::io::copy(&mut from_server, &mut to_client) => {}
        _ = statements(from_client, to_server, &orders) => {}
    }
}

/// Passes on what the client sends, packet by packet; returns when either side is gone.
async fn statements(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    orders: &Mutex<Option<Order>>,
) -> std::io::Result<()> {
    loop {
        let mut packet = vec![0; 4];
        from.read_exact(&mut packet).await?;
        let length = usize::from(packet[0]) | usize::from(packet[1]) << 8;
        packet.resize(4 + length, 0);
        from.read_exact(&mut packet[4..]).await?;
        let held = (packet[3] == 0 && packet.get(4) == Some(&3))
            .then(|| hold(&String::from_utf8_lossy(&packet[5..]), orders))
            .flatten();
        let Some((fate, reached)) = held else {
            to.write_all(&packet).await?;
            continue;
        };
        reached.notify_one();
        if fate == Fate::CarriedOut {
            to.write_all(&packet).await?;
        }
        // Until the client is gone; it gets no answer to wait for, for it is about to be killed.
        let _ = from.read_u8().await;
        return Ok(());
    }
}

fn hold(statement: &str, orders: &Mutex<Option<Order>>) -> Option<(Fate, Arc<Notify>)> {
    if !changes_anything(statement) {
        return None;
    }
    let mut order = orders.lock();
    let now = order.as_mut()?;
    if now.left > 0 {
        now.left -= 1;
        return None;
    }
    Some((now.fate, now.reached.clone()))
}
