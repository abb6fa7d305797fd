//! A swap happens if what is there is as expected, wholly or not at all.

use std::{pin::pin, task::Poll};

use futures_util::future::join_all;

use super::{Pair, There, bury, done, holds, load, prepare, record, save};
use crate::{Entry, Expected, Swap, TokenStore, Version, sync::Arc};

pub(super) async fn what_is_expected_decides<S: TokenStore>(
    pair: Pair<S>,
    there: There,
    burial: bool,
    case: &str,
) {
    // A version that was current once is no better than one that never was.
    let past = match there {
        There::Nothing => None,
        There::Record | There::Tombstone => prepare(&*pair.one, There::Record).await,
    };
    let version = prepare(&*pair.one, there).await;
    let before = load(&*pair.other).await.map(|stored| stored.entry);
    let never = Version::new(0x5eed_5eed_5eed_5eed);
    let expected = match case {
        "any" => Expected::Any,
        "absent" => Expected::Absent,
        "this version" => Expected::Version(version.unwrap_or(never)),
        _ => Expected::Version(past.unwrap_or(never)),
    };
    let admits = expected.admits(version);
    let act = if burial { "bury" } else { "store" };
    let (swap, after) = if burial {
        (bury(&*pair.other, expected).await, Entry::Tombstone)
    } else {
        let record = record(7);
        (save(&*pair.other, expected, &record).await, Entry::Live(record))
    };
    let rule = format!(
        "compare-and-{act} {} where it expects {case} and finds {there:?}",
        if admits { "swaps" } else { "answers `Moved` and changes nothing" }
    );
    assert_eq!(matches!(swap, Swap::Done(_)), admits, "{rule}, but it answered {swap:?}");
    let after = if admits { Some(&after) } else { before.as_ref() };
    holds(&*pair.one, after, &rule).await;
    let now = load(&*pair.one).await.map(|stored| stored.version);
    match swap {
        Swap::Done(new) => assert_eq!(now, Some(new), "{rule}, and says which version it became"),
        Swap::Moved => assert_eq!(now, version, "{rule}, its version either"),
    }
}

pub(super) async fn a_late_save_does_not_undo_a_burial<S: TokenStore>(pair: Pair<S>) {
    let read = prepare(&*pair.one, There::Record).await;
    let _ = bury(&*pair.other, Expected::Any).await;
    let rule = "a late save does not undo a burial";
    for expected in read.map(Expected::Version).into_iter().chain([Expected::Absent]) {
        let swap = save(&*pair.one, expected, &record(2)).await;
        assert_eq!(swap, Swap::Moved, "{rule}");
        holds(&*pair.other, Some(&Entry::Tombstone), rule).await;
    }
}

pub(super) async fn a_login_replaces_a_tombstone<S: TokenStore>(pair: Pair<S>) {
    prepare(&*pair.one, There::Tombstone).await;
    let rule = "a login replaces a tombstone";
    let login = record(3);
    let version = done(save(&*pair.other, Expected::Any, &login).await, rule);
    holds(&*pair.one, Some(&Entry::Live(login)), rule).await;
    let next = save(&*pair.one, Expected::Version(version), &record(4)).await;
    done(next, "the version that a swap told is the one that the next expects");
}

const RACERS: u64 = 16;

pub(super) async fn of_racing_swaps_one_happens<S: TokenStore>(pair: Pair<S>, there: There) {
    let rule = "of many swaps at once that expect the same, exactly one happens";
    let mut version = prepare(&*pair.one, there).await;
    for round in 0..8 {
        // An emptied store admits any version, so only a seed's race begins from nothing.
        let expected = version.map_or(Expected::Absent, Expected::Version);
        let racers = (1..=RACERS).map(|racer| {
            let store = if racer % 2 == 0 { &pair.one } else { &pair.other };
            let (store, number) = (Arc::clone(store), round * RACERS + racer);
            tokio::spawn(async move { (number, save(&*store, expected, &record(number)).await) })
        });
        let mut winners = Vec::new();
        for racer in join_all(racers).await {
            match racer {
                Ok((number, Swap::Done(version))) => winners.push((number, version)),
                Ok((_, Swap::Moved)) => {}
                Err(failure) => std::panic::resume_unwind(failure.into_panic()),
            }
        }
        let [(number, won)] = winners[..] else { panic!("{rule}, but {} did", winners.len()) };
        holds(&*pair.one, Some(&Entry::Live(record(number))), "what won a race is there").await;
        version = Some(won);
    }
}

