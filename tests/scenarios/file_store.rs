//! One record in a file, between the handles and processes of one machine.

use std::path::PathBuf;

use tempfile::TempDir;
use tower_reauth::{FileStore, testing::store_contract};

/// A folder of this test's own, and a path in it where nothing is yet.
fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app/session.json");
    (folder, path)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_file_store_keeps_the_contract() {
    let (folder, _) = place();
    let number = std::sync::atomic::AtomicUsize::new(0);
    store_contract(|| async {
        let number = number.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = folder.path().join(format!("app/{number}.json"));
        (FileStore::open(&path).unwrap(), FileStore::open(&path).unwrap())
    })
    .await;
}
