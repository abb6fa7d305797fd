use jsonwebtoken::{DecodingKey, crypto::rust_crypto};
use proptest::prelude::*;

use super::*;

macro_rules! key {
    ($name:literal) => {
        include_str!(concat!("../../../tests/keys/", $name))
    };
}

const KEYS: [(SigningAlgorithm, &str, &str); 4] = [
    (SigningAlgorithm::Rs256, key!("rsa.pem"), key!("rsa.jwk")),
    (SigningAlgorithm::Ps256, key!("rsa.pem"), key!("rsa.jwk")),
    (SigningAlgorithm::Es256, key!("p256.pem"), key!("p256.jwk")),
    (SigningAlgorithm::EdDsa, key!("ed25519.pem"), key!("ed25519.jwk")),
];

/// Whether the public key says that the private one signed it; by the other back end if there are two.
fn verifies(key: &SigningKey, message: &[u8], signature: Vec<u8>) -> bool {
    let public = serde_json::from_str(&key.public_jwk()).unwrap();
    let public = DecodingKey::from_jwk(&public).unwrap();
    let algorithm = key.algorithm().known();
    let verifier = (rust_crypto::DEFAULT_PROVIDER.verifier_factory)(&algorithm, &public).unwrap();
    verifier.verify(message, &signature).is_ok()
}

#[test]
fn every_algorithm_signs_with_a_key_from_pem_and_from_a_jwk() {
    for (algorithm, pem, jwk) in KEYS {
        let name = algorithm.name();
        let pem = SigningKey::from_pem(algorithm, pem).expect(name);
        let jwk = SigningKey::from_jwk(algorithm, jwk).expect(name);
        assert_eq!(pem.public_jwk(), jwk.public_jwk(), "{name}");
        for (signs, checks) in [(&pem, &jwk), (&jwk, &pem)] {
            let signature = signs.sign(b"a message").expect(name);
            assert!(verifies(checks, b"a message", signature.clone()), "{name}");
            assert!(!verifies(checks, b"another", signature), "{name}");
        }
    }
}

#[test]
fn an_rsa_key_may_be_pkcs_1_too() {
    let pkcs1 = SigningKey::from_pem(SigningAlgorithm::Rs256, key!("rsa-pkcs1.pem")).unwrap();
    let pkcs8 = SigningKey::from_pem(SigningAlgorithm::Rs256, key!("rsa.pem")).unwrap();
    assert_eq!(pkcs1.public_jwk(), pkcs8.public_jwk());
}

#[test]
fn the_public_key_has_nothing_of_the_private_one() {
    for (algorithm, _, jwk) in KEYS {
        let public = SigningKey::from_jwk(algorithm, jwk).unwrap().key_id("a").public_jwk();
        let public: Map<String, Value> = serde_json::from_str(&public).unwrap();
        let private: Map<String, Value> = serde_json::from_str(jwk).unwrap();
        for (name, value) in &public {
            let expected = match name.as_str() {
                "alg" => Some(Value::from(algorithm.name())),
                "kid" => Some("a".into()),
                "use" => Some("sig".into()),
                "kty" | "crv" | "x" | "y" | "n" | "e" => private.get(name).cloned(),
                _ => None,
            };
            assert_eq!(Some(value), expected.as_ref(), "{name}");
        }
    }
}

