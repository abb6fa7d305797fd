//! A record on its way, which its writer may have left behind by being killed.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::disk::beside;
use crate::{Version, unique};

pub(super) struct Leftover {
    pub(super) path: PathBuf,
    /// What it was to follow. `None`: nothing, or something that was to be moved away.
    pub(super) follows: Option<Version>,
}

/// A name beside `path` for a record that follows this version: nobody else has it.
pub(super) fn name(path: &Path, follows: Option<Version>) -> PathBuf {
    let follows = follows.map_or(0, Version::number);
    beside(path, format!(".new-{follows:016x}-{:016x}", unique::number()).as_ref())
}

/// All there are, half written or whole.
pub(super) fn all(path: &Path) -> Vec<Leftover> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return Vec::new() };
    let mut prefix = name.to_owned();
    prefix.push(".new-");
    // A folder that cannot be listed may still be written to.
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let leftover = |entry: fs::DirEntry| {
        let name = entry.file_name();
        let rest = name.as_encoded_bytes().strip_prefix(prefix.as_encoded_bytes())?;
        let (follows, random) = str::from_utf8(rest).ok()?.split_once('-')?;
        let follows = match (number(follows)?, number(random)?) {
            (0, _) => None,
            (number, _) => Some(Version::new(number)),
        };
        Some(Leftover { path: entry.path(), follows })
    };
    entries.filter_map(leftover).collect()
}

fn number(digits: &str) -> Option<u64> {
    let is_whole = digits.len() == 16 && digits.bytes().all(|it| it.is_ascii_hexdigit());
    is_whole.then(|| u64::from_str_radix(digits, 16).ok()).flatten()
}
