//! Random traces of events, each decision held against the promises by a model that knows no more than
//! what happened.

use std::{cell::RefCell, collections::BTreeSet, mem};

use proptest::{
    prelude::*,
    test_runner::{Config, RngSeed, TestRunner},
};

use super::*;

const TRACES: u32 = 20_000;
const ENDPOINTS: u64 = 4;

/// An event and its argument, whose meaning depends on what is there when its turn comes.
type Step = (u8, u8);

#[test]
fn random_traces_keep_the_promises() {
    let reached = RefCell::new(BTreeSet::new());
    let config = Config {
        cases: TRACES,
        failure_persistence: None,
        rng_seed: RngSeed::Random,
        ..Config::default()
    };
    let traces = (1..=5_usize, prop::collection::vec(any::<Step>(), 0..60));
    let outcome = TestRunner::new(config).run(&traces, |(brake_after, trace)| {
        let mut world = World::new(brake_after);
        for step in trace {
            world.take(step);
            world.look_around();
        }
        world.end();
        reached.borrow_mut().append(&mut world.reached);
        Ok(())
    });
    outcome.unwrap();
    // Traces that never get anywhere prove nothing.
    let reached = reached.into_inner();
    for what in [
        "go",
        "go challenged",
        "go beside",
        "refresh",
        "look-up",
        "load",
        "wait",
        "refused",
        "braked",
        "told the failure",
        "cooling",
        "over",
        "closed",
        "disowned",
        "revived",
        "late refusal",
    ] {
        assert!(reached.contains(what), "no trace reached {what:?}");
    }
}

#[derive(Clone, Copy, Debug)]
enum Ask {
    Admit,
    Challenge(Generation, Option<Endpoint>),
}

#[derive(Debug)]
struct Waiter {
    ask: Ask,
    waited: Option<Serial>,
}

/// The machine, those who use it, and what they may expect of it.
struct World {
    machine: Lifecycle,
    policy: Policy,
    now: Now,
    /// What the snapshot was told last.
    outlook: Option<Outlook>,
    /// The last event asked the machine something.
    asked: bool,
    /// All that are out, also those that were taken away.
    tickets: Vec<Ticket>,
    waiters: Vec<Waiter>,
    /// Sends of a token that was fetched for them, without an answer yet.
    replays: Vec<(Generation, Endpoint)>,
    /// One for each generation, in order.
    lives: Vec<Life>,
    held: Option<Generation>,
    challenged: bool,
    refused: Vec<(Generation, Endpoint)>,
    refused_up_to: Generation,
    fruitless: Vec<Instant>,
    flight: Option<Serial>,
    failed: Option<Serial>,
    cooling_until: Option<Instant>,
    /// When a request's look at the store, or what spaces the next one, was last.
    looked: Option<Instant>,
    /// The flight is such a look.
    looking: bool,
    loaded: bool,
    over: bool,
    closed: bool,
    reached: BTreeSet<&'static str>,
}

impl World {
    fn new(brake_after: usize) -> Self {
        let policy = Policy { brake_after, ..Policy::default() };
        Self {
            machine: Lifecycle::new(policy.clone()),
            policy,
            now: start(),
            outlook: None,
            asked: false,
            tickets: Vec::new(),
            waiters: Vec::new(),
            replays: Vec::new(),
            lives: Vec::new(),
            held: None,
            challenged: false,
            refused: Vec::new(),
            refused_up_to: Generation(0),
            fruitless: Vec::new(),
            flight: None,
            failed: None,
            cooling_until: None,
            looked: None,
            looking: false,
            loaded: false,
            over: false,
            closed: false,
            reached: BTreeSet::new(),
        }
    }

