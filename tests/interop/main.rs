//! The crate against servers that it did not write.
//!
//! | what | runs against |
//! |---|---|
//! | [`refreshing`], [`lost_answers`], [`trouble`], [`confidential`], [`machine`], [`discovery`], [`device`], [`examples`] | `oidc-provider`, a certified authorization server, over plain HTTP; its userinfo endpoint is the resource server, and for JWTs an endpoint where `oauth4webapi` validates them |
//! | [`mutual_tls`] | the same server over TLS, which asks for certificates |
//! | [`behind_nginx`], [`uploads`] | the same behind nginx with TLS, over HTTP/1.1 and HTTP/2; nginx also is the resource server, by `auth_request` |
//! | [`cookies`] | Django, with its sessions and its CSRF protection, behind nginx with TLS |
//! | [`grpc::c_core`] | gRPC's own server, on its C core |
//! | [`grpc::gateway`] | Envoy, which validates the JWTs of `oidc-provider` by itself, for HTTP and for gRPC |
//! | [`graphql`] | Apollo Server; the resource server of the test kit tells it which tokens are dead |
//! | [`mod@redis`] | `redis-server`, as a store that a fleet shares; the servers are those of the test kit |
//! | [`keyring`] | GNOME Keyring over D-Bus, and the kernel's keyrings |
//! | [`oracle`] | a recorder, beside the requests of `oauth4webapi`, a certified client |
//!
//! The server issues tokens as it always does. `server/` adds what a test needs to hold it by: logins without a
//! browser, a clock that can run ahead, counts, and faults (`server/conduct.mjs`). Nothing here sleeps but
//! where the server sets the pace.
//!
//! Each test owns the processes that it talks to, on ports that were free, and they end with it.
//!
//! `tests/run interop` installs what these tests need and runs them. A plain `cargo test` leaves them out: they
//! need node, nginx, Redis, Python and what npm and pip install. Where something is missing a test fails, and says what; none is skipped.
#![cfg(reauth_interop)]

mod behind_nginx;
mod confidential;
mod cookies;
mod device;
mod discovery;
mod django;
mod examples;
mod graphql;
mod grpc;
#[cfg(target_os = "linux")]
mod keyring;
mod link;
mod lost_answers;
mod machine;
mod mutual_tls;
mod nginx;
mod oracle;
mod provider;
mod python;
mod recorder;
#[cfg(all(feature = "redis", feature = "sealed"))]
mod redis;
mod refreshing;
mod site;
mod support;
mod tls;
mod trouble;
mod uploads;
