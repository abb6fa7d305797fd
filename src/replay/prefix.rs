//! What the sends of a request have read of its stream, kept for the next one, within a cap.

use std::{collections::VecDeque, mem};

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;

/// What a kept frame, or a field of kept trailers, costs beside its bytes.
const OVERHEAD: usize = 64;
/// A frame up to this size is copied: by reference it could cost more than it holds.
const SMALL: usize = 256;
/// Small frames are copied together up to this size.
const BLOCK: usize = 4096;

#[derive(Clone)]
pub(super) enum Piece {
    Data(Bytes),
    // Boxed: a piece is then no larger than its data.
    Trailers(Box<HeaderMap>),
}

pub(super) struct Prefix {
    pieces: VecDeque<Piece>,
    /// Small frames that still gather. They come after `pieces`, and all of them are sent.
    open: Vec<u8>,
    /// How many of `pieces` the current send has had.
    sent: usize,
    /// How many bytes of `pieces` it has not.
    unsent: u64,
    /// What is left of the cap; `None` once nothing more is kept.
    room: Option<usize>,
}

impl Prefix {
    pub(super) fn new(cap: usize) -> Self {
        Self { pieces: VecDeque::new(), open: Vec::new(), sent: 0, unsent: 0, room: Some(cap) }
    }

    /// Whether everything that was read is here, for one more send.
    pub(super) fn is_kept(&self) -> bool {
        self.room.is_some()
    }

    /// All of it, if that is one frame of data or nothing.
    pub(super) fn as_single(&self) -> Option<Bytes> {
        match (self.pieces.front(), self.pieces.len()) {
            (None, _) => Some(Bytes::new()),
            (Some(Piece::Data(data)), 1) => Some(data.clone()),
            _ => None,
        }
    }

    pub(super) fn is_sent(&self) -> bool {
        self.sent == self.pieces.len()
    }

    pub(super) fn unsent(&self) -> u64 {
        self.unsent
    }

    /// Trailers come last, so they are unsent if anything is.
    pub(super) fn has_unsent_trailers(&self) -> bool {
        !self.is_sent() && matches!(self.pieces.back(), Some(Piece::Trailers(_)))
    }

    /// Keep `frame`, which the current send has just had.
    ///
    /// Returns what is kept no longer, to be dropped outside the lock: data may be the caller's own type.
    pub(super) fn record(&mut self, frame: &Frame<Bytes>) -> VecDeque<Piece> {
        if !self.is_kept() {
            return VecDeque::new();
        }
        let kept = match frame.data_ref() {
            Some(data) if data.len() <= SMALL => self.copy(data),
            _ => self.append(frame),
        };
        (self.sent, self.unsent) = (self.pieces.len(), 0);
        if kept { VecDeque::new() } else { self.forget() }
    }

    /// Take in `frame`, which the current send has yet to have, whatever the cap says.
    ///
    /// Returns what is kept no longer, as [`record`](Self::record) does.
    pub(super) fn push(&mut self, frame: Frame<Bytes>) -> VecDeque<Piece> {
        if self.append(&frame) { VecDeque::new() } else { self.forget() }
    }

    /// The next frame for the current send, until all that is here is sent.
    pub(super) fn next(&mut self) -> Option<Frame<Bytes>> {
        let piece = if self.is_kept() {
            let piece = self.pieces.get(self.sent)?.clone();
            self.sent += 1;
            piece
        } else {
            self.pieces.pop_front()?
        };
        self.unsent -= piece.len();
        Some(piece.into())
    }

    /// Begin again, for another send.
    pub(super) fn rewind(&mut self) {
        self.seal();
        self.sent = 0;
        self.unsent = self.pieces.iter().map(Piece::len).sum();
    }

    /// Keep nothing for another send; only what the current one has not had stays.
    pub(super) fn forget(&mut self) -> VecDeque<Piece> {
        self.room = None;
        self.open = Vec::new();
        let unsent = self.pieces.split_off(self.sent);
        self.sent = 0;
        mem::replace(&mut self.pieces, unsent)
    }

    /// Nothing is wanted any more, sent or not.
    pub(super) fn clear(&mut self) -> VecDeque<Piece> {
        self.unsent = 0;
        mem::take(&mut self.pieces)
    }

    /// By reference, whatever the cap says. Returns whether it is within.
    fn append(&mut self, frame: &Frame<Bytes>) -> bool {
        // Neither data nor trailers: nothing that could be sent again.
        let Some(piece) = Piece::of(frame) else { return false };
        if piece.is_empty() {
            return true;
        }
        self.seal();
        self.unsent += piece.len();
        let affords = self.afford(piece.cost());
        self.pieces.push_back(piece);
        affords
    }

