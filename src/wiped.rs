//! JSON in a buffer that is wiped when it is dropped.

use std::io;

use serde::Serialize;
use zeroize::Zeroizing;

/// The value as JSON. Nothing is in it that cannot be: maps have texts for their keys.
pub(crate) fn json(value: &impl Serialize) -> Zeroizing<Vec<u8>> {
    let mut length = Length(0);
    let mut text = Zeroizing::default();
    // Neither such a value nor these writers have anything to fail at.
    if serde_json::to_writer(&mut length, value).is_ok() {
        // A buffer that grew would leave a copy behind.
        *text = Vec::with_capacity(length.0);
        let _ = serde_json::to_writer(&mut *text, value);
    }
    text
}

/// Counts what is written.
struct Length(usize);

impl io::Write for Length {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_buffer_never_grows() {
        let text = json(&["\u{0}\"ä".repeat(1000), String::new()]);
        assert_eq!(text.capacity(), text.len());
        assert!(text.ends_with(b",\"\"]"));
    }
}
