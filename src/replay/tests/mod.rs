mod hyper;
mod property;
mod script;
mod threads;

use std::{
    cell::RefCell,
    convert::Infallible,
    mem, panic,
    pin::{Pin, pin},
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
};

use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderValue};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use tokio_test::task::{Spawn, spawn};

use self::script::{Author, Script, Step};
use super::{Kept, Polled, ReplayBody, keep};
use crate::BoxError;

const MIB: usize = 1 << 20;

fn data(text: &'static str) -> Step {
    Step::Data(Bytes::from_static(text.as_bytes()))
}

fn trailers() -> HeaderMap {
    HeaderMap::from_iter([("x-sum".parse().unwrap(), HeaderValue::from_static("7"))])
}

/// One send, as a client's task would poll it.
struct Send<B>(Spawn<Pin<Box<ReplayBody<B>>>>);

fn send<B>(body: ReplayBody<B>) -> Send<B> {
    Send(spawn(Box::pin(body)))
}

impl<B> Send<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    fn poll(&mut self) -> Polled {
        self.0.enter(|cx, body| body.get_mut().as_mut().poll_frame(cx))
    }

    #[track_caller]
    fn data(&mut self) -> Bytes {
        match self.poll() {
            Poll::Ready(Some(Ok(frame))) => frame.into_data().expect("data"),
            other => panic!("not data: {other:?}"),
        }
    }

    #[track_caller]
    fn trailers(&mut self) -> HeaderMap {
        match self.poll() {
            Poll::Ready(Some(Ok(frame))) => frame.into_trailers().expect("trailers"),
            other => panic!("not trailers: {other:?}"),
        }
    }

    #[track_caller]
    fn error(&mut self) -> String {
        match self.poll() {
            Poll::Ready(Some(Err(error))) => error.to_string(),
            other => panic!("not an error: {other:?}"),
        }
    }

    #[track_caller]
    fn ends(&mut self) {
        let polled = self.poll();
        assert!(matches!(polled, Poll::Ready(None)), "not the end: {polled:?}");
    }

    #[track_caller]
    fn pends(&mut self) {
        let polled = self.poll();
        assert!(polled.is_pending(), "not pending: {polled:?}");
    }

    fn hint(&self) -> (u64, Option<u64>) {
        let hint = self.0.size_hint();
        (hint.lower(), hint.upper())
    }

    /// Everything up to the end.
    fn all(&mut self) -> (Vec<u8>, Option<HeaderMap>) {
        let mut bytes = Vec::new();
        loop {
            match self.poll() {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => bytes.extend_from_slice(&data),
                    Err(frame) => return (bytes, frame.into_trailers().ok()),
                },
                Poll::Ready(None) => return (bytes, None),
                other => panic!("no end: {other:?}"),
            }
        }
    }
}

fn replay<B>(kept: &Kept<B>) -> Send<B> {
    send(kept.replay().expect("replayable"))
}

// What is whole from the start.

#[test]
fn one_ready_frame_is_kept_by_reference_whatever_its_size() {
    let bytes = Bytes::from(vec![7; 2 * MIB]);
    let (kept, first) = keep(Full::new(bytes.clone()), 0);
    let (mut first, mut second) = (send(first), replay(&kept));
    assert_eq!(first.hint(), (2 << 20, Some(2 << 20)));
    assert_eq!(second.hint(), (2 << 20, Some(2 << 20)));
    for send in [&mut first, &mut second] {
        assert!(!send.0.is_end_stream());
        assert_eq!(send.data().as_ptr(), bytes.as_ptr());
        assert!(send.0.is_end_stream());
        assert_eq!(send.hint(), (0, Some(0)));
        send.ends();
        send.ends();
    }
}

#[test]
fn one_ready_frame_of_any_body_is_kept_even_if_its_end_takes_a_poll_to_see() {
    let told = Author::new([data("whole"), Step::End]).tells_end();
    let untold = Author::new([data("whole"), Step::End]);
    for author in [told, untold] {
        let (kept, first) = keep(author.body(), 0);
        assert!(matches!(kept, Kept::Whole(_)));
        assert!(!author.is_held());
        assert_eq!(send(first).all().0, b"whole");
        assert_eq!(replay(&kept).all().0, b"whole");
        assert_eq!(replay(&kept).hint(), (5, Some(5)));
    }
}

