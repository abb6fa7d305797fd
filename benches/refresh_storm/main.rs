//! Requests that are all rejected at once: how long until all are answered, beside the least that any
//! client could need, and what they hold meanwhile.
//!
//! | command | what it does |
//! |---|---|
//! | `cargo bench --bench refresh_storm` | criterion's statistics and report |
//! | `cargo bench --bench refresh_storm -- --table` | the tables of the readme |
//! | `cargo bench --bench refresh_storm -- --plot` | its plots |
//! | `cargo bench --bench refresh_storm -- --check` | counts and memory budgets, without wall times |
//!
//! In each storm the API holds its rejections until all requests are in, a refresh takes 5 ms, and then
//! all requests are sent again. The ideal knows both tokens beforehand: its tasks do nothing but two sends
//! and one shared wait. Every storm is checked: one refresh, two sends for each request, no failure.

mod api;
mod check;
mod contenders;
mod held;
mod idle;
mod memory;
mod plot;
mod report;
mod rounds;
mod sockets;
mod storm;
mod support;
mod table;
mod tokens;

use std::env;

fn main() {
    memory::keep_pages();
    let asked = |flag: &str| env::args().any(|argument| argument == flag);
    let (check, table, plot) = (asked("--check"), asked("--table"), asked("--plot"));
    if check {
        check::check();
    }
    if table {
        table::print();
    }
    if plot {
        plot::draw().expect("the plots can be written");
    }
    if !(check || table || plot) {
        report::run();
    }
}
