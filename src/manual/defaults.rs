//! Every default, and its reason. All that have a name here can be set.
//!
//! | setting | default | why |
//! |---|---|---|
//! | [`expiry_leeway`](crate::SessionBuilder::expiry_leeway), [its fraction](crate::SessionBuilder::expiry_leeway_fraction) | 10 s, at most 10 % of the lifetime | a request takes time to arrive, and clocks differ; a token of 30 s must not spend its life expired |
//! | [`early_window`](crate::SessionBuilder::early_window) | last 20 % of the lifetime, at most 5 min | long enough for a token endpoint to be down and come back unnoticed |
//! | [`early_jitter`](crate::SessionBuilder::early_jitter) | up to a third of the window, earlier only | clients that started together do not refresh together; never before half of the lifetime |
//! | [`patience`](crate::SessionBuilder::patience) | 10 s | a request that waits longer is better told so; the refresh goes on |
//! | [`answer_timeout`](crate::SessionBuilder::answer_timeout) | 30 s | an answer that comes late still has the only good refresh token in it |
//! | [`refresh_timeout`](crate::SessionBuilder::refresh_timeout) | 60 s | somebody else may try then |
//! | [`attempts`](crate::SessionBuilder::attempts) | 3, from 200 ms, doubling, fully jittered | hiccups are short; what lasts is for the cool-down |
//! | [`ambiguous`](crate::SessionBuilder::ambiguous) | one prompt retry | servers with a grace window repeat the pair; on strict ones the session was lost with the answer |
//! | [`store_outage`](crate::SessionBuilder::store_outage) | wait | two processes that spend one refresh token may end the session for both |
//! | [`cool_down`](crate::SessionBuilder::cool_down) | 1 s, doubling to 60 s | an endpoint that is down is asked less and less often, by however many requests |
//! | [`longest_retry_after`](crate::SessionBuilder::longest_retry_after) | 1 h | a typo in a server's header must not end a session |
//! | [`brake`](crate::SessionBuilder::brake) | 5 refreshes in 30 s | an API that refuses every token is misconfigured, and a token endpoint is not its punching bag |
//! | [`metadata_lifetime`](crate::grant::Grant::metadata_lifetime) | 1 h | endpoints hardly ever move; when they do, the first failure there looks them up |
//! | [`metadata_grace`](crate::grant::Grant::metadata_grace) | 24 h more, while no newer is to be had | later, what it names may belong to somebody else |
//! | [`replays`](crate::RefreshLayer::replays) | 1 because of a refresh, 2 in all | the second refusal of a fresh token is an answer |
//! | [`keep_bytes`](crate::RefreshLayer::keep_bytes) | 1 MiB | most request bodies are small, and a thousand waiting ones must fit |
//! | [`store_timeout`](crate::SessionBuilder::store_timeout) | 5 s | a disk that hangs must not hang every request |
//! | [`save_retries`](crate::SessionBuilder::save_retries) | from 1 s, doubling to 60 s, for 15 min | then the next refresh saves |
//! | [`revoke_timeout`](crate::SessionBuilder::revoke_timeout) | 10 s | a logout must end |
//! | [`FileStore::patience`](crate::FileStore::patience), and `KeyringStore`'s | 20 s | whoever refreshes has most likely finished by then, and 40 s are left of the refresh for an answer |
//! | `Keyring::time_limit` (feature `keyring`) | 4 s | less than a session waits for its store, so that it learns why |
//! | `RedisStore::lease_duration`, `poll_interval`, `time_limit` (feature `redis`) | 5 s, 500 ms, 2 s | a killed process blocks the others for less than a request waits; a swap, which is two questions, fits into the store's 5 s |
//! | `EndpointClientBuilder::connect_timeout` (feature `endpoint-client`) | 10 s | long enough for a slow network; who was not reached has spent nothing |
//! | `RedirectPolicy::hops` (feature `redirect`) | 20 | as `tower_http`'s |
//! | `InspectLayer::limit`, `patience` (feature `inspect-body`) | 64 KiB, 5 s | errors are short, and come at once; what is longer or slower is content |
//!
//! What is not a setting: metadata is waited for 10 s, 3 s where older serves meanwhile, and looked up
//! again no sooner than 10 s after the last time; a revocation that fails for now is tried again for 8 s;
//! a device polls every 5 s unless the server says otherwise, 5 s more after each `slow_down`, up to
//! every 60 s while nobody answers; a rejected response is emptied for at most 64 KiB and 50 ms before
//! the replay, so that its connection can be used again; an answer of a token endpoint is read up to
//! 1 MiB; a stream of events holds 64.
//!
//! # Two clocks
//!
//! A token has expired when the monotonic clock says so or the wall clock does. The monotonic clock
//! stands still while a laptop sleeps, and the wall clock can be set. A token that was just minted is
//! counted from when its request was sent, by its lifetime; so a wrong wall clock does not matter to it. A
//! token read from a store is counted by its expiry; a wrong clock costs at most one refusal, which leads
//! to a refresh.