#[test]
fn an_empty_body_is_known_as_empty_from_the_start() {
    let (kept, first) = keep(Empty::<Bytes>::new(), 0);
    assert!(first.is_end_stream() && kept.replay().unwrap().is_end_stream());
    let (kept, first) = keep(Full::<Bytes>::default(), 0);
    assert!(first.is_end_stream() && kept.replay().unwrap().is_end_stream());
    let ends_at_once =
        StreamBody::new(futures::stream::empty::<Result<Frame<Bytes>, Infallible>>());
    let (kept, first) = keep(ends_at_once, 0);
    assert!(first.is_end_stream() && kept.replay().unwrap().is_end_stream());
    assert_eq!(send(first).hint(), (0, Some(0)));
    replay(&kept).ends();
}

#[test]
fn a_body_that_is_not_kept_passes_through_as_it_is() {
    let author = Author::new([data("a"), Step::Yield, Step::Trailers(trailers())]).exact(1);
    let mut once = send(ReplayBody::once(author.body()));
    assert_eq!(once.hint(), (1, Some(1)));
    assert_eq!(author.polls(), 0);
    assert_eq!(once.data(), "a");
    once.pends();
    assert!(once.0.is_woken());
    assert_eq!(once.trailers(), trailers());
}

#[test]
fn data_of_another_type_become_bytes() {
    let frames = ["two ", "parts"].map(|part| Ok::<_, Infallible>(Frame::data(part.as_bytes())));
    let chained = "one ".as_bytes().chain("part".as_bytes());
    let (kept, first) = keep(StreamBody::new(futures::stream::iter(frames)), MIB);
    assert_eq!(send(first).all().0, b"two parts");
    assert_eq!(replay(&kept).all().0, b"two parts");
    let (kept, _first) = keep(Full::new(chained), MIB);
    assert_eq!(replay(&kept).data(), "one part");
}

// Streams: what is read is kept.

#[test]
fn a_stream_is_read_no_further_than_two_frames_ahead_of_its_send() {
    let author = Author::new([data("a"), data("b"), data("c"), Step::End]);
    let (_kept, first) = keep(author.body(), MIB);
    assert_eq!(author.polls(), 2);
    assert_eq!(send(first).all().0, b"abc");
}

#[test]
fn a_stream_is_replayed_twice_and_each_time_from_its_start() {
    let author = Author::new([data("a")]);
    let (kept, first) = keep(author.body(), MIB);
    let mut first = send(first);
    assert_eq!(first.data(), "a");
    author.add(data("b"));
    assert_eq!(first.data(), "b");

    let mut second = replay(&kept);
    author.add(data("c"));
    assert_eq!((second.data(), second.data()), ("a".into(), "b".into()));
    assert_eq!(second.data(), "c");

    let mut third = replay(&kept);
    author.add(Step::Trailers(trailers()));
    assert_eq!(third.all(), (b"abc".to_vec(), Some(trailers())));
    third.ends();
    first.error();
    second.error();
}

#[test]
fn trailers_are_replayed_with_data_and_alone() {
    let (kept, first) = keep(Author::new([Step::Trailers(trailers())]).body(), MIB);
    let mut first = send(first);
    assert!(!first.0.is_end_stream());
    assert_eq!(first.all(), (vec![], Some(trailers())));
    assert!(first.0.is_end_stream());
    assert_eq!(replay(&kept).all(), (vec![], Some(trailers())));

    let (kept, first) = keep(Author::new([data("a"), Step::Trailers(trailers())]).body(), MIB);
    assert_eq!(send(first).all(), (b"a".to_vec(), Some(trailers())));
    let mut second = replay(&kept);
    assert_eq!(second.data(), "a");
    assert!(!second.0.is_end_stream());
    assert_eq!(second.trailers(), trailers());
    assert!(second.0.is_end_stream());
}

#[test]
fn empty_frames_reach_the_first_send_and_cost_nothing() {
    let author = Author::new([data(""), data("a")]);
    let (kept, first) = keep(author.body(), 65);
    let mut first = send(first);
    assert_eq!(first.data(), "a");
    for _ in 0..1000 {
        author.add(data(""));
        assert_eq!(first.data(), "");
    }
    author.add(Step::End);
    first.ends();
    assert_eq!(replay(&kept).all().0, b"a");
}

// The cap.

