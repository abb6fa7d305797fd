//! What a valid token costs, in instructions and allocations: wall times on a busy machine are no facts.
//!
//! ```console
//! $ cargo run --release --manifest-path benches/instructions/Cargo.toml
//! $ cargo run --release --manifest-path benches/instructions/Cargo.toml -- --check
//! $ cargo run --release --manifest-path benches/instructions/Cargo.toml -- --markdown
//! ```
//!
//! Each case runs beneath callgrind (`valgrind`), at two lengths, and beside `tower_http`'s
//! `AddAuthorizationLayer` with a constant token, called B: same inner service, same request, its making
//! included on both sides. The difference of the two lengths is what one request costs, so the set-up does
//! not count.
//!
//! What the kernel does is not counted, and beneath valgrind a clock is read by the kernel: a reading, 20
//! to 30 ns in fact, seems to be next to nothing. `cargo bench --bench attach` shows its time.
//!
//! With `--check` the exit code is not zero where a figure is beyond its limit; with `--markdown` the
//! figures and their goals are a table. Both are in `limits.rs`.

mod allocator;
mod cases;
mod count;
#[path = "../../support/frames.rs"]
mod frames;
mod limits;
mod row;

use std::{env, process::ExitCode};

use crate::{count::Costs, row::Row};

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let outcome = match &*arguments.iter().map(String::as_str).collect::<Vec<_>>() {
        [] => Costs::measure().map(|costs| {
            print!("{costs}");
            print_markdown(&limits::rows(&costs));
            ExitCode::SUCCESS
        }),
        ["--check"] => Costs::measure().map(|costs| check(&limits::rows(&costs))),
        ["--markdown"] => Costs::measure().map(|costs| {
            print_markdown(&limits::rows(&costs));
            ExitCode::SUCCESS
        }),
        [case, times] => cases::run(case, times).map(|()| ExitCode::SUCCESS),
        _ => Err("arguments: none, --check or --markdown".to_owned()),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("{error}");
        ExitCode::FAILURE
    })
}

fn check(rows: &[Row]) -> ExitCode {
    let mut failed = false;
    for row in rows {
        let verdict = if row.is_met() { "ok  " } else { "FAIL" };
        failed |= !row.is_met();
        println!("{verdict} {row}");
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn print_markdown(rows: &[Row]) {
    println!("| what | ours | goal |\n|---|---|---|");
    for row in rows {
        println!("{}", row.markdown());
    }
}
