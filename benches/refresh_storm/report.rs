//! Criterion's statistics, and its report in `target/criterion`.

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, SamplingMode, criterion_group};

use crate::{
    sockets::{Protocol, Sockets},
    storm::{Arena, Outcome, Who},
};

criterion_group!(groups, in_memory, cold, over_sockets);

pub(crate) fn run() {
    groups();
    Criterion::default().configure_from_args().final_summary();
}

fn in_memory(criterion: &mut Criterion) {
    for threads in [1, 2] {
        let arena = Arena::new(threads);
        let name = format!("refresh_storm/threads_{threads}");
        for n in [1, 10, 100, 1_000, 10_000] {
            let all = [Who::Ours, Who::Ideal, Who::Mutex];
            group(criterion, &name, n, &all, |who, phase| arena.storm(who, n, phase));
        }
        // A refresh for each request, one after the other.
        group(criterion, &name, 10, &[Who::Retry], |who, phase| arena.storm(who, 10, phase));
    }
}

fn cold(criterion: &mut Criterion) {
    let (arena, n) = (Arena::new(1), 10_000);
    let all = [Who::ColdOurs, Who::ColdIdeal];
    group(criterion, "refresh_storm/cold", n, &all, |who, phase| arena.storm(who, n, phase));
}

fn over_sockets(criterion: &mut Criterion) {
    let n = 1_000;
    for (name, protocol) in [("http1", Protocol::Http1), ("http2", Protocol::Http2)] {
        let sockets = Sockets::new(protocol, n);
        let name = format!("refresh_storm/{name}");
        let all = [Who::Ours, Who::Ideal, Who::Mutex];
        group(criterion, &name, n, &all, |who, phase| sockets.storm(who, phase));
        let few = Sockets::new(protocol, 10);
        group(criterion, &name, 10, &[Who::Retry], |who, phase| few.storm(who, phase));
    }
}

fn group(
    criterion: &mut Criterion,
    name: &str,
    n: usize,
    all: &[Who],
    storm: impl Fn(Who, f64) -> Outcome,
) {
    let mut group = criterion.benchmark_group(name);
    group.sampling_mode(SamplingMode::Flat).sample_size(10);
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(2));
    for &who in all {
        group.bench_with_input(BenchmarkId::new(who.to_string(), n), &who, |bencher, &who| {
            let mut storms = 0.0_f64;
            bencher.iter_custom(|times| {
                let took = (0..times).map(|_| {
                    // The golden ratio spreads the phases evenly, however many storms there are.
                    storms += 0.618_034;
                    storm(who, storms.fract()).took
                });
                took.sum()
            });
        });
    }
    group.finish();
}
