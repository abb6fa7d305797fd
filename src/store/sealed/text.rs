//! The sealed text: `v1.<algorithm>.<key id>.<base64url(nonce ‖ ciphertext ‖ tag)>`.

use aes_gcm::Aes256Gcm;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305,
    aead::{AeadInOut, Generate, Nonce},
};
use zeroize::Zeroizing;

use super::{
    error::{Flaw, UnsealError},
    key::{SealingAlgorithm, SealingKey},
};
use crate::{
    AccessToken, Entry, Record, StoreError, Stored, TokenSet, Version,
    store::document::{Document, Unreadable},
};

/// The issuer that a sealed record says it is of: no session asks for it, so one that opens the store
/// without its key finds a record of somebody else's, and sends it nowhere.
const MARKER: &str = "tower-reauth sealed record";

const VERSION: &str = "v1";

/// `record`, sealed under `name`, as the record that the inner store keeps.
pub(super) fn seal(key: &SealingKey, name: &str, record: Record) -> Result<Record, StoreError> {
    let algorithm = key.seals_by();
    let mut text = format!("{VERSION}.{}.{}.", algorithm.name(), key.id());
    let bound = bound(&text, name);
    let since = record.spent_since();
    // The inner store gives it its version.
    let stored = Stored { entry: Entry::Live(record), version: Version::new(0) };
    let plain = Document::new(stored).text();
    let sealed = match algorithm {
        SealingAlgorithm::XChaCha20Poly1305 => encrypt::<XChaCha20Poly1305>(key, &bound, plain),
        SealingAlgorithm::Aes256Gcm => encrypt::<Aes256Gcm>(key, &bound, plain),
    }?;
    BASE64_URL_SAFE_NO_PAD.encode_string(sealed, &mut text);
    let token = AccessToken::new(text).map_err(|error| StoreError::corrupt().with_source(error))?;
    // A store that knows its lease's holder by the mark must see it; what counts is the one inside.
    Ok(Record::new(TokenSet::new(token)).issuer(Some(MARKER)).spending_since(since))
}

/// What was sealed under `name` by one of `keys`.
pub(super) fn open<'a>(
    keys: impl Iterator<Item = &'a SealingKey>,
    name: &str,
    record: &Record,
) -> Result<Record, UnsealError> {
    if record.issued_by() != Some(MARKER) {
        return Err(UnsealError(Flaw::NotSealed));
    }
    let text = record.tokens().access().expose_secret();
    let mut parts = text.splitn(4, '.');
    let version = parts.next().unwrap_or_default();
    if version != VERSION {
        let number = version.strip_prefix('v').unwrap_or_default();
        let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        return Err(UnsealError(if is_number { Flaw::Newer } else { Flaw::Malformed }));
    }
    let (Some(algorithm), Some(id), Some(sealed)) = (parts.next(), parts.next(), parts.next())
    else {
        return Err(UnsealError(Flaw::Malformed));
    };
    let algorithm = SealingAlgorithm::named(algorithm).ok_or(UnsealError(Flaw::Newer))?;
    let bound = bound(&text[..text.len() - sealed.len()], name);
    let mut error = UnsealError(Flaw::UnknownKey);
    // Two keys may have one id by mistake; the seal itself tells which it is.
    for key in keys.filter(|key| key.id() == id && key.seals_by() == algorithm) {
        let decoded =
            BASE64_URL_SAFE_NO_PAD.decode(sealed).map_err(|_| UnsealError(Flaw::Malformed))?;
        let plain = match algorithm {
            SealingAlgorithm::XChaCha20Poly1305 => {
                decrypt::<XChaCha20Poly1305>(key, &bound, decoded)
            }
            SealingAlgorithm::Aes256Gcm => decrypt::<Aes256Gcm>(key, &bound, decoded),
        };
        match plain {
            Ok(plain) => return read(&plain),
            Err(reason) => error = reason,
        }
    }
    Err(error)
}

fn read(plain: &[u8]) -> Result<Record, UnsealError> {
    match Document::read(plain) {
        Ok(Document { stored: Stored { entry: Entry::Live(record), .. }, .. }) => Ok(record),
        Ok(_) => Err(UnsealError(Flaw::NoRecord)),
        Err(reason) => Err(UnsealError(match reason {
            Unreadable::Newer => Flaw::Newer,
            Unreadable::Foreign | Unreadable::Corrupt => Flaw::NoRecord,
        })),
    }
}

/// What a seal is about beside its content: under another header or another name it does not open. No
/// part of the header has a dot or a line's end, so no two pairs are bound alike.
fn bound(header: &str, name: &str) -> Vec<u8> {
    format!("{MARKER}\n{header}\n{name}").into_bytes()
}

/// Nonce, ciphertext and tag. The plain text is encrypted where it is, and nothing of it is left.
fn encrypt<A: AeadInOut + KeyInit>(
    key: &SealingKey,
    bound: &[u8],
    mut text: Zeroizing<Vec<u8>>,
) -> Result<Vec<u8>, StoreError> {
    let nonce =
        Nonce::<A>::try_generate().map_err(|error| StoreError::unavailable().with_source(error))?;
    cipher::<A>(key)
        .and_then(|cipher| cipher.encrypt_in_place(&nonce, bound, &mut *text).ok())
        .ok_or_else(StoreError::unavailable)?;
    Ok([&nonce[..], &text[..]].concat())
}

fn decrypt<A: AeadInOut + KeyInit>(
    key: &SealingKey,
    bound: &[u8],
    mut sealed: Vec<u8>,
) -> Result<Zeroizing<Vec<u8>>, UnsealError> {
    let refused = UnsealError(Flaw::Refused);
    let length = size_of::<Nonce<A>>();
    if sealed.len() < length {
        return Err(UnsealError(Flaw::Malformed));
    }
    let mut text = Zeroizing::new(sealed.split_off(length));
    let nonce = Nonce::<A>::try_from(&sealed[..]).map_err(|_| refused)?;
    cipher::<A>(key)
        .and_then(|cipher| cipher.decrypt_in_place(&nonce, bound, &mut *text).ok())
        .ok_or(refused)?;
    Ok(text)
}

/// `None` for an algorithm whose keys are of another length, of which there is none here.
fn cipher<A: KeyInit>(key: &SealingKey) -> Option<A> {
    A::new_from_slice(key.secret()).ok()
}
