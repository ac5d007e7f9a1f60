//! Bodies that report their end to the slot of their connection.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::body::{Body, Frame, SizeHint};

use super::slots::{Phase, Slot};

/// A body. When it is dropped, its connection enters the next phase.
pub(super) struct TrackedBody<B> {
    inner: B,
    slot: Arc<Slot>,
    next: Phase,
}

impl<B> TrackedBody<B> {
    pub(super) const fn new(inner: B, slot: Arc<Slot>, next: Phase) -> Self {
        Self { inner, slot, next }
    }
}

impl<B: Body + Unpin> Body for TrackedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.inner).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl<B> Drop for TrackedBody<B> {
    fn drop(&mut self) {
        self.slot.set_phase(self.next);
    }
}
