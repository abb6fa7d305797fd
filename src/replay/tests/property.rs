//! Random bodies, cuts, caps, early answers and drops, against one model: a send carries a beginning of
//! the original and then fails, or all of it and ends; and whoever waits is woken.

use std::{cell::RefCell, collections::VecDeque, rc::Rc, task::Poll};

use proptest::prelude::*;

use super::{Kept, Send, keep, send, trailers};
use crate::replay::tests::script::{Author, Script, Step};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Ending {
    End,
    Trailers,
    Error,
}

#[derive(Clone, Debug)]
struct Original {
    /// Sizes of data frames; `None` is a `Pending` in between.
    cuts: Vec<Option<usize>>,
    ending: Ending,
    is_exact: bool,
    tells_end: bool,
    cap: usize,
    /// How many steps are ready when the body is looked at.
    ready: usize,
}

#[derive(Clone, Debug)]
enum Event {
    Feed,
    Poll,
    PollOld,
    Freeze,
    Thaw,
    Replay,
    Release,
    DropKept,
    DropSend,
    DropOld,
    /// A replay that goes as far as it can.
    Overtake,
    /// When the stream is next polled as far as this.
    During(Box<Self>),
}

fn originals() -> impl Strategy<Value = Original> {
    let size = prop_oneof![0..4usize, 250..260usize, Just(1000)];
    let cut = prop_oneof![5 => size.prop_map(Some), 1 => Just(None)];
    let ending =
        prop_oneof![3 => Just(Ending::End), 2 => Just(Ending::Trailers), 1 => Just(Ending::Error)];
    let cap = prop_oneof![2 => 0..3000usize, 2 => Just(1 << 20), 1 => Just(usize::MAX)];
    let cuts = prop::collection::vec(cut, 0..10);
    (cuts, ending, any::<bool>(), any::<bool>(), cap, 0..4usize).prop_map(
        |(cuts, ending, is_exact, tells_end, cap, ready)| Original {
            cuts,
            ending,
            is_exact,
            tells_end,
            cap,
            ready,
        },
    )
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let inner = prop_oneof![
        4 => Just(Event::Freeze),
        1 => Just(Event::Thaw),
        2 => Just(Event::Replay),
        4 => Just(Event::Overtake),
        2 => Just(Event::Poll),
        1 => Just(Event::Release),
        1 => Just(Event::DropKept),
        1 => Just(Event::DropOld),
    ];
    let event = prop_oneof![
        8 => Just(Event::Feed),
        8 => Just(Event::Poll),
        1 => Just(Event::PollOld),
        3 => Just(Event::Freeze),
        2 => Just(Event::Thaw),
        3 => Just(Event::Replay),
        1 => Just(Event::DropSend),
        1 => Just(Event::DropOld),
        1 => prop_oneof![Just(Event::Release), Just(Event::DropKept)],
        3 => inner.prop_map(|event| Event::During(Box::new(event))),
    ];
    prop::collection::vec(event, 0..40)
}

struct World {
    author: Author,
    /// Steps that the stream does not have yet.
    script: VecDeque<Step>,
    kept: Option<Kept<Script>>,
    /// The last one has the turn, unless the caller left while it was frozen.
    runs: Vec<Run>,
    frozen: bool,
    abandoned: bool,
    is_whole: bool,
    bytes: Vec<u8>,
    /// What it costs at most to keep all of it.
    cost: usize,
    original: Original,
}

#[derive(Default)]
struct Run {
    /// `None` once dropped, and while it is polled.
    send: Option<Send<Script>>,
    got: Vec<u8>,
    got_trailers: bool,
    is_pending: bool,
    is_over: bool,
}

type Shared = Rc<RefCell<World>>;