#[test]
fn a_stream_of_exactly_the_cap_is_replayed_and_one_byte_more_is_not() {
    for (cap, replayable) in [(1000 + 64, true), (1000 + 63, false)] {
        let author = Author::new([Step::Yield, Step::Data(vec![1; 1000].into()), Step::End]);
        let (kept, first) = keep(author.body(), cap);
        assert!(kept.is_replayable());
        let bytes = send(first).all().0;
        assert_eq!(bytes, [1; 1000]);
        assert_eq!(kept.is_replayable(), replayable);
        assert_eq!(kept.replay().map(|body| send(body).all().0), replayable.then_some(bytes));
    }
}

#[test]
fn a_cap_of_all_that_there_is_does_not_overflow() {
    let author = Author::new([data("a"), data("b"), Step::Data(vec![1; 1000].into()), Step::End]);
    let (kept, first) = keep(author.body(), usize::MAX);
    let bytes = send(first).all().0;
    assert_eq!(replay(&kept).all().0, bytes);
}

#[test]
fn over_the_cap_what_was_kept_is_let_go_and_the_send_goes_on() {
    let mark = Bytes::from(vec![2; 1000]);
    let author = Author::new([Step::Yield, Step::Data(mark.clone())]);
    let (kept, first) = keep(author.body(), 1500);
    let mut first = send(first);
    assert_eq!(first.data(), mark);
    assert!(!mark.is_unique());
    author.add(Step::Data(vec![3; 1000].into()));
    assert_eq!(first.data(), vec![3; 1000]);
    assert!(mark.is_unique());
    assert!(kept.replay().is_none());

    // Nothing is held back for a replay that cannot be.
    kept.freeze();
    author.add(data("rest"));
    assert_eq!(first.data(), "rest");
    author.add(Step::End);
    first.ends();
}

#[test]
fn frames_that_were_read_ahead_are_sent_even_if_they_exceed_the_cap() {
    let author = Author::new([data("one"), data("two"), data("three"), Step::End]);
    let (kept, first) = keep(author.body(), 0);
    assert!(!kept.is_replayable());
    assert_eq!(send(first).all().0, b"onetwothree");
}

#[test]
fn trailers_count_against_the_cap() {
    let steps = || [Step::Yield, data("a"), Step::Trailers(trailers())];
    for (cap, replayable) in [(65 + 128 + 6, true), (65 + 128 + 5, false)] {
        let (kept, first) = keep(Author::new(steps()).body(), cap);
        assert_eq!(send(first).all(), (b"a".to_vec(), Some(trailers())));
        assert_eq!(kept.is_replayable(), replayable);
    }
}

// Freeze, thaw, take over.

#[test]
fn frozen_before_any_frame_was_read_the_replay_reads_them_all() {
    let author = Author::new([]);
    let (kept, first) = keep(author.body(), MIB);
    let mut first = send(first);
    kept.freeze();
    author.add(data("a"));
    first.pends();
    let mut second = replay(&kept);
    assert!(first.0.is_woken());
    first.error();
    author.add(Step::End);
    assert_eq!(second.all().0, b"a");
}

#[test]
fn frozen_while_it_waits_the_send_reads_nothing_more_until_it_thaws() {
    let author = Author::new([data("a")]);
    let (kept, first) = keep(author.body(), MIB);
    let mut first = send(first);
    assert_eq!(first.data(), "a");
    first.pends();
    kept.freeze();
    author.add(data("b"));
    assert!(first.0.is_woken());
    let polls = author.polls();
    first.pends();
    first.pends();
    assert_eq!(author.polls(), polls);
    kept.thaw();
    assert!(first.0.is_woken());
    assert_eq!(first.data(), "b");
    author.add(Step::End);
    first.ends();
    assert_eq!(replay(&kept).all().0, b"ab");
}

#[test]
fn a_thaw_of_what_is_not_frozen_keeps_the_waker_for_later() {
    let author = Author::new([]);
    let (kept, first) = keep(author.body(), MIB);
    let mut first = send(first);
    first.pends();
    kept.thaw();
    let _second = replay(&kept);
    assert!(first.0.is_woken());
    first.error();
}

#[test]
fn a_send_that_waits_for_the_stream_learns_that_it_was_replaced() {
    let author = Author::new([data("a")]);
    let (kept, first) = keep(author.body(), MIB);
    let mut first = send(first);
    assert_eq!(first.data(), "a");
    first.pends();
    let _second = replay(&kept);
    assert!(first.0.is_woken());
    first.error();
}

