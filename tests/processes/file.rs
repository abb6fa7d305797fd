//! Eight processes, one file.

use std::time::Duration;

use tower_reauth::FileStore;

use crate::{
    Scenario, block_on,
    stage::{Run, Stage, kills},
    worker::Place,
};

pub(crate) const SCENARIOS: &[Scenario] = &[
    ("file: a server with a grace window loses no session and refuses no survivor", with_grace),
    ("file: a strict server ends a session only for an answer that was lost by a kill", strict),
];

const RUN: Duration = Duration::from_secs(30);

fn with_grace() {
    let run = run(Duration::from_secs(3600));
    run.assert_only_kills_are_to_blame();
    run.assert_nobody_was_logged_out();
}

fn strict() {
    let run = run(Duration::ZERO);
    run.assert_only_kills_are_to_blame();
    run.assert_each_end_is_accounted_for();
}

fn run(grace: Duration) -> Run {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app/session.json");
        let open = || FileStore::open(&path).unwrap();
        kills(Stage::new(Place::File(path.clone()), open, grace).await, RUN).await
    })
}