    fn take(&mut self, (event, argument): Step) {
        let pick = usize::from(argument);
        self.asked = !matches!(event, 233..);
        match event {
            0..=69 => self.request(Ask::Admit),
            70..=119 => {
                // The newest half of the time, or one of the three before it.
                let back = if argument % 2 == 0 { 0 } else { u64::from(argument / 64) };
                let seen = Generation((self.lives.len() as u64).saturating_sub(back));
                let endpoint = Endpoint(u64::from(argument / 2) % (ENDPOINTS + 1));
                let endpoint = (endpoint.0 < ENDPOINTS).then_some(endpoint);
                if seen > Generation(0) {
                    self.request(Ask::Challenge(seen, endpoint));
                }
            }
            120..=159 if !self.waiters.is_empty() => {
                let waiter = self.waiters.swap_remove(pick % self.waiters.len());
                self.ask(waiter);
            }
            160..=199 if !self.tickets.is_empty() => {
                let ticket = self.tickets.swap_remove(pick % self.tickets.len());
                self.finish(ticket, argument);
            }
            200..=203 if !self.tickets.is_empty() => {
                let ticket = self.tickets.swap_remove(pick % self.tickets.len());
                if self.flight == Some(ticket.serial()) {
                    self.flight = None;
                    self.forget_look();
                }
                self.machine.abandon(&ticket);
            }
            204..=223 if !self.replays.is_empty() => {
                let (generation, endpoint) = self.replays.swap_remove(pick % self.replays.len());
                self.answer_replay(generation, endpoint, argument);
            }
            224..=227 => self.reload(),
            228..=229 => {
                let ticket = self.machine.log_in();
                assert_eq!(ticket.purpose(), Purpose::Login);
                self.forget_look();
                self.flight = Some(ticket.serial());
                self.tickets.push(ticket);
            }
            230..=231 => {
                self.machine.log_out(&self.now);
                self.flight = None;
                self.looking = false;
                self.become_over();
            }
            232 if argument < 64 => {
                self.machine.close();
                self.closed = true;
            }
            233..=251 => {
                let step =
                    [1, 300, 1000, 1000, 2000, 7000, 15_000, 31_000, 61_000, 300_000, 3_600_000];
                self.now = self.now + Duration::from_millis(step[pick % step.len()]);
            }
            252.. => {
                let step = [seconds(1), seconds(30), HOUR, 24 * HOUR][pick / 2 % 4];
                let wall = self.now.wall;
                self.now.wall = if pick % 2 == 0 { wall + step } else { wall - step };
            }
            _ => {}
        }
    }

    /// What holds after every event.
    fn look_around(&mut self) {
        assert_eq!(self.machine.flight(), self.flight);
        let owned = self.tickets.iter().filter(|ticket| self.machine.owns(ticket)).count();
        assert_eq!(owned, usize::from(self.flight.is_some()), "one owned ticket at a time");
        assert_eq!(self.machine.generation(), self.held, "no good token is discarded");
        assert_eq!(self.machine.over_because().is_some(), self.over);
        assert_eq!(self.machine.is_closed(), self.closed);
        assert_eq!(self.machine.is_unread(), !self.loaded);
        let outlook = self.machine.outlook(&self.now);
        // Time goes by without the snapshot's being told.
        if self.asked {
            self.outlook = outlook;
        }
        assert_eq!(outlook.map(|outlook| outlook.generation), self.held);
        assert_eq!(
            outlook.and_then(|outlook| outlook.dead_at),
            self.life().and_then(|l| l.dead_at)
        );
    }

    fn request(&mut self, ask: Ask) {
        if let Ask::Challenge(seen, Some(endpoint)) = ask {
            // A request that was sent on a replay is answered as one.
            self.replays.retain(|replay| *replay != (seen, endpoint));
        }
        self.ask(Waiter { ask, waited: None });
    }

