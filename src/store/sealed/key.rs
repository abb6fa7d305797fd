//! The key that records are sealed by, its name, and its algorithm.

use std::{error, fmt, sync::Arc};

use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use zeroize::Zeroizing;

/// How a record is sealed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SealingAlgorithm {
    /// XChaCha20-Poly1305, with a random nonce of 192 bits: as many writes as you like.
    #[default]
    XChaCha20Poly1305,
    /// AES-256 in Galois/Counter Mode, with a random nonce of 96 bits (NIST SP 800-38D). One key may seal
    /// 2³² records at most (its section 8.3): one write a second for 136 years, counting all
    /// processes and all records that share the key.
    Aes256Gcm,
}

impl SealingAlgorithm {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::XChaCha20Poly1305 => "XC20P",
            Self::Aes256Gcm => "A256GCM",
        }
    }

    pub(super) fn named(name: &str) -> Option<Self> {
        [Self::XChaCha20Poly1305, Self::Aes256Gcm]
            .into_iter()
            .find(|algorithm| algorithm.name() == name)
    }
}

/// A secret of 32 random bytes that seals records, with a name of its own.
///
/// Its id stands in clear text in every record that it seals, so that keys can be told apart when they
/// are replaced: give each key another. Cheap to clone. `Debug` does not show the key, and its
/// memory is zeroized when the last clone is dropped.
///
/// ```
/// use tower_reauth::SealingKey;
///
/// // openssl rand -base64 32
/// let key = SealingKey::from_base64("2026-11", "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=")?;
/// assert_eq!(format!("{key:?}"), "SealingKey([redacted])");
/// # Ok::<(), tower_reauth::InvalidSealingKey>(())
/// ```
#[derive(Clone)]
pub struct SealingKey {
    id: Arc<str>,
    secret: Arc<Zeroizing<[u8; Self::LENGTH]>>,
    algorithm: SealingAlgorithm,
}

impl SealingKey {
    /// So many bytes are a key.
    pub(crate) const LENGTH: usize = 32;

    /// The key of these 32 bytes. They must be random: a password is no key.
    ///
    /// # Errors
    ///
    /// [`InvalidSealingKey`] if there are more or fewer bytes, or if `id` is empty, is longer than 64
    /// bytes, or has other characters than letters, digits, `-` and `_`.
    pub fn from_bytes(
        id: impl AsRef<str>,
        secret: impl AsRef<[u8]>,
    ) -> Result<Self, InvalidSealingKey> {
        let id = id.as_ref();
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if !(1..=64).contains(&id.len()) || !id.bytes().all(fits) {
            return Err(InvalidSealingKey(Flaw::Id));
        }
        let secret = secret.as_ref();
        if secret.len() != Self::LENGTH {
            return Err(InvalidSealingKey(Flaw::Length));
        }
        let mut own = Zeroizing::new([0; Self::LENGTH]);
        own.copy_from_slice(secret);
        Ok(Self { id: id.into(), secret: Arc::new(own), algorithm: SealingAlgorithm::default() })
    }

    /// As [`from_bytes`](Self::from_bytes), from base64 in either alphabet, padded or not. White space
    /// around it is trimmed.
    ///
    /// # Errors
    ///
    /// As for [`from_bytes`](Self::from_bytes); also if `secret` is not base64.
    pub fn from_base64(
        id: impl AsRef<str>,
        secret: impl AsRef<str>,
    ) -> Result<Self, InvalidSealingKey> {
        const LENIENT: GeneralPurposeConfig =
            GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
        let secret = secret.as_ref().trim();
        let alphabet = match secret.contains(['-', '_']) {
            true => alphabet::URL_SAFE,
            false => alphabet::STANDARD,
        };
        // Made large enough at once: a buffer that grew would leave a part of the key behind.
        let mut bytes = Zeroizing::new(vec![0; base64::decoded_len_estimate(secret.len())]);
        let length = GeneralPurpose::new(&alphabet, LENIENT)
            .decode_slice(secret, &mut bytes)
            .map_err(|_| InvalidSealingKey(Flaw::Base64))?;
        Self::from_bytes(id, &bytes[..length])
    }

    /// How it seals. A key has one algorithm: to change it, make another key.
    ///
    /// Default: [`SealingAlgorithm::XChaCha20Poly1305`].
    #[must_use]
    pub fn algorithm(mut self, algorithm: SealingAlgorithm) -> Self {
        self.algorithm = algorithm;
        self
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn secret(&self) -> &[u8; Self::LENGTH] {
        &self.secret
    }

    pub(super) fn seals_by(&self) -> SealingAlgorithm {
        self.algorithm
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealingKey([redacted])")
    }
}

/// What is no [`SealingKey`].
///
/// It says what is wrong, and nothing of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidSealingKey(Flaw);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flaw {
    Id,
    Length,
    Base64,
}

impl fmt::Display for InvalidSealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Flaw::Id => "the key's id is not 1 to 64 letters, digits, `-` and `_`",
            Flaw::Length => "the key is not 32 bytes long; make one of 32 random bytes",
            Flaw::Base64 => "the key is not base64",
        })
    }
}

impl error::Error for InvalidSealingKey {}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES: [u8; 32] = [0xfb; 32];

    #[test]
    fn a_key_in_base64_is_the_key_of_its_bytes() {
        let standard = "+/v7".repeat(10) + "+/s";
        let padded = format!(" {standard}=\n");
        let url = standard.replace('+', "-").replace('/', "_");
        for text in [&standard, &padded, &url, &format!("{url}=")] {
            let key = SealingKey::from_base64("a", text).unwrap();
            assert_eq!(key.secret(), &BYTES);
        }
    }

    #[test]
    fn what_is_no_key_says_why() {
        let flaw = |key: Result<SealingKey, InvalidSealingKey>| key.unwrap_err().0;
        for length in [0, 16, 31, 33, 64] {
            assert_eq!(flaw(SealingKey::from_bytes("a", vec![1; length])), Flaw::Length);
        }
        for text in ["", "AAAA", &"+/v7".repeat(11)] {
            assert_eq!(flaw(SealingKey::from_base64("a", text)), Flaw::Length);
        }
        for text in ["secret!", "+_v7", "AAAAA", "AB=A", "ä"] {
            assert_eq!(flaw(SealingKey::from_base64("a", text)), Flaw::Base64);
        }
        for id in ["", "a.b", "a b", "ä", "a\n", &"a".repeat(65)] {
            assert_eq!(flaw(SealingKey::from_bytes(id, BYTES)), Flaw::Id);
        }
        assert!(SealingKey::from_bytes("a".repeat(64), BYTES).is_ok());
    }
}
