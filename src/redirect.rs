//! Follow redirects without carrying a token away, or home again.

use http::{Request, header};
use tower_http::follow_redirect::policy::{
    Action, Attempt, FilterCredentials, Limited, Policy, PolicyExt, Standard,
};

use crate::{NoAuth, NoReplay, Origins, Session};

/// A policy for [`FollowRedirect`](tower_http::follow_redirect::FollowRedirect) above the layers of this
/// crate.
///
/// It does what tower-http's [`Standard`] does: so many hops and no more, and a hop to another origin
/// loses the request's extensions and the caller's `Authorization`, `Cookie` and `Proxy-Authorization`.
/// Besides:
///
/// * [`NoAuth`] and [`NoReplay`] stay on every hop; [`NoAuth`] even where the redirect layer preserves no
///   extensions.
/// * A chain does not come home. Once it was at an origin that is none of the session's, whether a hop
///   led there or it began there, every later hop is [`NoAuth`]: a stranger cannot make this client send
///   an authorized request.
/// * A request that lost the caller's own `Authorization` on the way goes on without any: it was never
///   the session's business.
///
/// Where several sessions share a stack, give it the origins of all of them.
///
/// 307 and 308 send the body again (RFC 9110 §15.4.8), to whatever origin they name. This policy clones
/// no body, so where there is one the redirect itself is the answer. To follow these too, add
/// [`clone_body_fn`](tower_http::follow_redirect::policy::clone_body_fn).
///
/// ```
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use http_body_util::Full;
/// use tower::{BoxError, ServiceBuilder, ServiceExt};
/// use tower_http::follow_redirect::{
///     FollowRedirectLayer,
///     policy::{PolicyExt, clone_body_fn},
/// };
/// use tower_reauth::{AuthLayer, Held, RedirectPolicy, RefreshError, RefreshLayer, Session};
/// # use tower_reauth::{AccessToken, ReplayBody, TokenSet, source_fn};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), BoxError> {
/// # let source = source_fn(|_: Held| async {
/// #     let token = AccessToken::new("fresh").map_err(|_| RefreshError::misconfigured())?;
/// #     Ok(TokenSet::new(token))
/// # })
/// # .from_nothing();
/// # let client = tower::service_fn(async |request: Request<ReplayBody<Full<Bytes>>>| {
/// #     let away = request.uri().host() == Some("files.example.net");
/// #     assert_eq!(request.headers().contains_key("authorization"), !away);
/// #     let response = Response::builder();
/// #     let response = match away {
/// #         true => response,
/// #         false => response.status(302).header("location", "https://files.example.net/report"),
/// #     };
/// #     response.body(Full::<Bytes>::default())
/// # });
/// let session = Session::builder(source).origin("https://api.example.com").build()?;
/// let policy = RedirectPolicy::new(&session)
///     .hops(5)
///     .and::<_, Full<Bytes>, BoxError>(clone_body_fn(|body: &Full<Bytes>| Some(body.clone())));
///
/// let client = ServiceBuilder::new()
///     .layer(FollowRedirectLayer::with_policy(policy))
///     .layer(RefreshLayer::new(session.clone()))
///     .layer(AuthLayer::new(session))
///     .service(client);
///
/// // It leads to https://files.example.net, which sees no token.
/// let request = Request::get("https://api.example.com/report").body(Full::default())?;
/// let response = client.oneshot(request).await?;
/// # assert!(response.status().is_success());
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct RedirectPolicy {
    origins: Origins,
    standard: Standard,
    /// Nothing is attached on this hop or a later one.
    away: bool,
}

impl RedirectPolicy {
    /// For a stack with this session.
    #[must_use]
    pub fn new(session: &Session) -> Self {
        Self::with_origins(session.origins().clone())
    }

    /// For a stack whose tokens may go to these origins.
    #[must_use]
    pub fn with_origins(origins: Origins) -> Self {
        Self { origins, standard: standard(Limited::default()), away: false }
    }

    /// How many redirects of one request are followed. The one after them is the answer.
    ///
    /// Default: 20.
    #[must_use]
    pub fn hops(mut self, most: usize) -> Self {
        self.standard = standard(Limited::new(most));
        self
    }
}

fn standard(limited: Limited) -> Standard {
    limited.and::<_, (), ()>(FilterCredentials::new().allow_extension::<NoReplay>())
}

impl<B, E> Policy<B, E> for RedirectPolicy {
    fn redirect(&mut self, attempt: &Attempt<'_>) -> Result<Action, E> {
        Policy::<B, E>::redirect(&mut self.standard, attempt)
    }

    fn on_request(&mut self, request: &mut Request<B>) {
        // Remembered, since the extension itself may be dropped between the hops.
        self.away |= request.extensions().get::<NoAuth>().is_some();
        let had_own = request.headers().contains_key(header::AUTHORIZATION);
        Policy::<B, E>::on_request(&mut self.standard, request);
        let lost_own = had_own && !request.headers().contains_key(header::AUTHORIZATION);
        self.away |= lost_own || !self.origins.contain(request.uri());
        if self.away {
            request.extensions_mut().insert(NoAuth);
        }
    }
}
