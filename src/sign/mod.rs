//! Assertions that are signed with a key of the client (RFC 7523).
//!
//! Signing goes through the crypto back end that the features name, not through the one that is
//! installed for the whole process: `jsonwebtoken` panics where none or two are there to choose from.

mod assertion;
mod back_end;
mod der;
mod jwk;
mod key;

pub use self::{
    assertion::SignedAssertion,
    key::{InvalidKey, SigningAlgorithm, SigningKey},
};
