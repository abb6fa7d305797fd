//! The crate against servers that it did not write.
//!
//! | what | runs against |
//! |---|---|
//! | [`refreshing`], [`confidential`], [`lost_answers`], [`trouble`] | `oidc-provider`, a certified authorization server, over plain HTTP |
//! | [`behind_nginx`], [`uploads`] | the same behind nginx with TLS, which also is the resource server, by `auth_request` |
//!
//! Each test owns the processes that it talks to, on ports that were free, and they end with it.
//!
//! `tests/run interop` installs what these tests need and runs them. A plain `cargo test` leaves them out: they
//! need node, nginx and what npm installs. Where something is missing a test fails, and says what; none is skipped.
#![cfg(reauth_interop)]

mod behind_nginx;
mod confidential;
mod lost_answers;
mod machine;
mod mutual_tls;
mod nginx;
mod oracle;
mod provider;
mod recorder;
mod refreshing;
mod site;
mod support;
mod tls;
mod trouble;
mod uploads;
