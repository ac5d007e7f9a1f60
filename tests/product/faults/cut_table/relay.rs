//! Stands between the worker and a database server, counts the worker's requests, and cuts at one of them.
//!
//! It reads no protocol: a request begins with the first bytes that a client sends after the server had the
//! word, so it counts the same for every engine, sign-ins and farewells included.
//!
//! What can go wrong, and what prevents it: "after it took effect" is before it: the server's answer has
//! begun when the connection is cut, and the servers answer at the end of what was asked.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// Whether the request at which is cut has taken effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    Before,
    After,
}

/// What becomes of the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientOutcome {
    /// Its connection is reset.
    Reset,
    /// It waits for an answer that never comes: to be killed, or to give up by itself.
    Held,
}

struct CutOrder {
    /// Requests yet to let through.
    left: usize,
    effect: Effect,
    end: ClientOutcome,
    reached: Arc<Notify>,
}

/// A relay to one server; it ends with the test's runtime.
pub struct Relay {
    port: u16,
    order: Arc<Mutex<Option<CutOrder>>>,
}

impl Relay {
    /// Relays to `server` from a port of its own.
    pub async fn start(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let order: Arc<Mutex<Option<CutOrder>>> = Arc::default();
        let orders = Arc::clone(&order);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(relay(client, server, Arc::clone(&orders)));
            }
        });
        Self { port, order }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Cuts at the `nth` request from now on (1 is the next one); what is given tells when it is there.
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

    /// Lets everything through again. Says whether the cut was met.
    pub fn clear(&self) -> bool {
        self.order.lock().take().is_none()
    }
}

/// Counts a request; the order, if it is this one.
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
            // Until the client is gone.
            let mut rest = Vec::new();
            client.read_to_end(&mut rest).await.map(drop)
        }
    }
}

/// Passes on until either side is gone, or an order is met and, where it says so, carried out.
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
                // A farewell is answered by the end of the connection.
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
