//! The tables, in Markdown.

use crate::{
    api::Api,
    held::{self, allocations},
    idle::idle,
    rounds::{Times, take_turns},
    sockets::{Protocol, Sockets},
    storm::{Arena, Who},
};

/// How many requests wait when their memory is counted.
pub(crate) const CROWD: usize = 10_000;
pub(crate) const SESSIONS: usize = 1_000;

/// Storms of so many requests, in so many rounds.
const SIZES: [(usize, usize); 5] = [(1, 21), (10, 21), (100, 31), (1_000, 51), (10_000, 31)];

pub(crate) fn print() {
    println!(
        "| storm | requests | refreshes | sends | failed | took | over the ideal | least over least | `Mutex` client over the ideal |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|---:|---:|");
    for threads in [1, 2] {
        let arena = Arena::new(threads);
        let name = if threads == 1 { "one thread" } else { "two threads" };
        for (n, rounds) in SIZES {
            let all = [Who::Ours, Who::Ideal, Who::Mutex];
            row(name, n, &take_turns(&all, rounds, |who, phase| arena.storm(who, n, phase)));
        }
        let all = [Who::ColdOurs, Who::ColdIdeal];
        let times = take_turns(&all, 31, |who, phase| arena.storm(who, 10_000, phase));
        row(&format!("{name}, no token yet"), 10_000, &times);
    }
    for (name, protocol) in [("HTTP/1.1", Protocol::Http1), ("HTTP/2", Protocol::Http2)] {
        let sockets = Sockets::new(protocol, 1_000);
        let all = [Who::Ours, Who::Ideal, Who::Mutex];
        let times = take_turns(&all, 31, |who, phase| sockets.storm(who, phase));
        row(name, 1_000, &times);
    }
    println!();
    retry_policy();
    println!();
    memory();
}

fn row(name: &str, n: usize, times: &[Times]) {
    let [ours, ideal, rest @ ..] = times else { return };
    let (median, least) = ours.over(ideal);
    // With few requests the minimum tells on which tick the timer was caught, and nothing else.
    let least = if n < 1_000 { String::new() } else { format!("{least:.2}") };
    let took = ours.median().as_secs_f64() * 1000.0;
    let last = ours.last;
    let mutex = rest.first().map(|mutex| format!("{:.2}", mutex.over(ideal).0));
    println!(
        "| {name} | {n} | {} | {} | {} | {took:.1} ms | {median:.2} | {least} | {} |",
        last.refreshes,
        last.sends,
        last.failures,
        mutex.unwrap_or_default()
    );
}

/// It takes a refresh for each request, one after the other, so once is enough.
fn retry_policy() {
    let (arena, n) = (Arena::new(1), 100);
    let outcome = arena.storm(Who::Retry, n, 0.5);
    println!(
        "A `tower::retry` policy: {} refreshes for {n} requests, {:.0} ms.",
        outcome.refreshes,
        outcome.took.as_secs_f64() * 1000.0
    );
}

fn memory() {
    let plain = held::in_flight(CROWD);
    let waiting = held::waiting(CROWD, Api::new(CROWD));
    let told = held::waiting(CROWD, Api::with_challenge(CROWD));
    let made = allocations(1_000);
    let idle = idle(SESSIONS);
    println!("| memory | |");
    println!("|---|---:|");
    println!(
        "| a waiting request, beyond one in flight | {:.0} bytes |",
        waiting.bytes - plain.bytes
    );
    println!("| with the header fields of its rejection | {:.0} bytes |", told.bytes - plain.bytes);
    println!("| its blocks | {:?} |", waiting.blocks);
    println!("| those of a request in flight | {:?} |", plain.blocks);
    println!("| allocations of a stormed request, beyond B's | {:.2} |", made.stormed - made.plain);
    println!("| beyond one with a valid token | {:.2} |", made.stormed - made.calm);
    println!("| beyond the ideal's | {:.2} |", made.stormed - made.ideal);
    println!("| an idle session, beyond its tokens | {:.0} bytes |", idle.bytes);
    println!("| copies of its access token | {:.2} |", idle.copies);
    println!("| its blocks | {:?} |", idle.blocks);
    println!("| tasks of {SESSIONS} idle sessions | {} |", idle.tasks);
}
