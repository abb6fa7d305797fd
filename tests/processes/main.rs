//! One session, many processes, and some of them killed at any moment.
//!
//! | what | shows |
//! |---|---|
//! | [`file`] | eight processes share one `FileStore` and one rotating session, and are killed ten times a second |
//! | [`fleet`] | the same over `RedisStore`; processes that stand still past their lease; a Redis that comes back empty; many sessions |
//! | [`crashes`] | a process is killed while it saves, two hundred times |
//!
//! This program is its own [`worker`]: it starts itself for every process that a scenario needs. What a worker does
//! it says by a line on its standard output, a [`report`]; a [`crew`] starts, kills and replaces workers; an
//! [`account`] is drawn up from two sides that do not know each other, the reports and the server's log.
//!
//! `tests/run processes` builds and runs it; the program itself takes parts of the scenarios' names. A plain
//! `cargo test` leaves it out: a scenario runs for half a minute of real time. Nothing here asserts on time.

// Workers are killed and measured in real time.
#![cfg_attr(reauth_processes, allow(clippy::disallowed_methods))]

#[cfg(reauth_processes)]
mod account;
#[cfg(reauth_processes)]
mod crashes;
#[cfg(reauth_processes)]
mod crew;
#[cfg(reauth_processes)]
mod file;
#[cfg(all(reauth_processes, feature = "redis"))]
mod fleet;
#[cfg(all(reauth_processes, feature = "redis"))]
mod redis;
#[cfg(reauth_processes)]
mod report;
#[cfg(reauth_processes)]
mod stage;
#[cfg(reauth_processes)]
mod watched;
#[cfg(reauth_processes)]
mod worker;

#[cfg(not(reauth_processes))]
fn main() {
    println!("left out: run tests/run processes");
}

#[cfg(reauth_processes)]
fn main() -> std::process::ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("worker") => worker::run(&arguments[1..]),
        Some("writer") => crashes::write(&arguments[1..]),
        _ => return scenarios(&arguments),
    }
    std::process::ExitCode::SUCCESS
}

/// A scenario fails by a panic.
#[cfg(reauth_processes)]
type Scenario = (&'static str, fn());

#[cfg(reauth_processes)]
fn scenarios(wanted: &[String]) -> std::process::ExitCode {
    let all = [
        crashes::SCENARIOS,
        file::SCENARIOS,
        #[cfg(feature = "redis")]
        fleet::SCENARIOS,
    ]
    .concat();
    let (mut passed, mut failed) = (0, 0);
    for (name, scenario) in all {
        if !wanted.is_empty() && !wanted.iter().any(|part| name.contains(part.as_str())) {
            continue;
        }
        println!("{name} …");
        if std::panic::catch_unwind(scenario).is_ok() {
            passed += 1;
        } else {
            failed += 1;
            println!("{name}: FAILED");
        }
    }
    println!("{passed} passed, {failed} failed");
    if failed == 0 && passed > 0 {
        std::process::ExitCode::SUCCESS
    } else {
        std::process::ExitCode::FAILURE
    }
}

#[cfg(reauth_processes)]
fn block_on<T>(scenario: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(scenario)
}