#[test]
fn a_replaced_send_ends_in_an_error_even_if_only_the_end_was_left() {
    let author = Author::new([data("a"), data("b"), Step::End]).tells_end();
    let (kept, first) = keep(author.body(), MIB);
    let mut first = send(first);
    assert_eq!((first.data(), first.data()), ("a".into(), "b".into()));
    let mut second = replay(&kept);
    assert!(!first.0.is_end_stream());
    assert_eq!(first.hint(), (0, None));
    first.error();
    first.error();
    assert_eq!(second.all().0, b"ab");
}

#[test]
fn a_replaced_send_is_not_at_its_end_when_the_replay_is() {
    let author = Author::new([data("a"), data("b"), data("c"), Step::End]);
    let (kept, first) = keep(author.body(), MIB);
    let mut first = send(first);
    assert_eq!(first.data(), "a");
    let mut second = replay(&kept);
    assert_eq!(second.all().0, b"abc");
    assert!(second.0.is_end_stream() && !first.0.is_end_stream());
    first.error();
}

#[test]
fn a_frozen_send_that_had_everything_ends() {
    let author = Author::new([data("a"), data("b"), Step::End]).tells_end();
    let (kept, first) = keep(author.body(), MIB);
    let mut first = send(first);
    assert_eq!((first.data(), first.data()), ("a".into(), "b".into()));
    kept.freeze();
    assert!(first.0.is_end_stream());
    first.ends();
}

#[test]
fn the_first_send_is_dropped_unpolled_and_the_replay_has_all_of_the_stream() {
    let author = Author::new([data("a")]);
    let (kept, first) = keep(author.body(), MIB);
    let mut first = send(first);
    assert_eq!(first.data(), "a");
    kept.freeze();
    drop(first);
    assert!(author.is_held());
    let mut second = replay(&kept);
    author.add(data("b"));
    author.add(Step::End);
    assert_eq!(second.all().0, b"ab");
}

#[test]
fn the_replay_can_be_frozen_and_replaced_as_well() {
    let author = Author::new([data("a"), data("b"), data("c"), Step::End]);
    let (kept, _first) = keep(author.body(), MIB);
    let mut second = replay(&kept);
    assert_eq!(second.data(), "a");
    kept.freeze();
    second.pends();
    let mut third = replay(&kept);
    assert!(second.0.is_woken());
    second.error();
    assert_eq!(third.all().0, b"abc");
}

// Events while the stream is being polled, as from another thread.

type Cell<B> = Rc<RefCell<Option<Kept<B>>>>;

/// A stream in which `event` happens while its second frame is being read by the first send, and that
/// send, waiting for it.
fn meanwhile(
    author: &Author,
    last: Step,
    event: impl FnOnce(Kept<Script>) -> Option<Kept<Script>> + 'static,
) -> (Send<Script>, Cell<Script>) {
    let (kept, first) = keep(author.body(), MIB);
    let cell = Rc::new(RefCell::new(Some(kept)));
    let mut first = send(first);
    assert_eq!(first.data(), "a");
    first.pends();
    let inside = Rc::clone(&cell);
    author.add(Step::Meanwhile(Box::new(move || {
        let kept = inside.borrow_mut().take().unwrap();
        *inside.borrow_mut() = event(kept);
    })));
    author.add(last);
    (first, cell)
}

#[test]
fn a_frame_that_is_being_read_when_the_send_freezes_is_kept_and_goes_out() {
    let author = Author::new([data("a")]);
    let (mut first, kept) = meanwhile(&author, data("b"), |kept| {
        kept.freeze();
        Some(kept)
    });
    author.add(data("c"));
    assert_eq!(first.data(), "b");
    first.pends();
    let mut second = replay(kept.borrow().as_ref().unwrap());
    author.add(Step::End);
    assert_eq!(second.all().0, b"abc");
}

#[test]
fn a_frame_that_is_being_read_when_the_turn_passes_on_belongs_to_the_replay() {
    let author = Author::new([data("a")]);
    let second = Rc::new(RefCell::new(None));
    let inside = Rc::clone(&second);
    let (mut first, _kept) = meanwhile(&author, data("b"), move |kept| {
        let mut send = replay(&kept);
        assert_eq!(send.hint(), (1, None));
        assert_eq!(send.data(), "a");
        send.pends();
        assert!(!send.0.is_end_stream());
        *inside.borrow_mut() = Some(send);
        Some(kept)
    });
    first.error();
    let mut second = second.take().unwrap();
    assert!(second.0.is_woken());
    assert_eq!(second.data(), "b");
    second.pends();
    author.add(data("c"));
    assert!(second.0.is_woken());
    author.add(Step::End);
    assert_eq!(second.all().0, b"c");
}

