//! The record on the disk: read as it is, replaced as a whole.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, ErrorKind, Read, Write},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use zeroize::Zeroizing;

use super::{
    failure::{failed, unreadable},
    fault::{Step, done},
    leftover::{self, Leftover},
};
use crate::{
    Expected, StoreError, Stored, Swap,
    store::document::{Document, Unreadable},
};

/// No record is longer.
const LIMIT: u64 = 1024 * 1024;

/// How often a file is read again that another program may be writing in place, and how soon.
const LOOKS: u32 = 4;
const LOOK_AGAIN: Duration = Duration::from_millis(10);

pub(super) struct Disk {
    path: PathBuf,
}

/// What is at the path.
enum Present {
    Nothing,
    Document(Document),
    Unreadable(Unreadable),
}

impl Disk {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn load(&self) -> Result<Option<Stored>, StoreError> {
        match self.look()? {
            Present::Nothing => Ok(None),
            Present::Document(document) => Ok(Some(document.stored)),
            Present::Unreadable(reason) => Err(unreadable(&self.path, reason)),
        }
    }

    /// To be called by one at a time, among all processes.
    pub(super) fn swap(
        &self,
        expected: Expected,
        stored: Stored,
        is_late: impl Fn() -> bool,
    ) -> Result<Swap, StoreError> {
        self.recover()?;
        let version = stored.version;
        let mut follows = None;
        let (document, in_the_way) = match self.look()? {
            Present::Nothing => (Document::new(stored), false),
            Present::Document(present) if !expected.admits(Some(present.stored.version)) => {
                return Ok(Swap::Moved);
            }
            Present::Document(present) => {
                follows = Some(present.stored.version);
                (present.succeeded_by(stored), false)
            }
            // Another program of this machine was updated, and can read it.
            Present::Unreadable(Unreadable::Newer) => {
                return Err(unreadable(&self.path, Unreadable::Newer));
            }
            Present::Unreadable(_) if expected == Expected::Any => (Document::new(stored), true),
            Present::Unreadable(reason) => return Err(unreadable(&self.path, reason)),
        };
        let new = leftover::name(&self.path, follows);
        let replaced = self.replace(&new, &document, in_the_way, is_late);
        if replaced.is_err() {
            // It came to nothing, and must not be recovered.
            let _ = fs::remove_file(&new);
        }
        replaced.map(|()| Swap::Done(version))
    }

    fn replace(
        &self,
        new: &Path,
        document: &Document,
        in_the_way: bool,
        is_late: impl Fn() -> bool,
    ) -> Result<(), StoreError> {
        done(Step::Begun);
        write(new, &document.text()).map_err(failed("write", new))?;
        done(Step::Written);
        if is_late() {
            return Err(StoreError::unavailable());
        }
        if in_the_way {
            self.keep_aside().map_err(failed("move away", &self.path))?;
        }
        fs::rename(new, &self.path).map_err(failed("replace", &self.path))?;
        done(Step::Renamed);
        // The record is in place for all who read. What a failure here could lose, a loss of power
        // would have to take; so it is too late to say that nothing was stored.
        let _ = self.path.parent().map(sync_folder);
        done(Step::Durable);
        Ok(())
    }

    /// Another program may be writing it in place, which no reader should mistake for damage.
    fn look(&self) -> Result<Present, StoreError> {
        self.look_until_settled(|| thread::sleep(LOOK_AGAIN))
    }

    fn look_until_settled(&self, pause: impl Fn()) -> Result<Present, StoreError> {
        let mut looks = 1;
        loop {
            let found = read(&self.path);
            let is_settled = match &found {
                Ok(Present::Unreadable(reason)) => *reason == Unreadable::Newer,
                Ok(_) => true,
                // On Windows, while it is being replaced.
                Err(reason) => reason.kind() != ErrorKind::PermissionDenied,
            };
            if is_settled || looks == LOOKS {
                return found.map_err(failed("read", &self.path));
            }
            looks += 1;
            pause();
        }
    }

