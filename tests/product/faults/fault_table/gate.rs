//! A port in front of a server that can be closed, or be silent.

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What a connection finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passage {
    Open,
    /// Connections are reset.
    Closed,
    /// Connections are accepted, and nothing is answered.
    Silent,
}

/// A relay to one server. It ends with the runtime of the test.
pub struct Gate {
    port: u16,
    passage: watch::Sender<Passage>,
}

impl Gate {
    pub async fn before(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (passage, changes) = watch::channel(Passage::Open);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, server, changes.clone()));
            }
        });
        Self { port, passage }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn set(&self, passage: Passage) {
        self.passage.send_replace(passage);
    }
}

async fn pass(mut client: TcpStream, server: u16, mut changes: watch::Receiver<Passage>) {
    let passage = *changes.borrow_and_update();
    match passage {
        Passage::Open => {
            let Ok(mut server) = TcpStream::connect(("127.0.0.1", server)).await else {
                return;
            };
            tokio::select! {
                _ = copy_bidirectional(&mut client, &mut server) => return,
                _ = changes.changed() => {}
            }
            if *changes.borrow() == Passage::Silent {
                // The server's half stays open too.
                let _ = changes.changed().await;
            }
        }
        Passage::Silent => {
            let _ = changes.changed().await;
        }
        Passage::Closed => {}
    }
    let _ = client.set_zero_linger();
}
