//! The steps of a save, between any two of which a process can be killed.

/// A step that is done. Tests end the process at each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Begun,
    Created,
    HalfWritten,
    WrittenUnsynced,
    Written,
    MovedAside,
    Renamed,
    Durable,
}

#[cfg(not(test))]
#[inline]
pub(super) fn done(_: Step) {}

/// Ends the process, without any clean-up, where its environment says so.
#[cfg(test)]
pub(super) fn done(step: Step) {
    if std::env::var_os(Step::VARIABLE).is_some_and(|fatal| *fatal == *format!("{step:?}")) {
        std::process::abort();
    }
}

#[cfg(test)]
impl Step {
    pub(super) const VARIABLE: &str = "REAUTH_FATAL_STEP";

    pub(super) const ALL: [Self; 8] = [
        Self::Begun,
        Self::Created,
        Self::HalfWritten,
        Self::WrittenUnsynced,
        Self::Written,
        Self::MovedAside,
        Self::Renamed,
        Self::Durable,
    ];
}
