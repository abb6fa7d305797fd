//! Asks the source, as often as that is safe, and listens.

use std::{pin::pin, task::Poll, time::Duration};

use super::Flight;
use crate::{
    AmbiguousPolicy, Held, RefreshError, TokenSet, clock::Now, error::Kind,
    session::shared::Shared, source::NeverLeft, store::Lease,
};

/// What came of sending the refresh token.
pub(super) struct Spent {
    pub(super) result: Result<(TokenSet, Now), RefreshError>,
    /// One of the attempts may have been processed without a usable answer.
    pub(super) ambiguous: bool,
}

impl Flight {
    /// Send the refresh token: repeat what cannot have been processed, and ask once more where it may
    /// have been. An answer is listened for even after the ticket was taken away.
    pub(super) async fn spend(
        &mut self,
        tokens: Option<&TokenSet>,
        interrupted: bool,
        lease: &mut Option<Lease>,
    ) -> Spent {
        let shared = self.shared.clone();
        let settings = &shared.settings;
        let mut ambiguous = interrupted;
        let mut prompt_retries =
            u32::from(settings.ambiguous == AmbiguousPolicy::RetryOnce && !interrupted);
        let mut attempt = 0;
        loop {
            attempt += 1;
            let sent = shared.clock.now();
            let held = Held::new(tokens.cloned());
            let departure = held.departure().clone();
            self.watch.attempt();
            let limit = settings.answer.min(settings.flight);
            // An answer is listened for as long as any, however late it was asked for: it may hold the
            // only good refresh token.
            let answer = Shared::within(limit, shared.serving(shared.source.refresh(held)));
            let answer = self.listening(answer, lease).await;
            let error = match answer {
                Some(Ok(tokens)) => return Spent { result: Ok((tokens, sent)), ambiguous },
                Some(Err(error)) => error,
                None if departure.is_ahead() => RefreshError::transient().with_source(NeverLeft),
                None => RefreshError::new(Kind::Unanswered),
            };
            let spends = shared.source.spends_refresh_token();
            let error = if spends { error } else { error.of_nothing_spent() };
            ambiguous |= error.was_ambiguous();
            if !self.owns() {
                return Spent { result: Err(error), ambiguous };
            }
            let wait = match error.kind() {
                Kind::Transient if attempt < settings.attempts => {
                    let backoff = settings.retry.delay(attempt).mul_f64(fastrand::f64());
                    backoff.max(error.retry_after().unwrap_or_default())
                }
                Kind::Ambiguous if prompt_retries > 0 => {
                    prompt_retries -= 1;
                    Duration::ZERO
                }
                _ => return Spent { result: Err(error), ambiguous },
            };
            // A longer wait than the waiters' own is a cool-down, and they are told so at once.
            let spare = self.spare();
            if spare.is_zero() || wait > (settings.patience / 2).min(spare) {
                return Spent { result: Err(error), ambiguous };
            }
            if !wait.is_zero() && self.unless_disowned(tokio::time::sleep(wait)).await.is_none() {
                return Spent { result: Err(error), ambiguous };
            }
            // Whoever has the lease by now may have spent the same refresh token.
            if lease.as_ref().is_some_and(|lease| !lease.is_held()) {
                return Spent { result: Err(error), ambiguous };
            }
            self.watch.asks_again(&error);
        }
    }

    /// Give the lease back as soon as the ticket is taken away, and listen on all the same.
    async fn listening<T>(&self, answer: impl Future<Output = T>, lease: &mut Option<Lease>) -> T {
        let mut answer = pin!(answer);
        std::future::poll_fn(|cx| {
            if let Poll::Ready(output) = answer.as_mut().poll(cx) {
                return Poll::Ready(output);
            }
            if lease.is_some()
                && let Some(ticket) = &self.ticket
                && self.shared.gate.poll_disowned(ticket, cx).is_ready()
            {
                lease.take();
            }
            Poll::Pending
        })
        .await
    }
}
