//! As much of DER (ITU-T X.690) as it takes to write a private key, and to see how long one is.

use zeroize::Zeroizing;

pub(super) type Der = Zeroizing<Vec<u8>>;

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
/// `[1]`, constructed.
const FIRST: u8 = 0xa1;

fn element(tag: u8, content: &[u8]) -> Der {
    // Room for the longest header: a buffer that grew would leave a copy of the key behind.
    let mut der = Zeroizing::new(Vec::with_capacity(content.len() + 10));
    der.push(tag);
    match u8::try_from(content.len()) {
        Ok(length @ ..0x80) => der.push(length),
        _ => {
            let length = content.len().to_be_bytes();
            let zeros = length.iter().take_while(|byte| **byte == 0).count();
            let digits = &length[zeros..];
            // At most eight digits.
            der.push(0x80 | digits.len() as u8);
            der.extend_from_slice(digits);
        }
    }
    der.extend_from_slice(content);
    der
}

/// An element around others.
fn around(tag: u8, prefix: &[u8], parts: &[Der]) -> Der {
    let room = prefix.len() + parts.iter().map(|part| part.len()).sum::<usize>();
    let mut content = Zeroizing::new(Vec::with_capacity(room));
    content.extend_from_slice(prefix);
    parts.iter().for_each(|part| content.extend_from_slice(part));
    element(tag, &content)
}

/// A number that is not negative.
fn integer(digits: &[u8]) -> Der {
    let zeros = digits.iter().take_while(|digit| **digit == 0).count();
    let digits = &digits[zeros..];
    // The highest bit is the sign.
    let sign: &[u8] = if digits.first().is_none_or(|digit| *digit >= 0x80) { &[0] } else { &[] };
    let mut content = Zeroizing::new(Vec::with_capacity(1 + digits.len()));
    content.extend_from_slice(sign);
    content.extend_from_slice(digits);
    element(INTEGER, &content)
}

/// `RSAPrivateKey` (RFC 8017 §A.1.2): n, e, d, p, q, dP, dQ, qInv.
pub(super) fn rsa(numbers: [&[u8]; 8]) -> Der {
    let mut parts = vec![integer(&[0])];
    parts.extend(numbers.map(integer));
    around(SEQUENCE, &[], &parts)
}

/// `PrivateKeyInfo` (RFC 5208 §5) of a key on P-256 (RFC 5915 §3).
pub(super) fn p256(d: &[u8], x: &[u8], y: &[u8]) -> Der {
    const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
    const PRIME256V1: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
    let oids = [EC_PUBLIC_KEY, PRIME256V1].map(|oid| element(OBJECT_IDENTIFIER, oid));
    let mut point = Vec::with_capacity(2 + x.len() + y.len());
    // No unused bits, and an uncompressed point.
    point.extend_from_slice(&[0, 4]);
    point.extend_from_slice(x);
    point.extend_from_slice(y);
    let public = around(FIRST, &[], &[element(BIT_STRING, &point)]);
    let key = around(SEQUENCE, &[], &[integer(&[1]), element(OCTET_STRING, d), public]);
    let algorithm = around(SEQUENCE, &[], &oids);
    around(SEQUENCE, &[], &[integer(&[0]), algorithm, element(OCTET_STRING, &key)])
}

/// `OneAsymmetricKey` (RFC 8410 §7) of an Ed25519 key.
pub(super) fn ed25519(d: &[u8]) -> Der {
    const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
    let algorithm = around(SEQUENCE, &[], &[element(OBJECT_IDENTIFIER, ED25519)]);
    let key = element(OCTET_STRING, &element(OCTET_STRING, d));
    around(SEQUENCE, &[], &[integer(&[0]), algorithm, key])
}

/// How many bits the modulus of an `RSAPrivateKey` has.
pub(super) fn modulus_bits(rsa: &[u8]) -> Option<usize> {
    let (sequence, _) = content(rsa, SEQUENCE)?;
    let (_version, rest) = content(sequence, INTEGER)?;
    let (modulus, _) = content(rest, INTEGER)?;
    let zeros = modulus.iter().take_while(|digit| **digit == 0).count();
    let first = modulus.get(zeros)?;
    Some(8 * (modulus.len() - zeros) - first.leading_zeros() as usize)
}

/// The content of the first element, and what comes after it.
fn content(der: &[u8], expected: u8) -> Option<(&[u8], &[u8])> {
    let (tag, der) = der.split_first()?;
    let (first, der) = der.split_first()?;
    let (length, der) = match first {
        ..0x80 => (usize::from(*first), der),
        _ => {
            let (digits, der) = der.split_at_checked(usize::from(first & 0x7f))?;
            let push = |length: usize, digit: &u8| {
                length.checked_mul(256)?.checked_add(usize::from(*digit))
            };
            (digits.iter().try_fold(0, push)?, der)
        }
    };
    (*tag == expected).then(|| der.split_at_checked(length))?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_length_takes_as_many_digits_as_it_needs() {
        for (length, header) in [
            (0, &[OCTET_STRING, 0][..]),
            (127, &[OCTET_STRING, 127]),
            (128, &[OCTET_STRING, 0x81, 128]),
            (256, &[OCTET_STRING, 0x82, 1, 0]),
        ] {
            let der = element(OCTET_STRING, &vec![7; length]);
            assert_eq!(der[..header.len()], *header);
            assert_eq!(content(&der, OCTET_STRING), Some((&vec![7; length][..], &[][..])));
            assert!(content(&der[..der.len().saturating_sub(1)], OCTET_STRING).is_none());
            assert!(content(&der, SEQUENCE).is_none());
        }
    }

    #[test]
    fn a_number_is_never_negative_and_has_no_needless_zeros() {
        for (digits, written) in [
            (&[][..], &[0][..]),
            (&[0, 0], &[0]),
            (&[0, 1], &[1]),
            (&[0x7f], &[0x7f]),
            (&[0x80], &[0, 0x80]),
        ] {
            assert_eq!(integer(digits)[2..], *written);
        }
    }

    #[test]
    fn the_bits_of_a_modulus_are_counted_from_its_highest() {
        for (modulus, bits) in
            [(&[1][..], 1), (&[0xff], 8), (&[1, 0], 9), (&[0, 0, 0x80, 0, 0], 24)]
        {
            assert_eq!(
                modulus_bits(&rsa([modulus, &[3], &[], &[], &[], &[], &[], &[]])),
                Some(bits)
            );
        }
        assert_eq!(modulus_bits(&rsa([&[]; 8])), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(der in prop::collection::vec(any::<u8>(), 0..50)) {
            modulus_bits(&der);
        }
    }
}
