//! What goes above what, and why.
//!
//! ```text
//!      request                        response
//!         │                               ▲
//!  ┌──────▼───────────────────────────────┴──────┐
//!  │ timeout, load shedding                      │  of the whole, waits included
//!  ├─────────────────────────────────────────────┤
//!  │ BaseUrlLayer   resolve                      │  all beneath see absolute URIs
//!  ├─────────────────────────────────────────────┤
//!  │ redirect                                    │  each hop is a request of its own beneath
//!  ├─────────────────────────────────────────────┤
//!  │ RefreshLayer   admit, keep, classify, replay│
//!  ├─────────────────────────────────────────────┤
//!  │ tracing, compression, your own headers      │  seen once for each send
//!  ├─────────────────────────────────────────────┤
//!  │ AuthLayer      attach                       │
//!  ├─────────────────────────────────────────────┤
//!  │ InspectLayer   judge the body               │  of suspicious responses only
//!  ├─────────────────────────────────────────────┤
//!  │ decompression                               │
//!  ├─────────────────────────────────────────────┤
//!  │ concurrency limit, buffer, rate limit       │
//!  ├─────────────────────────────────────────────┤
//!  │ connection                                  │
//!  └─────────────────────────────────────────────┘
//! ```
//!
//! # Refresh above attach
//!
//! [`RefreshLayer`](crate::RefreshLayer) sends a request again by calling what is beneath it, so
//! [`AuthLayer`](crate::AuthLayer) must be beneath it to attach the new token. The other way round is
//! safe, and useless: the refresh layer sees an `Authorization` that it did not see attached, takes it
//! for the caller's own, and hands every answer on.
//!
//! # Redirects above both
//!
//! Then each hop passes both layers, and each is judged by its own URI: a hop to a foreign origin gets
//! no token, and its 401 is no evidence. A follower *beneath* [`AuthLayer`](crate::AuthLayer) carries
//! the header wherever it goes, unless it strips it itself; that is outside what this crate can promise.
//! `tower_http`'s follower drops request extensions and the caller's `Authorization` on a foreign hop.
//! With feature `redirect` comes `RedirectPolicy`, which keeps [`NoAuth`](crate::NoAuth), and does not
//! come home with a token after a foreign hop. A follower *between* the layers is safe for tokens, but a
//! replay begins its chain anew: a `POST` that a 303 made a `GET` of is done again where that `GET` is
//! challenged.
//!
//! reqwest is a client with a follower inside. It strips the header on a foreign hop and puts it back on
//! the next: give it the `redirect_policy` of feature `reqwest`, or none. Its final URL tells the adapter
//! whether an answer came from where the token was sent.
//!
//! # Judging by the body
//!
//! `InspectLayer` (feature `inspect-body`) stands anywhere beneath [`RefreshLayer`](crate::RefreshLayer),
//! which looks for its verdict, and above what decodes bodies, since it cannot read them encoded. Above
//! [`RefreshLayer`](crate::RefreshLayer) it is safe and useless: its verdicts come too late.
//!
//! # Limits
//!
//! A request that waits for a token holds no readiness of what is beneath: a concurrency limit of one
//! cannot deadlock, above or below. Where the limit stands decides what a queue does to short-lived
//! tokens. Below [`AuthLayer`](crate::AuthLayer) a request queues with its token attached, and may arrive
//! with one that ran out meanwhile: it is challenged, and sent again once. Above
//! [`RefreshLayer`](crate::RefreshLayer), or between the two, it gets its token when its turn comes. With
//! tokens that live for minutes it does not matter.
//!
//! A timeout above bounds the wait for a token too. A refresh is not hurt by it: it runs on a task of
//! its own. A timeout beneath bounds each send.
//!
//! # Retries
//!
//! A retry layer above sends its retries through both layers, so each gets the newest token. Let it leave
//! 401 alone; that is this crate's to answer. [`RefreshError`](crate::RefreshError) says when another try
//! makes sense.
//!
//! # Clients that take only their own body
//!
//! The refresh layer hands down a [`ReplayBody`](crate::ReplayBody). Most clients are generic over the
//! body; for the others [`map_body`](crate::map_body) turns it into theirs.
//!
//! With feature `tonic`, `tonic::ReauthLayer` is both layers with that around them. A channel sets its
//! own origin beneath: the requests above it have a path alone, so tell the session, by
//! [`assume_origin`](crate::SessionBuilder::assume_origin), where it goes.
