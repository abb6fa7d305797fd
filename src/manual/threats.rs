//! What can go wrong with tokens, and what is done about it.
//!
//! | threat | what is done |
//! |---|---|
//! | the access token reaches another host | it goes to named origins only: scheme, host and port of the URI; `Host` is never asked; a URI without authority gets none unless that was allowed |
//! | it crosses the wire in the clear | plain `http` is refused unless the origin was named by [`insecure_origin`](crate::SessionBuilder::insecure_origin) |
//! | a redirect carries it away | each hop is judged anew, and after a foreign hop it does not come home (feature `redirect`) |
//! | a foreign 401 burns it | an answer from where it was not attached is no evidence |
//! | the refresh token goes to another server | it goes to its own issuer's token endpoint; redirects there are not followed; a record of another issuer is left alone |
//! | a forged document names a foreign token endpoint | metadata comes over `https` from the issuer's own host, and counts only if it names that very issuer; redirects are not followed |
//! | it is spent twice | one refresh at a time, across all who share a store; a lost answer is asked for once more, by choice ([`AmbiguousPolicy`](crate::AmbiguousPolicy)) |
//! | it is lost | it is saved before it is used, kept in memory if that fails, and handed out by [`close`](crate::Session::close) if nothing helps |
//! | a logged-out session comes back | a logout takes the right to publish away from a refresh in flight, revokes what that brings, and leaves a tombstone in the store |
//! | a refresh cookie reaches another place | the jar speaks to the refresh endpoint's own origin alone, and by `Domain`, `Path`, `Secure` and the name's prefix; a list of public suffixes would protect nothing more; requests of the program get no cookie |
//! | tokens in logs | no `Debug`, `Display` or error source shows any part of one, nor what a server wrote; header values are marked sensitive |
//! | tokens in memory dumps | buffers of this crate are zeroized when they are dropped; see below for the rest |
//! | tokens at rest | a file for its owner alone; `Sealed` records in any store (feature `sealed`), the operating system's secret storage (feature `keyring`) |
//! | a request goes out anonymously | it fails instead |
//! | a stampede at the token endpoint | single flight, attempts, a cool-down that honours `Retry-After`, and a brake |
//! | a hostile resource server | its challenge costs at most one refresh for each token; parsers are bounded, linear and do not panic |
//! | a hostile body that is judged (feature `inspect-body`) | at most 64 KiB are read, for at most 5 s; nesting is bounded; what is not whole and well-formed says nothing |
//! | a path leads out of the base URL (feature `base-url`) | another authority, and `..` in any spelling, are typed errors |
//! | a hostile answer of the token endpoint | at most 1 MiB is read; only registered error codes, and those that the program listed, are taken over |
//! | a device's login page gives orders to a terminal or opens a file | a code with control, invisible or direction-turning characters is refused, and an address that is not of the web |
//! | forged JWT claims | `exp` and `iat` are a hint of when to refresh, and nothing else |
//!
//! # Whom the issuer vouches for
//!
//! With discovery the refresh token goes where the issuer's metadata says, which may be another host, and
//! may be another one tomorrow. The issuer's certificate vouches for that: who can forge its metadata can
//! forge its token endpoint too. Where that is not wanted, name the endpoint: then nothing is fetched.
//!
//! # What this crate cannot reach
//!
//! Zeroizing ends where a token leaves this crate's own buffers. The text of the `Authorization` value is
//! one of these: it is zeroized when the last request that carries it is gone. Out of reach are the
//! connection's write buffer and TLS records, messages to a secret storage and what its client makes of
//! them, what the client of Redis keeps of a call, HTTP/2's header tables, the private key of a client
//! certificate (rustls's), the fields that an HTTP client reads (`Set-Cookie` among them) and what
//! `cookie_store` keeps of them during a call, what the readers of PEM and JSON and the crypto back end
//! make of a [`ClientAuthentication`](crate::ClientAuthentication)'s key and of a message that is signed,
//! the names of claims, and copies that a [`TokenSource`](crate::TokenSource) or a
//! [`TokenStore`](crate::TokenStore) of yours makes.
//!
//! A sensitive header value is redacted by `http`'s own `Debug`. A layer of yours that prints header
//! values by other means prints this one too, if it stands beneath [`AuthLayer`](crate::AuthLayer).
//!
//! An error that you put into a [`RefreshError`](crate::RefreshError) as its source is printed by whoever
//! prints the chain: let it hold no secret.
//!
//! # The lost answer
//!
//! When a token request was processed and its answer is lost, the server has a new refresh token and the
//! client has a spent one. No client can tell that from a request that never arrived. With a server that
//! allows a short grace window the retry gets the pair again. With one that revokes the whole family at
//! once the session is over, and the error says [`was_ambiguous`](crate::RefreshError::was_ambiguous).
//! This crate makes the window as small as it can: it listens on while the connection lives, and it never
//! drops a refresh because a caller went away.
