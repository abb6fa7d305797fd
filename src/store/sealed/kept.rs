//! A key as a secret storage keeps it: `tower-reauth key v1.<id>.<base64url>`.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chacha20poly1305::aead::Generate;
use zeroize::Zeroizing;

use super::SealingKey;
use crate::unique;

const HEADER: &str = "tower-reauth key v1";

impl SealingKey {
    /// A new one. `None` if the operating system has no random bytes.
    pub(crate) fn random() -> Option<Self> {
        let secret = Zeroizing::new(<[u8; Self::LENGTH]>::try_generate().ok()?);
        // No secret: it only tells this key from the next.
        let id = format!("{:016x}", unique::number());
        Self::from_bytes(id, *secret).ok()
    }

    pub(crate) fn text(&self) -> Zeroizing<Vec<u8>> {
        let header = format!("{HEADER}.{}.", self.id());
        // Made large enough at once: a buffer that grew would leave a part of the key behind.
        let length = header.len() + Self::LENGTH.div_ceil(3) * 4;
        let mut text = Zeroizing::new(Vec::with_capacity(length));
        text.extend_from_slice(header.as_bytes());
        text.resize(length, 0);
        let written = BASE64_URL_SAFE_NO_PAD.encode_slice(self.secret(), &mut text[header.len()..]);
        text.truncate(header.len() + written.unwrap_or_default());
        text
    }

    pub(crate) fn from_text(text: &[u8]) -> Option<Self> {
        let (id, secret) =
            str::from_utf8(text).ok()?.strip_prefix(HEADER)?.strip_prefix('.')?.split_once('.')?;
        Self::from_base64(id, secret).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_what_was_kept_of_it() {
        let key = SealingKey::random().unwrap();
        let text = key.text();
        let kept = SealingKey::from_text(&text).unwrap();
        assert_eq!((kept.id(), kept.secret()), (key.id(), key.secret()));
        assert_ne!(SealingKey::random().unwrap().secret(), key.secret());
        for end in 0..text.len() {
            assert!(SealingKey::from_text(&text[..end]).is_none());
        }
    }

    #[test]
    fn a_key_that_was_kept_by_an_earlier_version_is_read() {
        let text =
            b"tower-reauth key v1.0123456789abcdef.AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
        let key = SealingKey::from_text(text).unwrap();
        assert_eq!((key.id(), &key.secret()[..3]), ("0123456789abcdef", &[0, 1, 2][..]));
        assert_eq!(&**key.text(), text);
    }
}