#[test]
fn the_key_id_of_a_jwk_is_kept_and_can_be_replaced() {
    let jwk = key!("ed25519.jwk").replacen('{', r#"{"kid":"a","alg":"EdDSA","use":"sig","#, 1);
    let key = SigningKey::from_jwk(SigningAlgorithm::EdDsa, &jwk).unwrap();
    assert_eq!(key.id(), Some("a"));
    assert_eq!(key.key_id("b").id(), Some("b"));
    let pem = SigningKey::from_pem(SigningAlgorithm::EdDsa, key!("ed25519.pem")).unwrap();
    assert_eq!(pem.id(), None);
}

#[test]
fn a_pem_that_is_no_key_for_the_algorithm_is_a_typed_error() {
    use SigningAlgorithm::{EdDsa, Es256, Ps256, Rs256};
    let public = "-----BEGIN PUBLIC KEY-----\n\
        MCowBQYDK2VwAyEAdzMXXpfB6efGZlO+h5aF/4xVa7GgCSwLzA25Po4evrE=\n\
        -----END PUBLIC KEY-----\n";
    for (name, algorithm, pem, flaw) in [
        ("empty", Rs256, "", Flaw::NotPem),
        ("no PEM", Es256, "secret", Flaw::NotPem),
        (
            "no DER",
            EdDsa,
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            Flaw::NotPem,
        ),
        ("encrypted", Es256, key!("p256-encrypted.pem"), Flaw::NotPem),
        ("SEC 1", Es256, key!("p256-sec1.pem"), Flaw::NotPem),
        ("public", EdDsa, public, Flaw::NotPem),
        ("P-256 for RSA", Rs256, key!("p256.pem"), Flaw::OtherAlgorithm),
        ("Ed25519 for RSA", Ps256, key!("ed25519.pem"), Flaw::OtherAlgorithm),
        ("RSA for P-256", Es256, key!("rsa.pem"), Flaw::OtherAlgorithm),
        ("P-384 for P-256", Es256, key!("p384.pem"), Flaw::OtherAlgorithm),
        ("RSA for Ed25519", EdDsa, key!("rsa.pem"), Flaw::OtherAlgorithm),
        ("1024 bits", Rs256, key!("rsa-1024.pem"), Flaw::TooShort),
        ("1024 bits", Ps256, key!("rsa-1024.pem"), Flaw::TooShort),
    ] {
        let error = SigningKey::from_pem(algorithm, pem).expect_err(name);
        assert_eq!(error.0, flaw, "{name}");
    }
}

#[test]
fn a_jwk_that_is_no_key_for_the_algorithm_is_a_typed_error() {
    use SigningAlgorithm::{EdDsa, Es256, Ps256, Rs256};
    let (rsa, p256, ed) = (key!("rsa.jwk"), key!("p256.jwk"), key!("ed25519.jwk"));
    let without = |jwk: &str, member: &str| jwk.replace(&format!("\"{member}\":"), "\"_\":");
    let with = |jwk: &str, member: &str| jwk.replacen('{', &format!("{{{member},"), 1);
    for (name, algorithm, jwk, flaw) in [
        ("empty", EdDsa, String::new(), Flaw::NotJwk),
        ("no object", EdDsa, "[]".into(), Flaw::NotJwk),
        ("a number", EdDsa, ed.replace(r#""d":""#, r#""d":1,"_":""#), Flaw::NotJwk),
        ("no base64url", EdDsa, ed.replace(r#""d":""#, r#""d":"+"#), Flaw::NotJwk),
        ("too long", EdDsa, ed.replace(r#""d":""#, r#""d":"AAAA"#), Flaw::NotJwk),
        ("public", EdDsa, without(ed, "d"), Flaw::NotJwk),
        ("public", Es256, without(p256, "d"), Flaw::NotJwk),
        ("no y", Es256, without(p256, "y"), Flaw::NotJwk),
        ("public", Rs256, without(rsa, "d"), Flaw::NotJwk),
        ("no primes", Ps256, without(rsa, "p"), Flaw::NotJwk),
        ("of RSA", Es256, rsa.into(), Flaw::OtherAlgorithm),
        ("of P-256", Rs256, p256.into(), Flaw::OtherAlgorithm),
        ("of P-256", EdDsa, p256.into(), Flaw::OtherAlgorithm),
        ("P-384", Es256, p256.replace("P-256", "P-384"), Flaw::OtherAlgorithm),
        ("Ed448", EdDsa, ed.replace("Ed25519", "Ed448"), Flaw::OtherAlgorithm),
        ("another alg", Ps256, with(rsa, r#""alg":"RS256""#), Flaw::OtherAlgorithm),
        ("another point", Es256, p256.replace(r#""x":"E5"#, r#""x":"F5"#), Flaw::OtherAlgorithm),
        ("another modulus", Rs256, rsa.replace(r#""n":"s6"#, r#""n":"s7"#), Flaw::OtherAlgorithm),
        ("short modulus", Rs256, rsa.replace(r#""n":"s6"#, r#""n":"s6Ob","_":""#), Flaw::TooShort),
        ("no modulus", Rs256, rsa.replace(r#""n":""#, r#""n":"","_":""#), Flaw::OtherAlgorithm),
    ] {
        let error = SigningKey::from_jwk(algorithm, &jwk).expect_err(name);
        assert_eq!(error.0, flaw, "{name} {}", algorithm.name());
    }
}

#[test]
fn neither_a_key_nor_its_error_shows_the_key() {
    let jwk = r#"{"kty":"OKP","crv":"canary","d":"canary","x":"canary"}"#;
    let error = SigningKey::from_jwk(SigningAlgorithm::EdDsa, jwk).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("canary"));
    for (algorithm, _, jwk) in KEYS {
        let members: Map<String, Value> = serde_json::from_str(jwk).unwrap();
        let key = SigningKey::from_jwk(algorithm, jwk).unwrap();
        assert!(!format!("{key:#?}").contains(members["d"].as_str().unwrap()));
    }
}

proptest! {
    #[test]
    fn no_numbers_make_an_rsa_key_panic(
        n in prop::collection::vec(any::<u8>(), 250..260),
        rest in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..130), 7),
    ) {
        let text = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        let mut jwk = Map::from_iter([("kty".to_owned(), "RSA".into()), ("n".into(), text(&n).into())]);
        for (name, bytes) in ["e", "d", "p", "q", "dp", "dq", "qi"].into_iter().zip(&rest) {
            jwk.insert(name.into(), text(bytes).into());
        }
        let jwk = Value::Object(jwk).to_string();
        prop_assert!(SigningKey::from_jwk(SigningAlgorithm::Ps256, &jwk).is_err());
    }

    #[test]
    fn no_bytes_make_a_pem_panic(der in prop::collection::vec(any::<u8>(), 0..200)) {
        use base64::prelude::BASE64_STANDARD;
        let text = BASE64_STANDARD.encode(der);
        let pem = format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n");
        prop_assert!(SigningKey::from_pem(SigningAlgorithm::Rs256, &pem).is_err());
    }
}