    /// Give what is no record a name that nothing has.
    fn keep_aside(&self) -> io::Result<()> {
        let mut number = 1_u64;
        let aside = loop {
            let name = self.beside(format!(".kept-{number}"));
            match fs::symlink_metadata(&name) {
                Err(reason) if reason.kind() == ErrorKind::NotFound => break name,
                Err(reason) => return Err(reason),
                Ok(_) => number += 1,
            }
        };
        fs::rename(&self.path, &aside)?;
        done(Step::MovedAside);
        // It may hold tokens all the same. One that belongs to another user is theirs to close.
        #[cfg(unix)]
        if fs::symlink_metadata(&aside)?.is_file() {
            let owner_only = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            let _ = fs::set_permissions(&aside, owner_only);
        }
        Ok(())
    }

    /// Whether there may be something to [`recover`](Self::recover).
    pub(super) fn has_leftovers(&self) -> bool {
        !leftover::all(&self.path).is_empty()
    }

    /// Put in place what a killed writer had written down whole, and clear away the rest.
    ///
    /// An answer of the token endpoint is safe as soon as it is written down, before it is flushed and has
    /// its name. To be called by one at a time, which is the only writer alive.
    pub(super) fn recover(&self) -> Result<(), StoreError> {
        self.recover_by(read)
    }

    fn recover_by(&self, read: impl Fn(&Path) -> io::Result<Present>) -> Result<(), StoreError> {
        let read = |path: &Path| read(path).map_err(failed("read", path));
        for Leftover { path, follows } in leftover::all(&self.path) {
            // What cannot be read now may be the only good refresh token: it waits until it can be.
            let (present, new) = (read(&self.path)?, read(&path)?);
            let is_next = match present {
                Present::Nothing => follows.is_none(),
                Present::Document(document) => follows == Some(document.stored.version),
                // Another program of this machine was updated, and can read both.
                Present::Unreadable(Unreadable::Newer) => continue,
                Present::Unreadable(_) => false,
            };
            match new {
                Present::Document(_) if is_next => {
                    let in_place = flush(&path).and_then(|()| fs::rename(&path, &self.path));
                    in_place.map_err(failed("replace", &self.path))?;
                    let _ = self.path.parent().map(sync_folder);
                }
                Present::Unreadable(Unreadable::Newer) if is_next => {
                    return Err(unreadable(&path, Unreadable::Newer));
                }
                // It is not whole, or others have gone on. What cannot be removed now can be later.
                _ => drop(fs::remove_file(path)),
            }
        }
        Ok(())
    }

    fn beside(&self, suffix: String) -> PathBuf {
        beside(&self.path, &OsString::from(suffix))
    }
}

/// The path with this at the end of its name.
pub(super) fn beside(path: &Path, suffix: &OsStr) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn read(path: &Path) -> io::Result<Present> {
    // A link is not followed; to open a pipe could take for ever.
    let length = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_file() => metadata.len(),
        Ok(_) => return Ok(Present::Unreadable(Unreadable::Foreign)),
        Err(reason) if reason.kind() == ErrorKind::NotFound => return Ok(Present::Nothing),
        Err(reason) => return Err(reason),
    };
    if length > LIMIT {
        return Ok(Present::Unreadable(Unreadable::Foreign));
    }
    let file = File::open(path)?;
    // Room for one byte more, or to find the end would make the buffer grow and leave a copy behind.
    let room = usize::try_from(length).unwrap_or_default() + 1;
    let mut text = Zeroizing::new(Vec::with_capacity(room));
    file.take(LIMIT + 1).read_to_end(&mut text)?;
    Ok(match Document::read(&text) {
        Ok(document) => Present::Document(document),
        Err(reason) => Present::Unreadable(reason),
    })
}

/// Write a file that was not there, for its owner alone, and see it on the disk.
fn write(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    done(Step::Created);
    let (half, rest) = text.split_at(text.len() / 2);
    file.write_all(half)?;
    done(Step::HalfWritten);
    file.write_all(rest)?;
    done(Step::WrittenUnsynced);
    file.sync_all()
}

/// See on the disk what another process has written.
fn flush(path: &Path) -> io::Result<()> {
    // On Windows only who may write may flush.
    OpenOptions::new().write(true).open(path)?.sync_all()
}

/// Create a folder, and those above it, for the owner alone. What exists is left as it is.
pub(super) fn create_folder(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(above) = folder.parent() {
        create_folder(above)?;
    }
    match private_folder().create(folder) {
        Err(reason) if reason.kind() != ErrorKind::AlreadyExists || !folder.is_dir() => {
            return Err(reason);
        }
        // Created by another process just now, or by us.
        _ => {}
    }
    // Not all file systems can, and what is lost without is lost with the power only.
    let _ = folder.parent().map(sync_folder);
    Ok(())
}

