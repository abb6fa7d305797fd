//! Your authorization server in three lines.
//!
//! With feature `endpoint-client`, and with discovery, a session is three lines for most:
//!
//! ```
//! # #[cfg(feature = "endpoint-client")] {
//! use tower_reauth::{EndpointClient, RefreshTokenGrant, Session};
//!
//! let client = EndpointClient::new();
//! let grant = RefreshTokenGrant::discover("https://login.example.com", "my-app", client)?;
//! let session = Session::builder(grant).origin("https://api.example.com").build()?;
//! # }
//! # Ok::<(), tower_reauth::BoxError>(())
//! ```
//!
//! The issuer is written exactly as the server's metadata has it: [every character
//! counts](crate::grant::Grant#discovery).
//!
//! | authorization server | issuer | what is known of rotation |
//! |---|---|---|
//! | any with OpenID Connect or RFC 8414 | the `issuer` of its metadata | |
//! | Auth0 | `https://TENANT.auth0.com/`, with the slash | by choice of the application; reuse then ends the family, after an overlap period that is 0 unless set |
//! | Okta | `https://ORG.okta.com/oauth2/default` | the default of single-page applications, a choice of others; reuse ends it, after a grace period that can be set |
//! | Keycloak | `https://HOST/realms/REALM` | "Revoke Refresh Token" of the realm; off, an old token can be used again |
//! | Entra ID | `https://login.microsoftonline.com/TENANT-ID/v2.0` | a new refresh token each time, and the old one is not revoked |
//! | Google | `https://accounts.google.com` | none: the answer to a refresh has no refresh token, and the old one is kept |
//! | GitHub Apps | none; see below | each refresh token works once, and the old access token ends with it |
//!
//! **What was run.** This crate's tests run against its own test server and against `oidc-provider`, which
//! is certified for OpenID Connect. What is said of the others in the table follows from their public
//! documentation, as it was in 2026; none of them was called.
//!
//! # Where something is different
//!
//! **Refresh tokens are often extra.** Most servers give one only if `offline_access` is in the scope of the
//! login; Google, for a web login, if `access_type=offline` is among its parameters.
//!
//! **A grace period or none.** Where reuse ends the session, an answer that got lost may have ended it
//! ([`AmbiguousPolicy`](crate::AmbiguousPolicy)). An overlap of a few seconds, where the server has
//! such a setting, makes the retry safe: set it.
//!
//! **Auth0** wants the `audience` of the API in the request for the login:
//! [`DeviceAuthorization::parameter`](crate::DeviceAuthorization::parameter).
//!
//! **Entra ID**: name your tenant by its id. The metadata of `common` and `organizations` has a placeholder
//! in its issuer, which is equal to nothing. A conditional access policy answers `interaction_required`,
//! which a program may take for the end of the session:
//!
//! ```
//! # use tower_reauth::RefreshTokenGrant;
//! # let client = ();
//! let issuer = "https://login.microsoftonline.com/00000000-0000-0000-0000-000000000000/v2.0";
//! let grant = RefreshTokenGrant::discover(issuer, "my-app", client)?
//!     .verdict_code("interaction_required");
//! # Ok::<(), tower_reauth::InvalidEndpoint>(())
//! ```
//!
//! **GitHub Apps** have no metadata, keep their secret in the body, and answer a dead refresh token with
//! 200 and a code of their own:
//!
//! ```
//! # use tower_reauth::{ClientAuthentication, RefreshTokenGrant};
//! # let (client, secret) = ((), "");
//! let me = ClientAuthentication::post("Iv1.0123456789abcdef", secret);
//! let endpoint = "https://github.com/login/oauth/access_token";
//! let grant = RefreshTokenGrant::new(endpoint, me, client)?.verdict_code("bad_refresh_token");
//! # Ok::<(), tower_reauth::InvalidEndpoint>(())
//! ```
//!
//! Their device login is at `https://github.com/login/device/code`, by
//! [`DeviceAuthorization::new`](crate::DeviceAuthorization::new).
//!
//! **A server of your own** under a private authority:
//! [`EndpointClientBuilder::authority`](https://docs.rs/tower-reauth/latest/tower_reauth/struct.EndpointClientBuilder.html#method.authority).
