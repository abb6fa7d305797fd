//! What a program's operators can see: spans, events and metrics, and the status for its users.
//!
//! | for | there is | by |
//! |---|---|---|
//! | the program | [`Session::events`](crate::Session::events), [`RefreshError`](crate::RefreshError), [`NotReplayed`](crate::NotReplayed) | always |
//! | its user interface | [`Session::status_stream`](crate::Session::status_stream) | always |
//! | traces and logs | one span for each refresh, events for replays, refusals and sessions | feature `tracing` |
//! | dashboards and alerts | counters and histograms | feature `metrics` |
//!
//! Without its feature none of it is compiled. With it a request that goes out on a valid token whose
//! successor is not due creates no span, no event and no metric.
//!
//! A subscriber and a recorder are code of the program. They are called under no lock of this crate, and
//! where they panic the panic is caught: no refresh, no token and no answer is lost by it. One that blocks
//! holds up what it is called from: most often the task of a refresh, after those who wait were woken. The
//! span of an early refresh is made in the call of the service that begins it.
//!
//! No field, label or message holds a part of a token, nor what a server wrote, but for registered error
//! codes. Of a request there are its method, its host and its port: path and query may hold secrets.
//!
//! # The span
//!
//! Target `tower_reauth`, name `refresh`, level `INFO`: one for each look at the store and each refresh,
//! from its beginning until everyone was woken. It is entered only while the refresh is polled. It has no
//! parent, since many requests share it; it *follows from* the span of the request that began it. A login
//! has none.
//!
//! | field | value |
//! |---|---|
//! | `cause` | `start`: the session had no token yet; `early`, `expired`, `challenged`, `look_up`: as [`RefreshCause`](crate::RefreshCause) |
//! | `outcome` | see below |
//! | `error.type` | see below; absent where there was no error |
//! | `generation` | the ordinal of the access token that is held at the end: the new one's, or, after a failure, the old one's; absent where none is |
//! | `attempts` | how often the token source was asked; 0 where the store had the answer |
//! | `waiters` | how many waited when it ended, whoever began it among them; 0 for an early refresh, for which nobody waits |
//! | `duration_seconds` | from its beginning to its end |
//!
//! | `outcome` | meaning |
//! |---|---|
//! | `refreshed` | a new access token came from the source |
//! | `adopted` | tokens were taken from the store, or those given to the builder; the source was not asked, or another process was faster |
//! | `unchanged` | the store had nothing new |
//! | `failed` | see `error.type`; the session cools down, or a look changed nothing |
//! | `ended` | the authorization server's verdict ended the session |
//! | `logged_out` | the store holds a tombstone |
//! | `login_required` | there is nothing to start from |
//! | `superseded` | a login or a logout came first |
//! | `abandoned` | it was dropped with its runtime, or there is none |
//!
//! # The events
//!
//! All have the target `tower_reauth`. What happens in the course of a refresh is told in its span.
//!
//! | message | level | fields | in the span |
//! |---|---|---|---|
//! | a new access token is in use | `DEBUG` | | yes |
//! | an access token that others fetched is in use | `DEBUG` | | yes |
//! | the store has nothing new | `DEBUG` | | yes |
//! | a login or a logout came before the refresh ended | `DEBUG` | | yes |
//! | an attempt failed; the token source is asked again | `DEBUG` | `attempt`, `error.type` | yes |
//! | an early refresh failed; requests go out on the token that is held | `INFO` | `error.type`, `error`, `retry_in_seconds` | yes |
//! | a refresh failed | `WARN` | `error.type`, `error`, `retry_in_seconds` | yes |
//! | a login is needed | `WARN` | `error.type`, `error` | yes |
//! | the refresh was dropped: its runtime ended, or there is none | `WARN` | | yes |
//! | the session ended; a login is needed | `WARN` | `error.type`, `error`, `ambiguous` | yes |
//! | logged in; logged out | `INFO` | | if that was found in the store |
//! | the store did not take what it was given; it is tried again | `WARN` | `error.type`, `error` | in a refresh |
//! | the store took what it was owed | `INFO` | | |
//! | the store is unavailable; the refresh goes on without it | `WARN` | `error.type`, `error` | yes |
//! | the store holds a tombstone or another one's record; the tokens given to the builder are not used | `WARN` | | yes |
//! | tokens that are no longer used could not be revoked | `WARN` | `error.type`, `error` | |
//! | a resource server wants more than a refresh can give | `INFO` | | |
//! | the last handle of the session was dropped with a refresh in flight or a save owed | `WARN` | | |
//! | a challenged request is sent again | `DEBUG` | `generation`, `refreshed`, `http.request.resend_count` and those below | |
//! | a challenged request is not sent again | `INFO` | `reason`, `error.type` and those below | |
//!
//! A challenge is no error: it is how a token's end is often learned. A request that is not sent again is
//! told as information, since its caller gets the challenge, and the cause was a warning once.
//!
//! | field | value |
//! |---|---|
//! | `generation` | the ordinal of the access token that it goes out with |
//! | `refreshed` | whether a refresh ran because of the challenge; if not, the token was newer already |
//! | `http.request.resend_count` | 1 for the first replay |
//! | `http.request.method` | OpenTelemetry's: `_OTHER` for a method that it does not know; absent for a request with [`NoReplay`](crate::NoReplay) |
//! | `http.response.status_code` | of the challenge |
//! | `server.address`, `server.port` | where the request goes; absent for a URI without authority |
//! | `reason` | see below |
//!
//! | `reason` | the request is not sent again because |
//! |---|---|
//! | `asked`, `body`, `exhausted`, `redirected` | as [`NotReplayed`](crate::NotReplayed) says |
//! | `refused` | its endpoint refused the token that was just fetched for it |
//! | `braked` | fresh tokens are refused again and again |
//! | `failed` | the refresh, or the look at the store, that it waited for did not help |
//! | `cooling` | a refresh failed not long ago |
//! | `ended`, `logged_out`, `login_required`, `closed` | only a login helps, or another session |
//! | `timed_out` | its patience ended before the refresh did |
//! | `no_runtime`, `reentrant` | a refresh cannot run here, or the request is the token source's own |
//!
//! # Error types
//!
//! The values of `error.type`, which OpenTelemetry wants to be few:
//!
//! | value | meaning |
//! |---|---|
//! | `transient` | nothing was spent; it may work later |
//! | `ambiguous`, `unanswered` | the refresh token may be spent, and no usable answer came, or none at all |
//! | `rejected` | the authorization server's verdict |
//! | `misconfigured` | the token endpoint refused the client |
//! | `same_token`, `expired_token` | the answer was the token that is held, or one that has expired |
//! | `store` | the token store failed |
//! | `panicked`, `reentrant` | the token source panicked, or called the session that it serves |
//! | `login_required`, `logged_out`, `closed` | there is no session to refresh |
//! | `refused`, `braked` | fresh tokens do not help |
//! | `timed_out` | a waiter's patience ended; the refresh goes on |
//! | `no_runtime`, `abandoned` | there is no runtime to refresh on, or it ended |
//! | `unattached`, `overfull` | the request could not carry a token |
//!
//! # Metrics
//!
//! Through the facade of the `metrics` crate. Call `describe_metrics()` once, when the recorder is installed,
//! to give them units and texts. There is no label for a host, an account or a session.
//!
//! | name | kind | unit | labels | counts |
//! |---|---|---|---|---|
//! | `tower_reauth_refreshes_total` | counter | count | `cause`, `outcome`, `error_type` where there is one | refreshes and looks at the store that ended, as the span's fields say. Early refreshes are those with `cause="early"` |
//! | `tower_reauth_refresh_duration_seconds` | histogram | seconds | `cause`, `outcome` | how long each took |
//! | `tower_reauth_refresh_waiters` | histogram | count | `cause` | how many waited for each when it ended: its sum is the number of requests that one refresh each would have served |
//! | `tower_reauth_replays_total` | counter | count | `refreshed`: `true`, `false` | challenged requests that were sent again |
//! | `tower_reauth_replays_refused_total` | counter | count | `reason` | challenged requests that were not |
//! | `tower_reauth_stale_serves_total` | counter | count | | requests through [`RefreshLayer`](crate::RefreshLayer) answered that went out on a good token whose successor was due: inside the early window, or while the session cools |
//! | `tower_reauth_persist_failures_total` | counter | count | | times that the store did not take new tokens or a tombstone |
//!
//! What to alert on:
//!
//! | query | says |
//! |---|---|
//! | `rate(tower_reauth_refreshes_total{outcome="failed"}[5m]) > 0` | the token endpoint or the store is in trouble, by `error_type` |
//! | `increase(tower_reauth_refreshes_total{outcome="ended"}[1h]) > 0` | somebody has to log in again |
//! | `rate(tower_reauth_replays_refused_total{reason=~"refused\|braked"}[5m]) > 0` | an API refuses fresh tokens: audience, scope, or its own clock |
//! | `increase(tower_reauth_persist_failures_total[15m]) > 0` | new tokens exist in memory only; a restart may need a login |
//! | `rate(tower_reauth_refreshes_total{cause="challenged"}[1h])` near the rate of all | tokens die before their time: revoked, or their lifetime is unknown |
