//! The turn passes on while another thread polls the stream: real threads, met at barriers.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    thread,
};

use bytes::Bytes;
use http_body::{Body, Frame};

use super::{keep, replay, send};

/// `Pending` when it is looked at; the next poll stands between two barriers, then yields its one frame.
struct Slow {
    barrier: Arc<Barrier>,
    looked_at: bool,
    read: Arc<AtomicBool>,
}

impl Body for Slow {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if !std::mem::replace(&mut self.looked_at, true) {
            return Poll::Pending;
        }
        if self.read.swap(true, Ordering::SeqCst) {
            return Poll::Ready(None);
        }
        self.barrier.wait();
        self.barrier.wait();
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"slow")))))
    }
}

#[test]
fn the_turn_passes_on_while_another_thread_reads() {
    let barrier = Arc::new(Barrier::new(2));
    let read = Arc::new(AtomicBool::new(false));
    let body = Slow { barrier: Arc::clone(&barrier), looked_at: false, read };
    let (kept, first) = keep(body, 1024);
    let reader = thread::spawn(move || {
        let mut first = send(first);
        first.error()
    });
    barrier.wait();
    // The other thread is inside the poll: none of this waits for it.
    kept.freeze();
    let mut second = replay(&kept);
    second.pends();
    barrier.wait();
    reader.join().unwrap();
    assert!(second.0.is_woken());
    assert_eq!(second.all().0, b"slow");
}