#[cfg(unix)]
fn private_folder() -> DirBuilder {
    let mut builder = DirBuilder::new();
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
}

#[cfg(not(unix))]
fn private_folder() -> DirBuilder {
    DirBuilder::new()
}

/// Renames are on the disk when the folder is.
fn sync_folder(folder: &Path) -> io::Result<()> {
    // Windows opens no folder as a file, and writes renames down by itself.
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::{AccessToken, Entry, Record, TokenSet, Version};

    fn stored(name: &str) -> Stored {
        let record = Record::new(TokenSet::new(AccessToken::new(name).unwrap()));
        Stored { entry: Entry::Live(record), version: Version::new(fastrand::u64(..)) }
    }

    fn place() -> (tempfile::TempDir, Disk) {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::new(folder.path().join("session.json"));
        (folder, disk)
    }

    #[test]
    fn what_another_program_is_writing_in_place_is_read_when_it_is_whole() {
        let (_folder, disk) = place();
        let text = Document::new(stored("whole")).text();
        fs::write(disk.path(), &text[..9]).unwrap();
        let pauses = Cell::new(0);
        let found = disk.look_until_settled(|| {
            pauses.set(pauses.get() + 1);
            fs::write(disk.path(), &text[..if pauses.get() == 2 { text.len() } else { 0 }])
                .unwrap();
        });
        assert!(matches!(found, Ok(Present::Document(_))));
        assert_eq!(pauses.get(), 2);
    }

    #[test]
    fn what_stays_unreadable_is_not_read_for_ever() {
        let (_folder, disk) = place();
        fs::write(disk.path(), "half a rec").unwrap();
        let pauses = Cell::new(0);
        let found = disk.look_until_settled(|| pauses.set(pauses.get() + 1));
        assert!(matches!(found, Ok(Present::Unreadable(Unreadable::Foreign))));
        assert_eq!(pauses.get() + 1, LOOKS);
    }

    /// P12: it may be the answer that a killed process had written down.
    #[test]
    fn what_cannot_be_read_just_now_is_not_taken_for_worthless() {
        let (_folder, disk) = place();
        let (old, new) = (stored("old"), stored("new"));
        assert!(matches!(disk.swap(Expected::Any, old.clone(), || false), Ok(Swap::Done(_))));
        let left = leftover::name(disk.path(), Some(old.version));
        fs::write(&left, Document::new(new.clone()).text()).unwrap();

        for unreadable in [disk.path(), &*left] {
            let recovered = disk.recover_by(|path| match path == unreadable {
                true => Err(ErrorKind::PermissionDenied.into()),
                false => read(path),
            });
            assert!(recovered.unwrap_err().is_unavailable());
            assert_eq!(disk.load().unwrap(), Some(old.clone()));
        }

        disk.recover().unwrap();
        assert_eq!(disk.load().unwrap(), Some(new));
    }

    /// P12: it may be the answer that a program which was updated had written down.
    #[test]
    fn what_a_later_version_had_written_down_is_left_to_it() {
        let (_folder, disk) = place();
        let (old, new) = (stored("old"), stored("new"));
        assert!(matches!(disk.swap(Expected::Any, old.clone(), || false), Ok(Swap::Done(_))));
        let text = |stored: &Stored| {
            let text = Document::new(stored.clone()).text();
            String::from_utf8(text.to_vec()).unwrap().replacen(r#"version":1"#, r#"version":2"#, 1)
        };
        let left = leftover::name(disk.path(), Some(old.version));
        fs::write(&left, text(&new)).unwrap();

        assert!(disk.recover().unwrap_err().is_corrupt());
        assert!(left.exists() && disk.load().unwrap() == Some(old.clone()));

        fs::write(disk.path(), text(&old)).unwrap();
        disk.recover().unwrap();
        assert!(left.exists() && disk.load().unwrap_err().is_corrupt());
    }

    #[test]
    fn a_swap_that_comes_too_late_leaves_everything_as_it_was() {
        let (folder, disk) = place();
        let old = stored("old");
        assert!(matches!(disk.swap(Expected::Any, old.clone(), || false), Ok(Swap::Done(_))));
        let late = disk.swap(Expected::Any, stored("late"), || true);
        assert!(late.unwrap_err().is_unavailable());
        assert_eq!(disk.load().unwrap(), Some(old));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