    fn ask(&mut self, waiter: Waiter) {
        let Waiter { ask, waited } = waiter;
        let calm = self.outlook.filter(|outlook| outlook.calm.lasts(&self.now));
        let decision = match ask {
            Ask::Admit => self.machine.admit(waited, &self.now),
            Ask::Challenge(seen, endpoint) => {
                self.machine.challenge(seen, endpoint, waited, &self.now)
            }
        };
        if let (Some(calm), Ask::Admit) = (calm, ask) {
            assert!(
                matches!(decision, Decision::Go(generation) if generation == calm.generation),
                "the snapshot said calm, the machine {decision:?}"
            );
        }
        self.judge(ask, waited, &decision);
        if let Ask::Challenge(seen, _) = ask {
            let no_evidence = matches!(&decision, Decision::Fail(error) if error.is_braked());
            self.challenged |= self.held == Some(seen) && !no_evidence;
        }
        match decision {
            Decision::Go(generation) => {
                if let (Ask::Challenge(_, Some(endpoint)), Some(_)) = (ask, waited) {
                    self.replays.push((generation, endpoint));
                }
            }
            Decision::GoAndRefresh(_, ticket) => self.hand_out(ticket),
            Decision::Refresh(ticket) => {
                self.waiters.push(Waiter { ask, waited: Some(ticket.serial()) });
                self.hand_out(ticket);
            }
            Decision::Wait(serial) => self.waiters.push(Waiter { ask, waited: Some(serial) }),
            Decision::Fail(_) => {}
        }
    }

    fn hand_out(&mut self, ticket: Ticket) {
        self.looking = ticket.purpose() == Purpose::LookUp;
        if self.looking {
            self.looked = Some(self.now.mono);
        }
        self.flight = Some(ticket.serial());
        self.tickets.push(ticket);
    }

    /// A look that was abandoned, or taken away, is taken up by whoever asks next.
    fn forget_look(&mut self) {
        if mem::take(&mut self.looking) {
            self.looked = None;
        }
    }

    /// Whether this is what the promises say, by what was known before it was asked.
    fn judge(&mut self, ask: Ask, waited: Option<Serial>, decision: &Decision) {
        let alive = self.life().is_some_and(|life| {
            life.dead_at.is_none_or(|at| self.now.mono < at.mono && self.now.wall < at.wall)
        });
        let early = self.life().is_some_and(|life| life.is_early(&self.now));
        let cooling = self.cooling_until.is_some_and(|until| self.now.mono < until);
        let braked = self.braked();
        let paused = self.closed || cooling || (self.challenged && braked);
        let told = waited.is_some() && waited == self.failed;
        let newest_seen = matches!(ask, Ask::Challenge(seen, _) if self.held == Some(seen));
        let is_admit = matches!(ask, Ask::Admit);
        let refused = matches!(ask, Ask::Challenge(seen, Some(endpoint))
            if newest_seen && self.refused.contains(&(seen, endpoint)));
        match decision {
            Decision::Go(generation) => {
                assert!(alive, "no expired token is attached");
                assert_eq!(Some(*generation), self.held);
                assert!(!newest_seen, "the token that was refused is no answer");
                self.reached.insert("go");
                if self.challenged {
                    self.reached.insert("go challenged");
                    let looks = self.looking && paused;
                    assert!(self.flight.is_none() || looks, "the successor is on its way");
                    assert!(paused || (is_admit && told), "a challenged token goes out");
                } else if is_admit && early && self.flight.is_none() {
                    assert!(paused || told, "the early refresh was missed");
                }
            }
            Decision::GoAndRefresh(generation, ticket) => {
                assert!(is_admit && alive && early && !self.challenged && !paused && !told);
                assert_eq!(Some(*generation), self.held);
                assert_eq!(ticket.purpose(), Purpose::Refresh(Cause::Early));
                assert!(self.flight.is_none());
                self.reached.insert("go beside");
            }
            Decision::Wait(serial) => {
                assert_eq!(Some(*serial), self.flight, "nobody waits for what has ended");
                assert!(
                    !alive || self.challenged || newest_seen,
                    "no request waits on a good token"
                );
                let looks = is_admit && alive && self.looking && paused;
                assert!(!looks, "a look at the store holds nobody up who has a token");
                assert!(!told || (is_admit && alive), "one failure answers everyone");
                assert!(!refused);
                self.reached.insert("wait");
            }
            Decision::Refresh(ticket) => {
                assert!(self.flight.is_none(), "one flight at a time");
                assert!(!self.closed && !told && !refused);
                assert!(
                    !alive || self.challenged || newest_seen,
                    "a late challenge burns no token"
                );
                match ticket.purpose() {
                    Purpose::Load => {
                        assert!(!self.loaded && !cooling && !self.over);
                        self.reached.insert("load");
                    }
                    Purpose::Refresh(cause) => {
                        assert!(self.loaded && !cooling && !self.over);
                        assert!(!(alive && braked), "the brake bounds refreshes of a live token");
                        assert!(alive || cause != Cause::Early);
                        self.reached.insert("refresh");
                    }
                    Purpose::LookUp => {
                        assert!(waited.is_none() && (cooling || self.over));
                        let step = self.policy.cool_down.first;
                        let due = self.looked.is_none_or(|at| self.now.mono >= at + step);
                        assert!(due, "one look-up a step");
                        self.reached.insert("look-up");
                    }
                    Purpose::Login => panic!("nobody logged in"),
                }
            }
            Decision::Fail(error) => {
                if is_admit {
                    assert!(!alive, "a request failed though there was a token");
                }
                let reason = match error.kind() {
                    Kind::Refused if refused => "refused",
                    Kind::Braked if newest_seen && alive && braked && self.flight.is_none() => {
                        "braked"
                    }
                    _ if told => "told the failure",
                    _ if self.flight.is_some() => panic!("failed beside a flight: {error:?}"),
                    _ if self.over => "over",
                    _ if cooling => "cooling",
                    Kind::Closed if self.closed => "closed",
                    kind => panic!("no reason to fail: {kind:?}"),
                };
                assert!(!refused || reason == "refused");
                self.reached.insert(reason);
            }
        }
    }

