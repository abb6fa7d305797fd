//! Who holds which token. No clock, no key: time is an argument, and minting a closure.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use crate::testing::jwt::Millis;

/// An access token as it was handed out.
#[derive(Clone)]
pub(super) struct Minted {
    pub(super) token: String,
    pub(super) id: String,
    pub(super) expiry: Millis,
}

/// What a token answer hands out.
#[derive(Clone)]
pub(super) struct Granted {
    pub(super) access: Minted,
    pub(super) refresh: Option<String>,
}

/// How refresh tokens are treated.
#[derive(Clone, Copy)]
pub(super) struct Rules {
    pub(super) grace: Duration,
    pub(super) rotate: bool,
    pub(super) hand_out_refresh_token: bool,
    pub(super) same_access_token: bool,
}

/// How a refresh token was spent.
pub(super) enum Spent {
    Rotated(Granted),
    Kept(Granted),
    /// Spent before, within the grace window: the same answer again.
    Repeated(Granted),
}

/// Why a refresh token was refused.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Denied {
    Unknown,
    Revoked,
    /// Spent before: its family is revoked.
    Reused,
}

/// What was revoked with a token.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Revoked {
    Family,
    AccessToken,
    Nothing,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct FamilyId(u64);

#[derive(Default)]
pub(super) struct Ledger {
    serial: u64,
    /// The families alive, each with the newest access token of its own.
    families: HashMap<FamilyId, Minted>,
    /// Every refresh token that ever was, so that a spent one is known when it comes back.
    refresh: HashMap<String, Refresh>,
    /// Access tokens alive by their `jti`. One from client credentials has no family.
    access: HashMap<String, Option<FamilyId>>,
    newest: Option<String>,
}

struct Refresh {
    family: FamilyId,
    spent: Option<(Instant, Granted)>,
}

impl Ledger {
    /// A number that was not used before, for the name of a token.
    pub(super) fn serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    /// Open a family with its first pair.
    pub(super) fn open(&mut self, access: Minted) -> Granted {
        let family = FamilyId(self.serial());
        let refresh = self.refresh_token(family);
        self.admit(&access, Some(family));
        Granted { access, refresh: Some(refresh) }
    }

    /// Hand out an access token that stands alone.
    pub(super) fn grant(&mut self, access: Minted) -> Granted {
        self.admit(&access, None);
        Granted { access, refresh: None }
    }

    pub(super) fn spend(
        &mut self,
        token: &str,
        now: Instant,
        rules: Rules,
        mint: impl FnOnce(&mut Self) -> Minted,
    ) -> Result<Spent, Denied> {
        let record = self.refresh.get(token).ok_or(Denied::Unknown)?;
        let family = record.family;
        let newest = self.families.get(&family);
        if let Some((when, granted)) = &record.spent {
            if newest.is_some() && now.saturating_duration_since(*when) < rules.grace {
                return Ok(Spent::Repeated(granted.clone()));
            }
            self.revoke_family(family);
            return Err(Denied::Reused);
        }
        let newest = newest.ok_or(Denied::Revoked)?.clone();
        let access = if rules.same_access_token {
            newest
        } else {
            let access = mint(self);
            self.admit(&access, Some(family));
            access
        };
        // A server that does not name a successor keeps the token: a client without one holds on to
        // the old (RFC 6749 §6).
        if !rules.hand_out_refresh_token {
            return Ok(Spent::Kept(Granted { access, refresh: None }));
        }
        if !rules.rotate {
            return Ok(Spent::Kept(Granted { access, refresh: Some(token.to_owned()) }));
        }
        let granted = Granted { access, refresh: Some(self.refresh_token(family)) };
        if let Some(record) = self.refresh.get_mut(token) {
            record.spent = Some((now, granted.clone()));
        }
        Ok(Spent::Rotated(granted))
    }

    /// Revoke what the refresh token `token` belongs to, or the access token of that id.
    pub(super) fn revoke(&mut self, token: &str, access_id: Option<&str>) -> Revoked {
        if let Some(family) = self.refresh.get(token).map(|record| record.family) {
            return if self.revoke_family(family) { Revoked::Family } else { Revoked::Nothing };
        }
        match access_id.and_then(|id| self.access.remove(id)) {
            Some(_) => Revoked::AccessToken,
            None => Revoked::Nothing,
        }
    }

    pub(super) fn revoke_access_tokens(&mut self) {
        self.access.clear();
    }

    pub(super) fn revoke_all(&mut self) {
        self.access.clear();
        self.families.clear();
    }

    pub(super) fn is_live(&self, access_id: &str) -> bool {
        self.access.contains_key(access_id)
    }

    pub(super) fn is_newest(&self, access_id: &str) -> bool {
        self.newest.as_deref() == Some(access_id)
    }

    fn admit(&mut self, access: &Minted, family: Option<FamilyId>) {
        self.access.insert(access.id.clone(), family);
        self.newest = Some(access.id.clone());
        if let Some(family) = family {
            self.families.insert(family, access.clone());
        }
    }

    fn refresh_token(&mut self, family: FamilyId) -> String {
        let token = format!("refresh-{}-{:016x}", self.serial(), fastrand::u64(..));
        self.refresh.insert(token.clone(), Refresh { family, spent: None });
        token
    }

