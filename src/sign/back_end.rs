//! The crypto back end of `jsonwebtoken` that is compiled in.

use jsonwebtoken::crypto::CryptoProvider;

/// `None` with feature `sign` alone.
pub(super) fn provider() -> Option<&'static CryptoProvider> {
    #[cfg(feature = "sign-aws-lc")]
    let provider = Some(&jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER);
    #[cfg(all(feature = "sign-rust-crypto", not(feature = "sign-aws-lc")))]
    let provider = Some(&jsonwebtoken::crypto::rust_crypto::DEFAULT_PROVIDER);
    #[cfg(not(any(feature = "sign-rust-crypto", feature = "sign-aws-lc")))]
    let provider = None;
    provider
}