fn start(original: Original) -> Shared {
    let mut counter = 0..;
    let mut bytes = Vec::new();
    let mut script = VecDeque::new();
    for cut in &original.cuts {
        script.push_back(cut.map_or(Step::Yield, |size| {
            let data: Vec<u8> =
                counter.by_ref().take(size).map(|at: u32| (at % 251) as u8).collect();
            bytes.extend_from_slice(&data);
            Step::Data(data.into())
        }));
    }
    let mut cost = bytes.len() + 64 * original.cuts.len();
    match original.ending {
        Ending::End => {}
        Ending::Error => script.push_back(Step::Error),
        Ending::Trailers => {
            script.push_back(Step::Trailers(trailers()));
            cost += 64 + 64 + 6;
        }
    }
    script.push_back(Step::End);

    let ready = original.ready.min(script.len());
    let mut author = Author::new(script.drain(..ready));
    if original.is_exact {
        author = author.exact(bytes.len() as u64);
    }
    if original.tells_end {
        author = author.tells_end();
    }
    let (kept, first) = keep(author.body(), original.cap);
    let runs = vec![Run { send: Some(send(first)), ..Run::default() }];
    let is_whole = matches!(kept, Kept::Whole(_));
    let kept = Some(kept);
    Rc::new(RefCell::new(World {
        author,
        script,
        kept,
        runs,
        frozen: false,
        abandoned: false,
        is_whole,
        bytes,
        cost,
        original,
    }))
}

fn happen(shared: &Shared, event: Event, inside: bool) {
    act(shared, event, inside);
    if !inside {
        check(&shared.borrow());
    }
}

fn act(shared: &Shared, event: Event, inside: bool) {
    let mut world = shared.borrow_mut();
    let last = world.runs.len() - 1;
    match event {
        Event::Feed => {
            if let Some(step) = world.script.pop_front() {
                world.author.add(step);
            }
        }
        Event::Poll => {
            drop(world);
            poll(shared, last, inside);
        }
        Event::PollOld => {
            drop(world);
            poll(shared, last / 2, inside);
        }
        Event::Freeze => {
            if let Some(kept) = &world.kept {
                kept.freeze();
                world.frozen = true;
            }
        }
        Event::Thaw => {
            if let Some(kept) = &world.kept {
                kept.thaw();
                world.frozen = false;
            }
        }
        Event::Replay => replay(&mut world),
        Event::Overtake => {
            replay(&mut world);
            let last = world.runs.len() - 1;
            drop(world);
            while poll(shared, last, inside) {}
        }
        Event::Release => {
            let kept = world.kept.take();
            world.frozen &= kept.is_none();
            drop(world);
            kept.iter().for_each(Kept::thaw);
        }
        Event::DropKept => {
            world.abandoned |= world.is_frozen();
            let kept = world.kept.take();
            world.frozen &= kept.is_none();
            drop(world);
            drop(kept);
        }
        Event::DropSend => {
            let send = world.runs[last].send.take();
            drop(world);
            drop(send);
        }
        Event::DropOld => {
            let send = world.runs[last / 2].send.take();
            drop(world);
            drop(send);
        }
        Event::During(event) => {
            let weak = Rc::downgrade(shared);
            world.author.add(Step::Meanwhile(Box::new(move || {
                happen(&weak.upgrade().unwrap(), *event, true);
            })));
        }
    }
}

fn replay(world: &mut World) {
    let Some(kept) = &world.kept else { return };
    let is_replayable = kept.is_replayable();
    let body = kept.replay();
    assert_eq!(body.is_some(), is_replayable);
    if let Some(body) = body {
        world.runs.push(Run { send: Some(send(body)), ..Run::default() });
        world.frozen = false;
    }
}

/// Poll one send and judge what it says: whether it had a frame.
fn poll(shared: &Shared, at: usize, inside: bool) -> bool {
    let Some(mut send) = shared.borrow_mut().runs[at].send.take() else { return false };
    let was_frozen = shared.borrow().is_frozen();
    let polled = send.poll();
    let is_frame = matches!(polled, Poll::Ready(Some(Ok(_))));

    let mut world = shared.borrow_mut();
    let world = &mut *world;
    // Sends of a whole body share nothing, so none ends another.
    let has_turn = world.is_whole || (at + 1 == world.runs.len() && !world.abandoned);
    let is_frozen = world.is_frozen();
    assert!(!(is_frame && was_frozen), "a frozen send reads on");
    let run = &mut world.runs[at];
    run.is_pending = polled.is_pending();
    match polled {
        Poll::Ready(Some(Ok(frame))) => {
            assert!(has_turn, "a send without the turn goes on");
            match frame.into_data() {
                Ok(data) => run.got.extend_from_slice(&data),
                Err(frame) => {
                    assert_eq!(frame.into_trailers().unwrap(), trailers());
                    assert!(!run.got_trailers && run.got == world.bytes);
                    run.got_trailers = true;
                }
            }
            assert!(world.bytes.starts_with(&run.got), "other bytes than the original's");
        }
        Poll::Ready(None) => {
            assert_eq!(run.got, world.bytes, "a clean end of a torn body");
            assert_eq!(run.got_trailers, world.original.ending == Ending::Trailers);
            assert_ne!(world.original.ending, Ending::Error);
            assert!(has_turn, "a send without the turn ends cleanly");
            run.is_over = true;
        }
        Poll::Ready(Some(Err(_))) => {
            if has_turn {
                assert_eq!(world.original.ending, Ending::Error, "an error from nowhere");
                assert_eq!(run.got, world.bytes, "an error before its time");
            }
            run.is_over = true;
        }
        Poll::Pending => {
            assert!(has_turn, "a send without the turn waits");
            let may_wait = is_frozen || inside || !world.author.has_steps();
            assert!(may_wait || send.0.is_woken(), "nothing to wait for");
        }
    }
    if has_turn && !run.is_over {
        hints(world, at, &send, inside);
    }
    assert!(has_turn || !is_end_stream(&send), "a send without the turn claims its end");
    world.runs[at].send = Some(send);
    is_frame
}

