//! A process killed while it saves.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use tower_reauth::{AccessToken, Entry, Expected, FileStore, Record, Swap, TokenSet, TokenStore};

use crate::Scenario;

pub(crate) const SCENARIOS: &[Scenario] =
    &[("crashes: two hundred kills leave the old record or the new one", kills)];

const KILLS: u64 = 200;

/// Records of different lengths, each told by its access token.
fn record(number: u64) -> Record {
    let token = format!("{number}.{}", "x".repeat(usize::try_from(number % 7).unwrap() * 3000));
    Record::new(TokenSet::new(AccessToken::new(token).unwrap()))
}

fn number(path: &Path) -> u64 {
    let store = FileStore::open(path).unwrap();
    let load = store.load();
    let stored = futures::executor::block_on(load).expect("a record, whole");
    let Some(Entry::Live(found)) = stored.map(|stored| stored.entry) else { panic!("no record") };
    let token = found.tokens().access().expose_secret().to_owned();
    let number = token.split_once('.').unwrap().0.parse().unwrap();
    assert!(found == record(number), "the whole of number {number}");
    number
}

/// The process: save one record after the other, and say so before and after.
pub(crate) fn write(arguments: &[String]) {
    let [path, first] = arguments else { panic!("not the arguments") };
    let store = FileStore::open(path).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut output = std::io::stdout();
    // More than it can do before it is killed.
    for number in first.parse().unwrap()..u64::MAX {
        writeln!(output, "saving {number}").unwrap();
        let swap = runtime.block_on(store.compare_and_store(Expected::Any, record(number)));
        assert!(matches!(swap, Ok(Swap::Done(_))), "{swap:?}");
        writeln!(output, "saved {number}").unwrap();
    }
}

/// Case 43.
fn kills() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app/session.json");
    let (mut next, mut in_the_middle) = (0, 0);
    for _ in 0..KILLS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["writer", path.to_str().unwrap(), &next.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // It goes on where another was killed.
        let first = lines.by_ref().map(Result::unwrap).find(|line| line.starts_with("saved"));
        let first = first.expect("the next writer goes on");
        thread::sleep(Duration::from_micros(fastrand::u64(..8_000)));
        child.kill().unwrap();
        child.wait().unwrap();
        let last = lines.map(Result::unwrap).last().unwrap_or(first);
        let (word, last) = last.split_once(' ').unwrap();
        let last: u64 = last.parse().unwrap();

        let found = number(&path);
        if word == "saved" {
            assert_eq!(found, last, "what was saved is there");
        } else {
            in_the_middle += 1;
            assert!(found == last || found + 1 == last, "{found} after an attempt at {last}");
        }
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(path.parent().unwrap()), 0o700);
        next = last + 1;
    }
    println!("  {KILLS} kills, {in_the_middle} of them during a save, {next} saves");
    assert!(in_the_middle > 0);
}