    fn revoke_family(&mut self, family: FamilyId) -> bool {
        self.access.retain(|_, of| *of != Some(family));
        self.families.remove(&family).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRICT: Rules = Rules {
        grace: Duration::ZERO,
        rotate: true,
        hand_out_refresh_token: true,
        same_access_token: false,
    };

    fn mint(ledger: &mut Ledger) -> Minted {
        let id = ledger.serial().to_string();
        Minted { token: format!("access-{id}"), id, expiry: Millis::of(std::time::UNIX_EPOCH) }
    }

    fn opened() -> (Ledger, Granted, Instant) {
        let mut ledger = Ledger::default();
        let access = mint(&mut ledger);
        let granted = ledger.open(access);
        (ledger, granted, crate::Clock::system().now().mono)
    }

    fn refresh(granted: &Granted) -> &str {
        granted.refresh.as_deref().unwrap()
    }

    fn rotated(spent: Result<Spent, Denied>) -> Granted {
        match spent {
            Ok(Spent::Rotated(granted)) => granted,
            _ => panic!("not rotated"),
        }
    }

    #[test]
    fn a_rotated_pair_is_new_and_the_older_access_token_lives_on() {
        let (mut ledger, first, now) = opened();
        let second = rotated(ledger.spend(refresh(&first), now, STRICT, mint));
        assert_ne!(refresh(&first), refresh(&second));
        assert_ne!(first.access.token, second.access.token);
        assert!(ledger.is_live(&first.access.id) && !ledger.is_newest(&first.access.id));
        assert!(ledger.is_live(&second.access.id) && ledger.is_newest(&second.access.id));
    }

    #[test]
    fn a_spent_token_that_comes_back_kills_the_whole_family() {
        let (mut ledger, first, now) = opened();
        let second = rotated(ledger.spend(refresh(&first), now, STRICT, mint));
        let again = ledger.spend(refresh(&first), now, STRICT, mint);
        assert_eq!(again.err(), Some(Denied::Reused));
        assert!(!ledger.is_live(&second.access.id));
        let after = ledger.spend(refresh(&second), now, STRICT, mint);
        assert_eq!(after.err(), Some(Denied::Revoked));
    }

    #[test]
    fn a_reuse_leaves_other_families_alone() {
        let (mut ledger, first, now) = opened();
        let access = mint(&mut ledger);
        let other = ledger.open(access);
        rotated(ledger.spend(refresh(&first), now, STRICT, mint));
        assert!(ledger.spend(refresh(&first), now, STRICT, mint).is_err());
        assert!(ledger.is_live(&other.access.id));
        rotated(ledger.spend(refresh(&other), now, STRICT, mint));
    }

    #[test]
    fn within_the_grace_window_a_spent_token_repeats_its_pair() {
        let (mut ledger, first, now) = opened();
        let rules = Rules { grace: Duration::from_secs(10), ..STRICT };
        let second = rotated(ledger.spend(refresh(&first), now, rules, mint));

        let within = now + Duration::from_millis(9_999);
        match ledger.spend(refresh(&first), within, rules, mint) {
            Ok(Spent::Repeated(again)) => {
                assert_eq!(again.access.token, second.access.token);
                assert_eq!(again.refresh, second.refresh);
            }
            _ => panic!("not repeated"),
        }
        let after = now + Duration::from_secs(10);
        assert_eq!(ledger.spend(refresh(&first), after, rules, mint).err(), Some(Denied::Reused));
    }

    #[test]
    fn a_revoked_family_repeats_nothing() {
        let (mut ledger, first, now) = opened();
        let rules = Rules { grace: Duration::from_secs(10), ..STRICT };
        let second = rotated(ledger.spend(refresh(&first), now, rules, mint));
        assert_eq!(ledger.revoke(refresh(&second), None), Revoked::Family);
        assert_eq!(ledger.spend(refresh(&first), now, rules, mint).err(), Some(Denied::Reused));
    }

    #[test]
    fn a_token_that_is_not_rotated_can_be_spent_again() {
        let (mut ledger, first, now) = opened();
        let keep = Rules { rotate: false, ..STRICT };
        let omit = Rules { hand_out_refresh_token: false, ..STRICT };
        for _ in 0..2 {
            match ledger.spend(refresh(&first), now, keep, mint) {
                Ok(Spent::Kept(granted)) => assert_eq!(granted.refresh, first.refresh),
                _ => panic!("not kept"),
            }
            match ledger.spend(refresh(&first), now, omit, mint) {
                Ok(Spent::Kept(granted)) => assert_eq!(granted.refresh, None),
                _ => panic!("not kept"),
            }
        }
    }

    #[test]
    fn the_same_access_token_stays_dead_once_it_was_revoked() {
        let (mut ledger, first, now) = opened();
        ledger.revoke_access_tokens();
        let rules = Rules { same_access_token: true, ..STRICT };
        let second = rotated(ledger.spend(refresh(&first), now, rules, mint));
        assert_eq!(second.access.token, first.access.token);
        assert!(!ledger.is_live(&second.access.id));
    }

    #[test]
    fn revoking_an_access_token_leaves_its_family() {
        let (mut ledger, first, now) = opened();
        let id = first.access.id.as_str();
        assert_eq!(ledger.revoke("no refresh token", Some(id)), Revoked::AccessToken);
        assert_eq!(ledger.revoke("no refresh token", Some(id)), Revoked::Nothing);
        rotated(ledger.spend(refresh(&first), now, STRICT, mint));
    }

    #[test]
    fn revoking_everything_reaches_tokens_without_a_family_too() {
        let (mut ledger, first, now) = opened();
        let access = mint(&mut ledger);
        let alone = ledger.grant(access);
        ledger.revoke_all();
        assert!(!ledger.is_live(&alone.access.id) && !ledger.is_live(&first.access.id));
        let after = ledger.spend(refresh(&first), now, STRICT, mint);
        assert_eq!(after.err(), Some(Denied::Revoked));
    }
}