fn hints(world: &World, at: usize, send: &Send<Script>, inside: bool) {
    let run = &world.runs[at];
    let left = (world.bytes.len() - run.got.len()) as u64;
    let (lower, upper) = send.hint();
    assert!(lower <= left && upper.is_none_or(|upper| left <= upper), "a lie about the size");
    if world.original.is_exact && world.original.ending != Ending::Error && !inside {
        assert_eq!(upper, Some(lower));
    }
    if is_end_stream(send) {
        assert_eq!(left, 0);
        assert_eq!(run.got_trailers, world.original.ending == Ending::Trailers);
        assert_ne!(world.original.ending, Ending::Error);
    }
    // Trailers that are still to come need a body of unknown size.
    if world.original.ending == Ending::Trailers && !run.got_trailers && !world.original.is_exact {
        assert_eq!(upper, None);
    }
}

fn is_end_stream(send: &Send<Script>) -> bool {
    http_body::Body::is_end_stream(&**send.0)
}

impl World {
    fn is_frozen(&self) -> bool {
        let is_replayable = self.kept.as_ref().is_some_and(Kept::is_replayable);
        self.frozen && is_replayable && !self.is_whole
    }
}

fn check(world: &World) {
    if let Some(kept) = &world.kept {
        let most = world.runs.iter().map(|run| run.got.len()).max().unwrap_or(0);
        match kept {
            Kept::Whole(data) => assert_eq!(data, &world.bytes),
            Kept::Stream(_) if world.original.ending == Ending::Error => {}
            Kept::Stream(_) if world.cost <= world.original.cap => assert!(kept.is_replayable()),
            Kept::Stream(_) => assert!(!kept.is_replayable() || most <= world.original.cap),
        }
    } else if world.abandoned || world.runs.last().unwrap().send.is_none() {
        assert!(!world.author.is_held(), "a stream that nobody can read is kept");
    }
}

/// The stream comes to its end, `last` happens, and from then on only wakers drive.
fn finish(shared: &Shared, last: Event) {
    while !shared.borrow().script.is_empty() {
        happen(shared, Event::Feed, false);
    }
    happen(shared, last, false);
    loop {
        let runs = shared.borrow().runs.len();
        let next = (0..runs).find(|&at| {
            let world = shared.borrow();
            let run = &world.runs[at];
            let due = |send: &Send<Script>| !run.is_pending || send.0.is_woken();
            !run.is_over && run.send.as_ref().is_some_and(due)
        });
        let Some(next) = next else { break };
        poll(shared, next, false);
        // An early answer that comes only now: its caller thaws in the end.
        if shared.borrow().frozen {
            happen(shared, Event::Thaw, false);
        }
    }
    let mut world = shared.borrow_mut();
    for run in &world.runs {
        assert!(run.is_over || run.send.is_none(), "a send hangs");
    }
    world.runs.clear();
    world.kept = None;
    assert!(!world.author.is_held());
}

fn endings() -> impl Strategy<Value = Event> {
    prop_oneof![Just(Event::Thaw), Just(Event::Replay), Just(Event::Release), Just(Event::DropKept)]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4096) })]

    #[test]
    fn every_send_carries_all_of_the_body_or_ends_in_an_error(
        original in originals(),
        events in events(),
        last in endings(),
    ) {
        let shared = start(original);
        for event in events {
            happen(&shared, event, false);
        }
        finish(&shared, last);
    }
}
