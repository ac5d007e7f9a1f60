//! One accepted connection: its handshake, then HTTP/1 until it closes.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::{Request, Response};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio_util::either::Either;
use tokio_util::sync::CancellationToken;

use super::body::TrackedBody;
use super::slots::{Phase, Slot};
use super::{HEAD_TIMEOUT, Identity, MAX_HEAD, PeerAddr};

/// The parts of a listener that a connection uses.
pub(super) struct Connection {
    pub peer: PeerAddr,
    pub identity: Option<Arc<Identity>>,
    pub router: Router,
    /// Cancelled when open responses are to finish and no request is read any more.
    pub drain: CancellationToken,
}

impl Connection {
    /// Serves requests until the client closes the connection, or it is evicted or too slow.
    pub(super) async fn serve(self, stream: TcpStream, slot: Slot) {
        // Dropped last: the slot is free when the socket is closed.
        let slot = Arc::new(slot);
        let peer = self.peer.0;
        tokio::select! {
            () = self.serve_stream(stream, &slot) => {}
            () = slot.evicted() => tracing::debug!(%peer, "idle connection closed for a new one"),
        }
    }

    async fn serve_stream(self, stream: TcpStream, slot: &Arc<Slot>) {
        let peer = self.peer.0;
        let stream = match &self.identity {
            None => Either::Left(stream),
            Some(identity) => {
                let handshake = identity.acceptor().accept(stream);
                let handshake = tokio::time::timeout(HEAD_TIMEOUT, handshake);
                let done = tokio::select! {
                    done = handshake => done,
                    () = self.drain.cancelled() => return,
                };
                match done {
                    Ok(Ok(stream)) => Either::Right(stream),
                    Ok(Err(error)) => {
                        tracing::debug!(%peer, %error, "TLS handshake failed");
                        return;
                    }
                    Err(_) => {
                        tracing::debug!(%peer, "TLS handshake timed out");
                        return;
                    }
                }
            }
        };
        let service = TrackedService {
            peer: self.peer,
            router: TowerToHyperService::new(self.router),
            slot: Arc::clone(slot),
        };
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(MAX_HEAD)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let mut result = tokio::select! {
            result = connection.as_mut() => Some(result),
            () = self.drain.cancelled() => None,
        };
        if result.is_none() {
            connection.as_mut().graceful_shutdown();
            result = Some(connection.await);
        }
        if let Some(Err(error)) = result {
            tracing::debug!(%peer, %error, "connection closed");
        }
    }
}

/// The router, with the client's address and the phases of the connection.
struct TrackedService {
    peer: PeerAddr,
    router: TowerToHyperService<Router>,
    slot: Arc<Slot>,
}

type TrackedResponse = Response<TrackedBody<axum::body::Body>>;

impl Service<Request<Incoming>> for TrackedService {
    type Response = TrackedResponse;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<TrackedResponse, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let slot = Arc::clone(&self.slot);
        let mut request = if request.body().is_end_stream() {
            slot.set_phase(Phase::Responding);
            request.map(axum::body::Body::new)
        } else {
            request.map(|body| {
                let tracked = TrackedBody::new(body, Arc::clone(&slot), Phase::Responding);
                axum::body::Body::new(tracked)
            })
        };
        request.extensions_mut().insert(ConnectInfo(self.peer));
        let response = self.router.call(request);
        Box::pin(async move {
            let response = response.await?;
            Ok(response.map(|body| TrackedBody::new(body, slot, Phase::Receiving)))
        })
    }
}