#[test]
fn a_replay_that_waits_for_the_stream_is_woken_if_that_has_nothing_yet() {
    let author = Author::new([data("a")]);
    let second = Rc::new(RefCell::new(None));
    let inside = Rc::clone(&second);
    let (mut first, _kept) = meanwhile(&author, Step::Yield, move |kept| {
        let mut send = replay(&kept);
        assert_eq!(send.data(), "a");
        send.pends();
        *inside.borrow_mut() = Some(send);
        Some(kept)
    });
    first.error();
    let mut second = second.take().unwrap();
    assert!(second.0.is_woken());
    second.pends();
    author.add(data("b"));
    assert!(second.0.is_woken());
    author.add(Step::End);
    assert_eq!(second.all().0, b"b");
}

#[test]
fn an_error_that_is_being_read_when_the_turn_passes_on_ends_the_replay() {
    let author = Author::new([data("a")]);
    let second = Rc::new(RefCell::new(None));
    let inside = Rc::clone(&second);
    let (mut first, kept) = meanwhile(&author, Step::Error, move |kept| {
        *inside.borrow_mut() = Some(replay(&kept));
        Some(kept)
    });
    first.error();
    assert!(kept.borrow().as_ref().unwrap().replay().is_none());
    let mut second = second.take().unwrap();
    assert_eq!(second.data(), "a");
    assert_eq!(second.error(), "disk");
}

#[test]
fn a_frame_over_the_cap_that_is_being_read_when_the_turn_passes_on_is_sent_but_not_kept() {
    let author = Author::new([data("a")]);
    let second = Rc::new(RefCell::new(None));
    let inside = Rc::clone(&second);
    let big = Step::Data(vec![7; MIB].into());
    let (mut first, kept) = meanwhile(&author, big, move |kept| {
        *inside.borrow_mut() = Some(replay(&kept));
        Some(kept)
    });
    first.error();
    assert!(!kept.borrow().as_ref().unwrap().is_replayable());
    author.add(Step::End);
    let mut second = second.take().unwrap();
    assert_eq!(second.hint(), (1 + MIB as u64, None));
    assert_eq!(second.all().0.len(), 1 + MIB);
}

#[test]
fn a_frame_over_the_cap_that_is_being_read_when_the_send_freezes_thaws_it() {
    let author = Author::new([data("a")]);
    let big = Step::Data(vec![7; MIB].into());
    let (mut first, kept) = meanwhile(&author, big, |kept| {
        kept.freeze();
        Some(kept)
    });
    assert_eq!(first.data().len(), MIB);
    assert!(kept.borrow().as_ref().unwrap().replay().is_none());
    author.add(Step::End);
    first.ends();
}

#[test]
fn the_caller_goes_while_the_frozen_send_is_being_read() {
    let author = Author::new([data("a")]);
    let (mut first, _kept) = meanwhile(&author, data("b"), |kept| {
        kept.freeze();
        None
    });
    first.error();
    assert!(!author.is_held());
}

// Who goes first.

#[test]
fn the_caller_is_gone_while_frozen_and_the_send_ends_in_an_error() {
    let author = Author::new([data("a")]);
    let (kept, first) = keep(author.body(), MIB);
    let mut first = send(first);
    assert_eq!(first.data(), "a");
    first.pends();
    kept.freeze();
    drop(kept);
    assert!(first.0.is_woken());
    assert!(!author.is_held(), "the stream outlives its last use");
    assert!(!first.0.is_end_stream());
    first.error();
}

#[test]
fn the_caller_is_gone_and_the_upload_goes_on() {
    let author = Author::new([data("a")]);
    let (kept, first) = keep(author.body(), MIB);
    let mut first = send(first);
    assert_eq!(first.data(), "a");
    drop(kept);
    author.add(data("b"));
    author.add(Step::End);
    assert_eq!(first.all().0, b"b");
}

