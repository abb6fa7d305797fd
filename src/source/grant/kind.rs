//! What tells one grant from another.

use std::future::Future;

use zeroize::Zeroizing;

use crate::{Audience, Held, RefreshError};

/// Which grant a [`Grant`](super::Grant) is. There are four, and no program adds another.
pub trait Kind: Sealed {}

impl<K: Sealed> Kind for K {}

/// Parameters that are zeroized once they are sent.
pub(super) type Fields = Vec<(&'static str, Zeroizing<String>)>;

pub trait Sealed: Send + Sync + 'static {
    /// What `Debug` calls it.
    const NAME: &'static str;
    const GRANT_TYPE: &'static str;
    const SPENDS_REFRESH_TOKEN: bool = false;
    /// Whether `audience` may be sent several times.
    const SEVERAL_AUDIENCES: bool = false;
    /// What an answer must have beside an `access_token`.
    const REQUIRED_MEMBER: Option<&'static str> = None;

    /// The grant's own parameters, for one attempt.
    fn fields(
        &self,
        held: &Held,
        audience: &Audience,
    ) -> impl Future<Output = Result<Fields, RefreshError>> + Send;
}