    fn reload(&mut self) {
        match self.machine.reload() {
            Decision::Refresh(ticket) => {
                assert!(self.flight.is_none() && !self.closed);
                let expected = if self.loaded { Purpose::LookUp } else { Purpose::Load };
                assert_eq!(ticket.purpose(), expected);
                // The program's own look is not held against the requests'.
                let looked = self.looked;
                self.hand_out(ticket);
                self.looked = looked;
            }
            Decision::Wait(serial) => assert_eq!(Some(serial), self.flight),
            Decision::Fail(_) => assert!(self.closed),
            other => panic!("{other:?}"),
        }
    }

    fn finish(&mut self, ticket: Ticket, argument: u8) {
        let owned = self.flight == Some(ticket.serial());
        let (serial, purpose) = (ticket.serial(), ticket.purpose());
        let life = self.fresh_life(argument / 8);
        let outcome = match (purpose, argument % 8) {
            (Purpose::Login, _) | (_, 0..=2) => Outcome::Fresh(life),
            (Purpose::LookUp, 3..=4) => Outcome::Unchanged,
            (Purpose::Refresh(_), 3) if self.held.is_some() => Outcome::Same(life),
            (_, 5) => Outcome::ExpiredOnArrival,
            (_, 6) if argument > 128 => rejected(),
            (_, 7) => Outcome::Failed(RefreshError::transient().with_retry_after(seconds(90))),
            _ => transient(),
        };
        let before = self.machine.outlook(&self.now);
        let told = format!("{outcome:?}");
        let outcome_is_good = matches!(outcome, Outcome::Fresh(_));
        let over_before = self.over;
        if owned {
            self.flight = None;
            self.looking = false;
            self.expect(&outcome, purpose);
        }
        match self.machine.finish(ticket, outcome, &self.now) {
            Settled::Disowned => {
                assert!(!owned, "{told}");
                assert_eq!(self.machine.outlook(&self.now), before, "it changed something: {told}");
                self.reached.insert("disowned");
            }
            Settled::Abandoned => panic!("it was finished: {told}"),
            Settled::Published => assert!(owned && outcome_is_good),
            Settled::Quiet => assert!(owned && purpose == Purpose::LookUp),
            Settled::Failed(error) => {
                assert!(owned);
                self.failed = Some(serial);
                self.cooling_until = error.retry_at();
                assert!(self.cooling_until >= Some(self.now.mono + self.policy.cool_down.first));
                if purpose != Purpose::LookUp {
                    self.looked = Some(self.now.mono);
                }
            }
            Settled::Over(_) => {
                assert!(owned && self.over);
                self.failed = Some(serial);
            }
        }
        if over_before && !self.over {
            self.reached.insert("revived");
        }
    }