#[test]
fn what_was_sent_is_let_go_once_no_replay_can_come() {
    let (sent, unsent) = (Bytes::from(vec![1; 500]), Bytes::from(vec![2; 500]));
    let author = Author::new([Step::Data(sent.clone()), Step::Data(unsent.clone())]);
    let (kept, first) = keep(author.body(), MIB);
    let mut first = send(first);
    assert_eq!(first.data(), sent);
    kept.freeze();
    first.pends();
    kept.thaw();
    drop(kept);
    assert!(first.0.is_woken());
    assert!(sent.is_unique() && !unsent.is_unique());
    assert_eq!(first.hint(), (500, None));
    assert_eq!(first.data(), unsent);
    assert!(unsent.is_unique());
    author.add(Step::End);
    first.ends();
}

#[test]
fn a_released_replay_sends_what_it_has_not_sent_yet() {
    let author = Author::new([data("a"), data("b"), data("c")]);
    let (kept, first) = keep(author.body(), MIB);
    let mut first = send(first);
    for text in ["a", "b", "c"] {
        assert_eq!(first.data(), text);
    }
    let mut second = replay(&kept);
    assert_eq!(second.data(), "a");
    drop(kept);
    author.add(data("d"));
    author.add(Step::End);
    assert_eq!(second.all().0, b"bcd");
}

#[test]
fn nothing_outlives_the_last_send_and_what_was_kept_in_either_order() {
    let author = Author::new([data("a")]);
    let (kept, first) = keep(author.body(), MIB);
    drop(first);
    assert!(author.is_held());
    drop(kept);
    assert!(!author.is_held());

    let author = Author::new([data("a")]);
    let (kept, first) = keep(author.body(), MIB);
    drop(kept);
    assert!(author.is_held());
    drop(first);
    assert!(!author.is_held());
}

#[test]
fn a_replaced_send_that_is_never_polled_again_holds_nothing() {
    let mark = Bytes::from(vec![1; 500]);
    let author = Author::new([Step::Data(mark.clone())]);
    let (kept, first) = keep(author.body(), MIB);
    let second = replay(&kept);
    drop(kept);
    drop(second);
    assert!(!author.is_held());
    assert!(mark.is_unique());
    drop(first);
}

#[test]
fn the_end_of_a_replaced_send_takes_nothing_from_its_successor() {
    let author = Author::new([data("a"), data("b"), Step::End]);
    let (kept, first) = keep(author.body(), MIB);
    let mut second = replay(&kept);
    drop(kept);
    drop(first);
    assert_eq!(second.all().0, b"ab");
}

#[test]
fn the_stream_is_dropped_when_it_has_ended() {
    let author = Author::new([data("a"), data("b"), data("c"), Step::End]).tells_end();
    let (kept, first) = keep(author.body(), MIB);
    let mut first = send(first);
    for _ in 0..3 {
        first.data();
    }
    assert!(!author.is_held());
    assert_eq!(replay(&kept).all().0, b"abc");
}

// Failure.

#[test]
fn a_body_that_failed_is_not_replayed() {
    for ahead in 0..3 {
        let mut steps: Vec<_> = (0..ahead).map(|_| data("a")).collect();
        steps.push(Step::Error);
        let author = Author::new(steps);
        let (kept, first) = keep(author.body(), MIB);
        let mut first = send(first);
        for _ in 0..ahead {
            assert_eq!(first.data(), "a");
        }
        assert_eq!(first.error(), "disk");
        assert!(!first.0.is_end_stream());
        assert_eq!(first.error(), "the request body failed earlier");
        assert!(!kept.is_replayable());
        assert!(kept.replay().is_none());
    }
}

#[test]
fn a_body_that_panics_leaves_an_error_and_no_replay() {
    let author = Author::new([data("a")]);
    let (kept, first) = keep(author.body(), MIB);
    let mut first = send(first);
    assert_eq!(first.data(), "a");
    author.add(Step::Panic);
    panic::catch_unwind(panic::AssertUnwindSafe(|| first.poll())).unwrap_err();
    assert!(!author.is_held());
    first.error();
    assert!(kept.replay().is_none());
}

#[test]
fn a_body_that_panics_in_the_hands_of_a_replaced_send_wakes_the_replay_to_an_error() {
    let author = Author::new([data("a")]);
    let second = Rc::new(RefCell::new(None));
    let inside = Rc::clone(&second);
    let (mut first, _kept) = meanwhile(&author, Step::Panic, move |kept| {
        let mut send = replay(&kept);
        assert_eq!(send.data(), "a");
        send.pends();
        *inside.borrow_mut() = Some(send);
        Some(kept)
    });
    panic::catch_unwind(panic::AssertUnwindSafe(|| first.poll())).unwrap_err();
    let mut second = second.take().unwrap();
    assert!(second.0.is_woken());
    second.error();
}

