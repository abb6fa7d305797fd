//! What each feature brings with it, crate by crate.
//!
//! A library that everybody's requests go through should be light. Without features it is 34 crates with
//! itself, by default 38. Each feature below stands alone, on Linux; what two features share they bring
//! once.
//!
//! | feature alone | crates in all | it adds |
//! |---|---:|---|
//! | none | 34 | |
//! | `jwt` (default) | 38 | jsonwebtoken |
//! | `base-url` | 34 | |
//! | `cookies` | 72 | cookie_store, url |
//! | `endpoint-client` | 61 | hyper, hyper-util, hyper-rustls, rustls and roots |
//! | `inspect-body` | 34 | |
//! | `keyring` | 132 | keyring-core and its stores |
//! | `metrics` | 36 | metrics |
//! | `oauth2` | 84 | oauth2 |
//! | `redirect` | 63 | tower-http |
//! | `redis` | 78 | redis |
//! | `reqwest` | 80 | reqwest |
//! | `reqwest-middleware` | 85 | reqwest-middleware, reqwest |
//! | `sealed` | 58 | chacha20poly1305, aes-gcm |
//! | `sign` | 51 | jsonwebtoken |
//! | `sign-aws-lc` | 54 | jsonwebtoken, aws-lc-rs |
//! | `sign-rust-crypto` | 98 | jsonwebtoken, crates of RustCrypto |
//! | `tonic` | 45 | tonic |
//! | `tracing` | 37 | tracing |
//! | `test-util` | 104 | hyper, hyper-util, jsonwebtoken |
//!
//! Each tree is what `cargo tree -e normal --no-default-features --features …` prints.
//!
#![doc = "<details><summary>jwt</summary>\n\n```text"]
#![doc = include_str!("dependencies/jwt.txt")]
#![doc = "```\n\n</details>\n"]
#![doc = "<details><summary>base-url</summary>\n\n```text"]
#![doc = include_str!("dependencies/base-url.txt")]
#![doc = "```\n\n</details>\n"]
#![doc = "<details><summary>cookies</summary>\n\n```text"]
#![doc = include_str!("dependencies/cookies.txt")]
#![doc = "```\n\n</details>\n"]
#![doc = "<details><summary>endpoint-client</summary>\n\n```text"]
#![doc = include_str!("dependencies/endpoint-client.txt")]
#![doc = "```\n\n</details>\n"]
#![doc = "<details><summary>inspect-body</summary>\n\n```text"]
#![doc = include_str!("dependencies/inspect-body.txt")]
#![doc = "```\n\n</details>\n"]
#![doc = "<details><summary>keyring</summary>\n\n```text"]
#![doc = include_str!("dependencies/keyring.txt")]
#![doc = "```\n\n</details>\n"]
#![doc = "<details><summary>metrics</summary>\n\n```text"]
#![doc = include_str!("dependencies/metrics.txt")]
#![doc = "```\n\n</details>\n"]
#![doc = "<details><summary>oauth2</summary>\n\n```text"]
#![doc = include_str!("dependencies/oauth2.txt")]
#![doc = "```\n\n</details>\n"]
#![doc = "<details><summary>redirect</summary>\n\n```text"]
#![doc = include_str!("dependencies/redirect.txt")]
#![doc = "```\n\n</details>\n"]
#![doc = "<details><summary>redis</summary>\n\n```text"]
#![doc = include_str!("dependencies/redis.txt")]
#![doc = "```\n\n</details>\n"]
#![doc = "<details><summary>reqwest</summary>\n\n```text"]
#![doc = include_str!("dependencies/reqwest.txt")]
#![doc = "```\n\n</details>\n"]
#![doc = "<details><summary>reqwest-middleware</summary>\n\n```text"]
#![doc = include_str!("dependencies/reqwest-middleware.txt")]
#![doc = "```\n\n</details>\n"]
#![doc = "<details><summary>sealed</summary>\n\n```text"]
#![doc = include_str!("dependencies/sealed.txt")]
#![doc = "```\n\n</details>\n"]
#![doc = "<details><summary>sign</summary>\n\n```text"]
#![doc = include_str!("dependencies/sign.txt")]
#![doc = "```\n\n</details>\n"]
#![doc = "<details><summary>sign-aws-lc</summary>\n\n```text"]
#![doc = include_str!("dependencies/sign-aws-lc.txt")]
#![doc = "```\n\n</details>\n"]
#![doc = "<details><summary>sign-rust-crypto</summary>\n\n```text"]
#![doc = include_str!("dependencies/sign-rust-crypto.txt")]
#![doc = "```\n\n</details>\n"]
#![doc = "<details><summary>tonic</summary>\n\n```text"]
#![doc = include_str!("dependencies/tonic.txt")]
#![doc = "```\n\n</details>\n"]
#![doc = "<details><summary>tracing</summary>\n\n```text"]
#![doc = include_str!("dependencies/tracing.txt")]
#![doc = "```\n\n</details>\n"]
#![doc = "<details><summary>test-util</summary>\n\n```text"]
#![doc = include_str!("dependencies/test-util.txt")]
#![doc = "```\n\n</details>\n"]