    /// What an outcome must lead to.
    fn expect(&mut self, outcome: &Outcome, purpose: Purpose) {
        match outcome {
            Outcome::Fresh(life) | Outcome::Adopted(life) => {
                self.lives.push(*life);
                self.held = Some(Generation(self.lives.len() as u64));
                if purpose == Purpose::Login {
                    self.fruitless.clear();
                    self.refused_up_to = Generation(self.lives.len() as u64 - 1);
                } else if life.is_dead(&self.now) && matches!(purpose, Purpose::Refresh(_)) {
                    self.fruitless.push(self.now.mono);
                }
                (self.challenged, self.over, self.loaded) = (false, false, true);
                (self.cooling_until, self.failed, self.looked) = (None, None, None);
            }
            Outcome::Same(life) => {
                self.fruitless.push(self.now.mono);
                if let Some(held) = self.lives.last_mut() {
                    *held = held.longer(*life, &self.now);
                }
                self.loaded = true;
            }
            Outcome::ExpiredOnArrival => {
                self.fruitless.push(self.now.mono);
                (self.loaded, self.over) = (true, false);
            }
            Outcome::Unchanged | Outcome::Failed(_) => {}
            Outcome::Over(_) => self.become_over(),
        }
    }

    fn become_over(&mut self) {
        (self.held, self.challenged, self.over, self.loaded) = (None, false, true, true);
        self.cooling_until = None;
        self.fruitless.clear();
        self.refused_up_to = Generation(self.lives.len() as u64);
        self.looked = Some(self.now.mono);
    }

    fn answer_replay(&mut self, generation: Generation, endpoint: Endpoint, argument: u8) {
        if argument < 40 {
            self.machine.accepted();
            self.fruitless.clear();
            return;
        }
        if self.held > Some(generation) && generation > self.refused_up_to {
            self.reached.insert("late refusal");
        }
        if generation > self.refused_up_to {
            self.refused_up_to = generation;
            self.fruitless.push(self.now.mono);
        }
        self.refused.push((generation, endpoint));
        self.machine.refused(generation, endpoint, &self.now);
    }

    /// After the last event nobody is left waiting.
    fn end(&mut self) {
        self.asked = true;
        while let Some(ticket) = self.tickets.pop() {
            self.finish(ticket, 0);
            self.look_around();
        }
        // Each asks again once for itself, and once more for a refresh that it was told to run.
        for _ in 0..=2 * self.waiters.len() {
            for waiter in mem::take(&mut self.waiters) {
                self.ask(waiter);
                self.look_around();
            }
            while let Some(ticket) = self.tickets.pop() {
                self.finish(ticket, 7);
                self.look_around();
            }
        }
        assert!(self.waiters.is_empty(), "left waiting: {:?}", self.waiters);
    }

    fn life(&self) -> Option<&Life> {
        self.held.and(self.lives.last())
    }

    fn braked(&self) -> bool {
        let window = self.policy.brake_window;
        let recent = self.fruitless.iter().filter(|at| self.now.mono < **at + window).count();
        recent >= self.policy.brake_after
    }

    fn fresh_life(&self, argument: u8) -> Life {
        let lifetime = match argument % 6 {
            0 => return Life::UNKNOWN,
            1 => seconds(1),
            2 => seconds(20),
            3 => seconds(600),
            4 => HOUR,
            // It ran out on its way into use.
            _ => Duration::ZERO,
        };
        let expiry = Deadline::after(self.now, lifetime).unwrap();
        Life::new(&self.policy, expiry, lifetime, f64::from(argument) / 32.0)
    }
}
