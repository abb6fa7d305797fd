//! Thousands of requests at once, over real sockets, while their access tokens run out and are revoked.
//!
//! ```console
//! $ cargo run --release --example storm
//! $ cargo run --release --example storm -- --seconds 60 --chaos
//! ```
//!
//! Both servers of the test kit listen on loopback sockets. Waves of requests go through the stack, half
//! of them over HTTP/1.1 and half over HTTP/2, half of them `GET` and half `POST` with a body that is
//! compared at the echo. Access tokens live for two seconds; in a lull now and then the token runs out
//! with nobody there to refresh it, so that a whole wave finds it dead. Every five seconds all access
//! tokens are revoked in the middle of a wave. With `--chaos` the token endpoint fails after each
//! refresh, in a way that the next refresh must survive: too busy, slow, gone, or gone with the answer.
//!
//! # Where the queue belongs
//!
//! Two thousand requests do not fit through a hundred connections, so most of them queue somewhere, and
//! a queue in the wrong place spoils the tokens:
//!
//! ```text
//! RefreshLayer        a request that waits for a token holds no permit
//!   ConcurrencyLimit  the queue
//!     AuthLayer       attaches the newest token to what leaves the queue
//!       hyper         a connection, or a stream, is free: on the wire at once
//! ```
//!
//! *Beneath* `AuthLayer`, in the client's pool or before HTTP/2's limit of streams, a token would grow old
//! between its header and the wire. Each request would then reach the server in the end with a token of
//! the past, be challenged, be sent again and queue once more: the two replays of a request cover a
//! stall, not a queue that is longer than a lifetime. *Above* `RefreshLayer` requests that wait for a
//! token would hold all permits, and at most that many could ever learn of the new one at once.
//!
//! In its place the queue may be of any length: it is passed before the token is attached. What is left
//! is the way from there to the server's verdict. A token is not attached in the last tenth of its life,
//! 200 ms here, so a slower way than that costs a challenge and a replay, with a newer token.
//!
//! # The last line
//!
//! ```text
//! requests=N ok=N unauthorized=0 failed=0 expiries=E revocations=V rotations=R reused_refresh_tokens=0
//! ```
//!
//! `expiries` are the access tokens that were replaced because their time was up or nearly so,
//! `revocations` the times at which all of them were revoked, `rotations` the refresh tokens that the
//! server replaced. A refresh never starts before 0.73 of a lifetime without a challenge, so `rotations`
//! is at most `elapsed / (0.73 × lifetime) + revocations + 1`. The exit code is not zero if it is more, if
//! a single request failed or saw a 401, or if a refresh token came a second time without an answer to it
//! having been lost.

mod report;
mod stack;
mod trip;
mod trouble;
mod wave;

use std::{num::NonZeroUsize, process::ExitCode, time::Duration};

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::runtime::{self, Handle, Runtime};
use tower_reauth::{
    BoxError,
    testing::{AuthorizationServer, ResourceServer},
};

use self::{report::Report, stack::Stacks, trip::now, trouble::Trouble};

/// How long access tokens live.
const LIFETIME: Duration = Duration::from_secs(2);
/// How long the waves roll before a lull.
const STORM: Duration = Duration::from_millis(3500);

/// Thousands of requests at once, while their access tokens run out and are revoked.
#[derive(Parser)]
struct Arguments {
    /// How long it goes on.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// How many requests are under way at once.
    #[arg(long, default_value = "2000")]
    concurrency: NonZeroUsize,
    /// Let the token endpoint fail now and then, for less long than a refresh keeps trying.
    #[arg(long)]
    chaos: bool,
}

fn main() -> Result<ExitCode, BoxError> {
    let arguments = Arguments::parse();
    // An authorization server is another machine, with a pace of its own: two thousand requests that
    // queue here must not make it slow. The refreshes run there too, for the same reason.
    let elsewhere = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    Runtime::new()?.block_on(storm(arguments, elsewhere.handle()))
}

async fn storm(arguments: Arguments, elsewhere: &Handle) -> Result<ExitCode, BoxError> {
    let authorization = AuthorizationServer::new();
    authorization.lifetime(LIFETIME);
    let api = ResourceServer::new(&authorization);
    let server = authorization.clone();
    let token_endpoint = elsewhere.spawn(async move { server.serve().await }).await??;
    let api_socket = api.serve().await?;

    let session = stack::session(&authorization, &token_endpoint, &api_socket, elsewhere)?;
    let stacks = Stacks::new(&session, &api_socket);
    let mut trouble = Trouble::new(&authorization, session.events(), arguments.chaos);
    let mut report = Report::default();

    let length = Duration::from_secs(arguments.seconds);
    let bar = progress_bar(length)?;
    let begin = now();
    let mut calm_since = begin;
    while begin.elapsed() < length {
        wave::roll(arguments.concurrency.get(), &stacks, &mut trouble, &mut report, |report| {
            bar.set_position(begin.elapsed().as_millis() as u64);
            bar.set_message(report.progress());
        })
        .await;
        if calm_since.elapsed() > STORM {
            // Nobody asks, so nobody refreshes.
            while session.peek().is_some() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            calm_since = now();
        }
    }
    let elapsed = begin.elapsed();
    bar.finish_and_clear();
    session.close().await?;

    let connections = stacks.connections_opened();
    report.print(elapsed, &authorization, &api, &mut trouble, connections);
    Ok(report.verdict(elapsed, &authorization, &trouble))
}

fn progress_bar(length: Duration) -> Result<ProgressBar, BoxError> {
    let style = ProgressStyle::with_template("{wide_bar} {elapsed} {msg}")?;
    Ok(ProgressBar::new(length.as_millis() as u64).with_style(style))
}
