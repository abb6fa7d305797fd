//! What a valid token costs, in instructions and allocations: wall times on a busy machine are no facts.
//!
//! `cargo bench --bench instructions` runs each case beneath callgrind (`valgrind`), at two lengths, and
//! prints what one request costs beside `tower_http`'s `AddAuthorizationLayer` with a constant token.
//! With `-- --check` it fails where a goal is missed.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    convert::Infallible,
    env, fs,
    future::{Ready, ready},
    hint::black_box,
    pin::pin,
    process::Command,
    sync::atomic::{AtomicU64, Ordering},
    task::{Context, Poll, Waker},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body_util::Full;
use tower::{Layer, Service, ServiceBuilder};
use tower_http::auth::AddAuthorizationLayer;
use tower_reauth::{
    AccessToken, AuthLayer, Held, NoReplay, RefreshError, RefreshLayer, Session, TokenSet,
    source_fn,
};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call is handed to the system's allocator as it came.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Answers at once, and drops the request.
#[derive(Clone)]
struct Api;

impl<B> Service<Request<B>> for Api {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        black_box(&request);
        ready(Ok(Response::new(Full::default())))
    }
}

fn request(body: Full<Bytes>) -> Request<Full<Bytes>> {
    let mut request = Request::new(body);
    *request.uri_mut() = http::Uri::from_static("https://api.example.com/v1/orders");
    let headers = request.headers_mut();
    headers.insert("accept", HeaderValue::from_static("application/json"));
    headers.insert("user-agent", HeaderValue::from_static("bench/1"));
    request
}

fn token(length: usize) -> AccessToken {
    AccessToken::new("t".repeat(length)).expect("letters make a token")
}

fn session(length: usize) -> Session {
    let source = source_fn(|_: Held| async { Err(RefreshError::transient()) });
    let tokens = TokenSet::new(token(length)).expires_in(Duration::from_secs(3600));
    let session = Session::builder(source)
        .tokens(tokens)
        .origin("https://api.example.com")
        .build()
        .expect("the origin is one");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.expect("a runtime starts").block_on(session.token()).expect("the seed is valid");
    session
}

fn drive<S>(mut service: S, times: u64, request: impl Fn() -> Request<Full<Bytes>>)
where
    S: Service<Request<Full<Bytes>>>,
{
    let cx = &mut Context::from_waker(Waker::noop());
    for _ in 0..times {
        assert!(service.poll_ready(cx).is_ready());
        let answer = pin!(service.call(request())).poll(cx);
        assert!(matches!(answer, Poll::Ready(Ok(_))));
    }
}

const CASES: &[&str] = &[
    "b",
    "auth",
    "auth_40",
    "refresh",
    "refresh_1k",
    "b_1k",
    "refresh_64k",
    "b_64k",
    "no_replay",
    "b_no_replay",
];

fn run(case: &str, times: u64) {
    let b = |length: usize| AddAuthorizationLayer::bearer(token(length).expose_secret()).layer(Api);
    let refresh = || {
        let session = session(900);
        ServiceBuilder::new()
            .layer(RefreshLayer::new(session.clone()))
            .layer(AuthLayer::new(session))
            .service(Api)
    };
    let empty = || request(Full::default());
    let sized = |size: usize| {
        // A body of its own for each request, as programs have; its making costs both sides the same.
        move || request(Full::new(Bytes::from(vec![7; size])))
    };
    let unkept = || {
        let mut request = empty();
        request.extensions_mut().insert(NoReplay);
        request
    };
    match case {
        "b" => drive(b(900), times, empty),
        "auth" => drive(AuthLayer::new(session(900)).layer(Api), times, empty),
        "auth_40" => drive(AuthLayer::new(session(40)).layer(Api), times, empty),
        "refresh" => drive(refresh(), times, empty),
        "refresh_1k" => drive(refresh(), times, sized(1024)),
        "b_1k" => drive(b(900), times, sized(1024)),
        "refresh_64k" => drive(refresh(), times, sized(64 * 1024)),
        "b_64k" => drive(b(900), times, sized(64 * 1024)),
        "no_replay" => drive(refresh(), times, unkept),
        "b_no_replay" => drive(b(900), times, unkept),
        _ => panic!("no case is called {case}"),
    }
}

/// What one request costs: the difference of two runs, so that set-up does not count.
struct Cost {
    instructions: f64,
    allocations: f64,
}

const FEW: u64 = 1_000;
const MANY: u64 = 3_000;

fn measure(case: &str) -> Cost {
    let (few, many) = (callgrind(case, FEW), callgrind(case, MANY));
    let instructions = (many - few) as f64 / (MANY - FEW) as f64;
    run(case, 10);
    let count = |times| {
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        run(case, times);
        ALLOCATIONS.load(Ordering::Relaxed) - before
    };
    let allocations = (count(MANY) as f64 - count(FEW) as f64) / (MANY - FEW) as f64;
    Cost { instructions, allocations }
}

fn callgrind(case: &str, times: u64) -> u64 {
    let out = env::temp_dir().join(format!("callgrind-{}-{case}-{times}", std::process::id()));
    let status = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(env::current_exe().expect("this program has a path"))
        .args(["--case", case, "--times", &times.to_string()])
        .status()
        .expect("valgrind is needed: apt-get install valgrind");
    assert!(status.success(), "callgrind failed on {case}");
    let report = fs::read_to_string(&out).expect("callgrind wrote its report");
    let _ = fs::remove_file(&out);
    let total = report.lines().find_map(|line| line.strip_prefix("summary: "));
    total.and_then(|total| total.trim().parse().ok()).expect("the report has a sum")
}

fn main() {
    let arguments: Vec<String> = env::args().collect();
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).cloned()
    };
    if let (Some(case), Some(times)) = (value("--case"), value("--times")) {
        return run(&case, times.parse().expect("times is a number"));
    }
    println!("{:<14}{:>14}{:>10}{:>14}", "case", "instructions", "ratio", "allocations");
    let mut b = None;
    for case in CASES {
        let cost = measure(case);
        let base = *b.get_or_insert(cost.instructions);
        println!(
            "{case:<14}{:>14.1}{:>10.3}{:>14.2}",
            cost.instructions,
            cost.instructions / base,
            cost.allocations
        );
    }
}