pub(super) async fn of_a_racing_save_and_burial_one_happens<S: TokenStore>(pair: Pair<S>) {
    for number in 0..16 {
        let version = done(
            save(&*pair.one, Expected::Any, &record(number)).await,
            "whatever is there, `Expected::Any` admits it",
        );
        let expected = Expected::Version(version);
        let (one, other) = (Arc::clone(&pair.one), Arc::clone(&pair.other));
        let next = record(number + 1);
        let saved = tokio::spawn(async move { save(&*one, expected, &next).await });
        let buried = tokio::spawn(async move { bury(&*other, expected).await });
        let (saved, buried) = (joined(saved).await, joined(buried).await);
        let happened = [saved, buried].into_iter().filter(|swap| matches!(swap, Swap::Done(_)));
        assert_eq!(
            happened.count(),
            1,
            "of a save and a burial at once that expect the same, exactly one happens"
        );
        let entry = match saved {
            Swap::Done(_) => Entry::Live(record(number + 1)),
            Swap::Moved => Entry::Tombstone,
        };
        holds(&*pair.one, Some(&entry), "what won a race is there").await;
    }
}

pub(super) async fn a_reader_sees_whole_records_in_their_order<S: TokenStore>(pair: Pair<S>) {
    const SWAPS: u64 = 200;
    let _ = save(&*pair.one, Expected::Any, &record(0)).await;
    let writer = Arc::clone(&pair.one);
    let writer = tokio::spawn(async move {
        for number in 1..=SWAPS {
            let _ = save(&*writer, Expected::Any, &record(number)).await;
            // Not each time, or on one thread writer and reader could go in step.
            if number % 2 == 0 {
                tokio::task::yield_now().await;
            }
        }
    });
    let mut newest = 0;
    loop {
        let ended = writer.is_finished();
        let Some(Entry::Live(loaded)) = load(&*pair.other).await.map(|stored| stored.entry) else {
            panic!("a reader always finds the old record or the new one, but there was none");
        };
        let number = (newest..=SWAPS)
            .find(|number| super::records::difference(&loaded, &record(*number)).is_none());
        let Some(number) = number else {
            panic!("a reader sees whole records in their order, but found half of one or an older");
        };
        if ended || number == SWAPS {
            assert_eq!(number, SWAPS, "a reader finds the newest record, but found an older one");
            break;
        }
        newest = number;
        tokio::task::yield_now().await;
    }
    joined(writer).await;
}

pub(super) async fn a_dropped_swap_happened_or_did_not<S: TokenStore>(pair: Pair<S>) {
    let rule = "a swap that is dropped on its way has happened or not";
    for polls in 0..24 {
        let (old, new) = (record(2 * polls), record(2 * polls + 1));
        let saved = save(&*pair.one, Expected::Any, &old).await;
        let version = done(saved, "whatever is there, `Expected::Any` admits it");
        {
            let swap = pair.one.compare_and_store(Expected::Version(version), new.clone());
            let mut swap = pin!(swap);
            for _ in 0..polls {
                let polled = std::future::poll_fn(|cx| Poll::Ready(swap.as_mut().poll(cx))).await;
                if polled.is_ready() {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        // Work that went on elsewhere may still land: either is right, and nothing else.
        let Some(Entry::Live(found)) = load(&*pair.other).await.map(|stored| stored.entry) else {
            panic!("{rule}, but the record is gone");
        };
        let whole = [&old, &new]
            .into_iter()
            .any(|record| super::records::difference(&found, record).is_none());
        assert!(whole, "{rule}, but the record is neither the old nor the new one");
        done(
            save(&*pair.other, Expected::Any, &old).await,
            "after a swap that was dropped the store goes on",
        );
    }
}

async fn joined<T>(task: tokio::task::JoinHandle<T>) -> T {
    match task.await {
        Ok(output) => output,
        Err(failure) => std::panic::resume_unwind(failure.into_panic()),
    }
}
