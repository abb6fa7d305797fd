//! When a request can be sent again.
//!
//! A 401 says that the request was not applied (RFC 9110 §15.5.2), which is what RFC 9110 §9.2.2 asks
//! for before a client repeats a request of any method. So a challenged `POST` is sent again as a `GET`
//! is. Nothing else is: not after a connection error, not after a 5xx, not when an answer began.
//!
//! reqwest follows redirects by itself, beneath the layers. Where one of them made a `GET` of a `POST`, a 401
//! says that the `GET` was not applied: the `POST` is not sent again.
//!
//! By choice a response counts as a 401 because of its body (feature `inspect-body`). What it says about the
//! request is then for the classifier to know: a GraphQL answer with data may have been applied in part, and
//! `GraphQlErrors` says which of those it takes for a refusal.
//!
//! # What is kept
//!
//! | body | kept | cost |
//! |---|---|---|
//! | none | yes | nothing |
//! | one ready frame (`Full<Bytes>`) | yes, whatever its size | a reference |
//! | a stream | up to [`keep_bytes`](crate::RefreshLayer::keep_bytes), 1 MiB, counting 64 bytes for each frame besides | references; small frames are copied together |
//! | a request with [`NoReplay`](crate::NoReplay) | no | nothing |
//!
//! A stream passes through while it is kept; nothing is collected beforehand. When it outgrows the limit
//! all that was kept is let go, and the first send goes on untouched.
//!
//! Method, URI, version, headers and extensions are kept too. The replay differs from the first send in
//! one thing: its `Authorization`.
//!
//! # What the caller sees
//!
//! ```text
//! 401 ─┬─ kept ─────┬─ a newer token is there ──▶ sent again at once
//!      │            ├─ refresh succeeds ────────▶ sent again
//!      │            └─ refresh fails ───────────▶ the 401, body intact, RefreshError in its extensions
//!      └─ not kept ── refresh runs beside ──────▶ the 401, body intact, NotReplayed in its extensions
//! ```
//!
//! A request is sent again once because of a refresh, and twice in all: a request that was sent just
//! before somebody else's refresh ended first goes again with that token, and so does one that was refused
//! while an early refresh ran already: what that brings may be older than the reason of the refusal. A
//! second refusal of a fresh token is the endpoint's word about itself. It goes to the caller and hurts
//! no other request.
//!
//! # An answer while the upload still runs
//!
//! A server may refuse on the head, long before the body is through. Then the upload *freezes*: the
//! client's connection is told to wait, and nothing more is read from the stream.
//!
//! ```text
//!  upload     ████████░░░░░░░ frozen ─────────┐
//!  401              ▲                         │
//!  refresh          └────────▶ done           ▼
//!  replay                       ████████ + the rest of the stream
//!                               kept       taken over
//! ```
//!
//! When the refresh succeeds the replay sends what was kept, then goes on with the rest of the stream;
//! the old send ends in an error, never in what could be taken for its end. When the refresh fails the
//! upload thaws and the caller gets the 401. When the caller goes away the upload ends in an error, so
//! that no connection is left waiting.
//!
//! A server that closes the connection on unread data may reset it before the 401 can be read. Then
//! there is only an error, and it is passed on.
