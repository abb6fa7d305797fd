//! What a store costs: the lease, a load, and a compare-and-store. A refresh needs one lease, one load and two
//! compare-and-stores; a request with a valid token needs none of them.
//!
//! ```console
//! $ cargo bench --bench stores --features keyring,redis
//! ```
//!
//! Criterion's report is at `target/criterion/report/index.html`. `-- --test` runs each case once. The file is in the
//! folder for temporary files, so what flushing it costs is what that file system makes of it (`TMPDIR` names
//! another); Redis is a `redis-server` of this bench, on loopback. The keyring is the kernel's, and is left out,
//! with a word, where that cannot be used.

mod server;

use std::{
    cell::Cell,
    time::{Duration, Instant},
};

use criterion::{
    BenchmarkGroup, Criterion, criterion_group, criterion_main, measurement::WallTime,
};
use tokio::runtime::Runtime;
use tower_reauth::{
    AccessToken, Expected, FileStore, Keyring, KeyringStore, MemoryStore, Record, RefreshToken,
    Sealed, SealingKey, Swap, TokenSet, TokenStore, Version,
};

use self::server::Redis;

/// With tokens as long as those of servers that issue JWTs.
fn record() -> Record {
    let access = AccessToken::new("t".repeat(900)).expect("letters make a token");
    let refresh = RefreshToken::new("r".repeat(40)).expect("letters make a token");
    Record::new(TokenSet::new(access).refresh_token(refresh))
        .issuer(Some("https://login.example.com"))
}

async fn store(store: &impl TokenStore, expected: Expected) -> Version {
    match store.compare_and_store(expected, record()).await.expect("the store works") {
        Swap::Done(version) => version,
        Swap::Moved => panic!("nobody else writes"),
    }
}

/// `lessee` is the store whose lease is taken next.
fn measure<S: TokenStore>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    runtime: &Runtime,
    name: &str,
    subject: &S,
    lessee: impl Fn() -> Option<S>,
) {
    runtime.block_on(store(subject, Expected::Any));
    group.bench_function(format!("{name}: lease"), |bench| {
        bench.iter_custom(|times| {
            runtime.block_on(async {
                let mut took = Duration::ZERO;
                for _ in 0..times {
                    let other = lessee();
                    let start = start_of_clock();
                    let lease = other.as_ref().unwrap_or(subject).lease().await;
                    drop(lease.expect("the store works"));
                    took += start.elapsed();
                }
                took
            })
        });
    });
    group.bench_function(format!("{name}: load"), |bench| {
        bench
            .to_async(runtime)
            .iter(|| async { subject.load().await.expect("the store works").expect("a record") });
    });
    group.bench_function(format!("{name}: compare-and-store"), |bench| {
        bench.iter_custom(|times| {
            runtime.block_on(async {
                let mut version = store(subject, Expected::Any).await;
                let start = start_of_clock();
                for _ in 0..times {
                    version = store(subject, Expected::Version(version)).await;
                }
                start.elapsed()
            })
        });
    });
}

// The library reads time in one place; a bench is another program.
#[allow(clippy::disallowed_methods)]
fn start_of_clock() -> Instant {
    Instant::now()
}

fn key() -> SealingKey {
    SealingKey::from_bytes("bench", [7; 32]).expect("32 bytes")
}

fn stores(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str| FileStore::open(folder.path().join(name)).expect("a file");
    let redis = Redis::start();
    let mut group = criterion.benchmark_group("stores");
    measure(&mut group, &runtime, "memory", &MemoryStore::new(), || None);
    measure(&mut group, &runtime, "file", &file("plain"), || None);
    let sealed = Sealed::new(file("sealed"), key(), "bench");
    measure(&mut group, &runtime, "sealed file", &sealed, || None);
    let shared = redis.store();
    // It is given back in the background, so each lease is that of another session.
    let number = Cell::new(0_u64);
    let next = || {
        number.set(number.get() + 1);
        Some(shared.session(&format!("session {}", number.get() % 64)))
    };
    measure(&mut group, &runtime, "redis", &shared, next);
    let keyring = Keyring::new("tower-reauth bench", "bench").keyutils();
    let kernel = KeyringStore::open(keyring, folder.path().join("keyring"));
    let kernel = kernel.expect("a path for its locks");
    match runtime.block_on(kernel.load()) {
        Ok(_) => measure(&mut group, &runtime, "keyring", &kernel, || None),
        Err(error) => eprintln!("no keyring of the kernel to measure: {error}"),
    }
    group.finish();
}

fn short() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3))
}

criterion_group! {
    name = benches;
    config = short();
    targets = stores
}
criterion_main!(benches);