    fn copy(&mut self, data: &Bytes) -> bool {
        if self.open.len() + data.len() > BLOCK {
            self.seal();
        }
        let start = if self.open.is_empty() && !data.is_empty() { OVERHEAD } else { 0 };
        let affords = self.afford(start + data.len());
        if affords {
            self.open.extend_from_slice(data);
        }
        affords
    }

    fn seal(&mut self) {
        if !self.open.is_empty() {
            let block = mem::take(&mut self.open).into_boxed_slice();
            self.pieces.push_back(Piece::Data(block.into()));
            self.sent += 1;
        }
    }

    fn afford(&mut self, cost: usize) -> bool {
        let left = self.room.and_then(|room| room.checked_sub(cost));
        if left.is_some() {
            self.room = left;
        }
        left.is_some()
    }
}

impl Piece {
    fn of(frame: &Frame<Bytes>) -> Option<Self> {
        let data = frame.data_ref().cloned().map(Self::Data);
        data.or_else(|| frame.trailers_ref().cloned().map(|map| Self::Trailers(Box::new(map))))
    }

    fn is_empty(&self) -> bool {
        matches!(self, Self::Data(data) if data.is_empty())
    }

    fn len(&self) -> u64 {
        match self {
            Self::Data(data) => data.len() as u64,
            Self::Trailers(_) => 0,
        }
    }

    fn cost(&self) -> usize {
        match self {
            Self::Data(data) => data.len().saturating_add(OVERHEAD),
            Self::Trailers(map) => map
                .iter()
                .map(|(name, value)| name.as_str().len() + value.len() + OVERHEAD)
                .fold(OVERHEAD, usize::saturating_add),
        }
    }
}

impl From<Piece> for Frame<Bytes> {
    fn from(piece: Piece) -> Self {
        match piece {
            Piece::Data(data) => Self::data(data),
            Piece::Trailers(map) => Self::trailers(*map),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(len: usize) -> Frame<Bytes> {
        Frame::data(vec![5; len].into())
    }

    /// What the prefix holds on the heap, by what it owns.
    fn held(prefix: &Prefix) -> usize {
        let pieces: u64 = prefix.pieces.iter().map(Piece::len).sum();
        let slots = prefix.pieces.capacity() * mem::size_of::<Piece>();
        pieces as usize + slots + prefix.open.capacity()
    }

    #[test]
    fn a_million_frames_of_one_byte_stay_within_the_cap() {
        let mut prefix = Prefix::new(1 << 20);
        for _ in 0..1_000_000 {
            prefix.record(&frame(1));
        }
        assert!(prefix.is_kept());
        assert!(held(&prefix) <= 1 << 20);
        prefix.rewind();
        let mut len = 0;
        while let Some(frame) = prefix.next() {
            len += frame.into_data().unwrap().len();
        }
        assert_eq!((len, prefix.unsent()), (1_000_000, 0));
    }

    #[test]
    fn small_frames_between_large_ones_cost_no_block_each() {
        let mut prefix = Prefix::new(1 << 20);
        while prefix.is_kept() {
            assert!(held(&prefix) <= (1 << 20) + BLOCK);
            prefix.record(&frame(1));
            prefix.record(&frame(SMALL + 1));
        }
        assert_eq!(held(&prefix), 0);
    }

    #[test]
    fn a_large_frame_is_kept_by_reference() {
        let mut prefix = Prefix::new(1 << 20);
        let data = Bytes::from(vec![5; SMALL + 1]);
        prefix.record(&Frame::data(data.clone()));
        prefix.rewind();
        assert_eq!(prefix.next().unwrap().into_data().unwrap().as_ptr(), data.as_ptr());
    }

    #[test]
    fn frames_come_back_in_their_order() {
        let mut prefix = Prefix::new(1 << 20);
        let mut sent = Vec::new();
        for (at, len) in [1, 256, 257, 0, 3, 4000, 90, 200].into_iter().enumerate() {
            let data = vec![at as u8; len];
            sent.extend_from_slice(&data);
            prefix.record(&Frame::data(data.into()));
        }
        for _ in 0..2 {
            prefix.rewind();
            assert_eq!(prefix.unsent(), sent.len() as u64);
            let mut again = Vec::new();
            while let Some(frame) = prefix.next() {
                again.extend_from_slice(&frame.into_data().unwrap());
            }
            assert_eq!(again, sent);
        }
    }
}