struct PanickingWaker;

impl Wake for PanickingWaker {
    fn wake(self: Arc<Self>) {
        panic!("as the task says");
    }
}

#[test]
fn a_waker_that_panics_does_not_keep_the_replay_from_its_turn() {
    let author = Author::new([data("a")]);
    let (kept, first) = keep(author.body(), MIB);
    let mut first = pin!(first);
    let waker = Waker::from(Arc::new(PanickingWaker));
    let mut cx = Context::from_waker(&waker);
    assert!(first.as_mut().poll_frame(&mut cx).is_ready());
    assert!(first.as_mut().poll_frame(&mut cx).is_pending());
    let mut second = replay(&kept);
    assert_eq!(second.data(), "a");
    second.pends();
    author.add(data("b"));
    author.add(Step::End);
    assert_eq!(second.all().0, b"b");
}

// Size and end.

#[test]
fn an_exact_size_stays_exact_on_every_send() {
    let author = Author::new([data("ab"), Step::Yield, data("cd"), data("e"), Step::End]).exact(5);
    let (kept, first) = keep(author.body(), MIB);
    let mut first = send(first);
    assert_eq!(first.hint(), (5, Some(5)));
    first.data();
    assert_eq!(first.hint(), (3, Some(3)));
    first.data();
    let mut second = replay(&kept);
    assert_eq!(second.hint(), (5, Some(5)));
    assert_eq!(second.all().0, b"abcde");
    assert_eq!(second.hint(), (0, Some(0)));
    assert_eq!(replay(&kept).hint(), (5, Some(5)));
}

#[test]
fn a_size_that_was_unknown_is_exact_once_all_is_kept() {
    let author = Author::new([data("ab"), data("cd"), Step::End]);
    let (kept, first) = keep(author.body(), MIB);
    let mut first = send(first);
    assert_eq!(first.hint(), (4, None));
    first.all();
    assert_eq!(replay(&kept).hint(), (4, Some(4)));
}

#[test]
fn a_size_that_was_unknown_stays_so_for_trailers_to_be_sent() {
    let (kept, first) = keep(Author::new([data("ab"), Step::Trailers(trailers())]).body(), MIB);
    let mut first = send(first);
    assert_eq!(first.hint(), (2, None));
    first.all();
    assert_eq!(replay(&kept).hint(), (2, None));

    let author = Author::new([data("ab"), Step::Trailers(trailers())]).exact(2);
    let (kept, first) = keep(author.body(), MIB);
    assert_eq!(send(first).hint(), (2, Some(2)));
    assert_eq!(replay(&kept).hint(), (2, Some(2)));
}

#[test]
fn a_size_beyond_all_bounds_does_not_overflow() {
    let author = Author::new([data("ab"), Step::Yield, data("c")]).exact(u64::MAX);
    let (kept, first) = keep(author.body(), MIB);
    let mut first = send(first);
    first.data();
    author.clone().exact(u64::MAX);
    first.data();
    assert_eq!(replay(&kept).hint(), (u64::MAX, None));
}

// The types.

#[test]
fn the_types_are_small_and_as_free_as_the_body_is() {
    fn is_send<T: std::marker::Send>() {}
    fn is_unpin<T: Unpin>() {}
    type NotSync = http_body_util::combinators::UnsyncBoxBody<Bytes, BoxError>;
    is_send::<ReplayBody<NotSync>>();
    is_send::<Kept<NotSync>>();
    is_unpin::<ReplayBody<NotSync>>();
    assert!(mem::size_of::<ReplayBody<Full<Bytes>>>() <= 40);
    assert!(mem::size_of::<Kept<Full<Bytes>>>() <= 32);
}

#[test]
fn nothing_of_a_body_is_printed() {
    let (kept, first) = keep(Full::new(Bytes::from_static(b"secret")), MIB);
    assert_eq!(format!("{first:?}"), r#"ReplayBody { kind: "whole", .. }"#);
    assert_eq!(format!("{kept:?}"), "Kept { is_replayable: true, .. }");
}

#[test]
fn the_body_of_a_client_may_be_any_box_made_of_it() {
    let (_kept, first) = keep(Full::new(Bytes::from_static(b"x")), MIB);
    let _: http_body_util::combinators::UnsyncBoxBody<Bytes, BoxError> = first.boxed_unsync();
}
