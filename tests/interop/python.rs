//! What pip installed.

use std::path::PathBuf;

use tokio::process::Command;

const ENVIRONMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/interop/python");

/// A file of the virtual environment.
pub(crate) fn installed(path: &str) -> PathBuf {
    let file = PathBuf::from(ENVIRONMENT).join(path);
    assert!(
        file.exists(),
        "`{}` is missing: `tests/run interop` installs it where Python 3.10 is at hand",
        file.display()
    );
    file
}

/// A script of `tests/interop/server`.
pub(crate) fn python(script: &str) -> Command {
    let mut command = Command::new(installed("bin/python"));
    command.arg(script).current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/interop/server"));
    command
}
