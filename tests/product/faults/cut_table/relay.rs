//! A relay between the worker and a database server that counts requests and cuts one of them.
//!
//! It parses no protocol: a request starts with the first bytes of the client after bytes of the
//! server. This counts requests of all engines equally, including sign-ins and closes.
//!
//! # Failure modes
//! - A cut after the effect happens before it: the connection is cut when the response of the
//!   server has started, and servers respond after the effect.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// Whether the cut request takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    Before,
    After,
}

/// The result for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientOutcome {
    /// The connection is reset.
    Reset,
    /// The client gets no response. It is killed, or times out.
    Held,
}

struct CutOrder {
    /// Requests before the cut.
    left: usize,
    effect: Effect,
    end: ClientOutcome,
    reached: Arc<Notify>,
}

/// A relay to one server. It ends with the runtime of the test.
pub struct Relay {
    port: u16,
    order: Arc<Mutex<Option<CutOrder>>>,
}

impl Relay {
    /// Starts a relay to `server`.
    pub async fn start(server: u16) -> Self {
        let order: Arc<Mutex<Option<CutOrder>>> = Arc::default();
        let port = listen(server, Arc::clone(&order)).await;
        Self { port, order }
    }

    /// Relays to another server too. Its requests count as those of the first. Returns the port.
    pub async fn also_to(&self, server: u16) -> u16 {
        listen(server, Arc::clone(&self.order)).await
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Cuts the `nth` request from now; 1 is the next. The result is notified at the cut.
    pub fn cut(&self, nth: usize, effect: Effect, end: ClientOutcome) -> Arc<Notify> {
        let reached = Arc::new(Notify::new());
        *self.order.lock() = Some(CutOrder {
            left: nth - 1,
            effect,
            end,
            reached: Arc::clone(&reached),
        });
        reached
    }

    /// Removes the cut, and returns whether it happened.
    pub fn clear(&self) -> bool {
        self.order.lock().take().is_none()
    }
}

async fn listen(server: u16, orders: Arc<Mutex<Option<CutOrder>>>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(relay(client, server, Arc::clone(&orders)));
        }
    });
    port
}

/// Counts a request, and returns the cut if this is its request.
fn count(order: &Mutex<Option<CutOrder>>) -> Option<CutOrder> {
    let mut order = order.lock();
    let now = order.as_mut()?;
    if now.left > 0 {
        now.left -= 1;
        return None;
    }
    order.take()
}

async fn relay(
    mut client: TcpStream,
    server: u16,
    order: Arc<Mutex<Option<CutOrder>>>,
) -> io::Result<()> {
    let mut server = TcpStream::connect(("127.0.0.1", server)).await?;
    let Some(cut) = forward(&mut client, &mut server, &order).await? else {
        return Ok(());
    };
    cut.reached.notify_one();
    match cut.end {
        ClientOutcome::Reset => client.set_zero_linger(),
        ClientOutcome::Held => {
            // This ends when the client closes.
            let mut rest = Vec::new();
            client.read_to_end(&mut rest).await.map(drop)
        }
    }
}

/// Forwards until a side closes or a cut is reached.
async fn forward(
    client: &mut TcpStream,
    server: &mut TcpStream,
    order: &Mutex<Option<CutOrder>>,
) -> io::Result<Option<CutOrder>> {
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let (mut asked, mut answered) = (vec![0; 65_536], vec![0; 65_536]);
    let mut asking = false;
    let mut met: Option<CutOrder> = None;
    loop {
        tokio::select! {
            n = from_client.read(&mut asked) => {
                let n = n?;
                if n == 0 {
                    return Ok(None);
                }
                if !asking {
                    asking = true;
                    met = count(order);
                    if met.as_ref().is_some_and(|cut| cut.effect == Effect::Before) {
                        return Ok(met);
                    }
                }
                to_server.write_all(&asked[..n]).await?;
            }
            n = from_server.read(&mut answered) => {
                // The server responds to a close by closing the connection.
                let n = n.unwrap_or_default();
                if n == 0 || met.is_some() {
                    return Ok(met);
                }
                asking = false;
                to_client.write_all(&answered[..n]).await?;
            }
        }
    }
}
