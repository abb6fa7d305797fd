//! The layers in every order: no header abroad, no deadlock.

use std::time::Duration;

use bytes::Bytes;
use futures::future::join;
use http::{Request, Response};
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
use tower::{Layer, limit::ConcurrencyLimitLayer, util::BoxCloneSyncService};
use tower_http::follow_redirect::{FollowRedirectLayer, RequestUri};
use tower_reauth::{
    AuthLayer, BoxError, RedirectPolicy, RefreshError, RefreshLayer, Session, map_body,
    testing::ResponseBody,
};

use crate::{
    support::{ABROAD, ORIGIN, World, send},
    web::Web,
};

/// One type all the way down. It has a `Default`, which a redirect layer wants.
type Body = UnsyncBoxBody<Bytes, BoxError>;
type Erased = BoxCloneSyncService<Request<Body>, Response<ResponseBody>, BoxError>;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Part {
    Redirect,
    Refresh,
    Auth,
    Limit,
}
use Part::{Auth, Limit, Redirect, Refresh};

/// From the outermost to the innermost, over `web`.
fn build(order: [Part; 4], session: &Session, web: &Web) -> Erased {
    order.iter().rev().fold(BoxCloneSyncService::new(web.clone()), |inner, part| match part {
        Redirect => {
            let layer = FollowRedirectLayer::with_policy(RedirectPolicy::new(session));
            BoxCloneSyncService::new(layer.layer(inner))
        }
        Refresh => {
            let inner = map_body(BodyExt::boxed_unsync).layer(inner);
            BoxCloneSyncService::new(RefreshLayer::new(session.clone()).layer(inner))
        }
        Auth => BoxCloneSyncService::new(AuthLayer::new(session.clone()).layer(inner)),
        Limit => BoxCloneSyncService::new(ConcurrencyLimitLayer::new(1).layer(inner)),
    })
}

fn get(path: &str) -> Request<Body> {
    Request::get(format!("{ORIGIN}{path}")).body(Body::default()).unwrap()
}

/// How the token is bad when the callers come.
#[derive(Clone, Copy, Debug)]
enum Bad {
    Expired,
    Revoked,
}

struct Outcome {
    world: World,
    web: Web,
    answers: [Result<Response<Bytes>, BoxError>; 2],
}

/// Two callers at once, each led abroad from home. In paused time a deadlock ends in a timeout.
async fn two_callers(order: [Part; 4], bad: Bad) -> Outcome {
    let world = World::new();
    world.authorization.lifetime(Duration::from_secs(60));
    let session = world.session();
    session.token().await.unwrap();
    match bad {
        Bad::Expired => tokio::time::sleep(Duration::from_secs(61)).await,
        Bad::Revoked => world.authorization.revoke_access_tokens(),
    }
    let web = Web::new(&world).redirect(302, &format!("{ORIGIN}/moved"), ABROAD[0]);
    let client = build(order, &session, &web);
    let caller = || tokio::time::timeout(Duration::from_secs(300), send(&client, get("/moved")));
    let (first, second) = join(caller(), caller()).await;
    let no_deadlock = |answer: Result<_, _>| answer.unwrap_or_else(|_| panic!("{order:?} {bad:?}"));
    assert!(!web.is_anything_abroad(), "{order:?} {bad:?}");
    Outcome { world, web, answers: [first, second].map(no_deadlock) }
}

#[tokio::test(start_paused = true)]
async fn redirect_above_attach_and_refresh_above_attach_refreshes_once_and_follows_without_a_token()
{
    for order in [
        [Redirect, Refresh, Auth, Limit],
        [Redirect, Refresh, Limit, Auth],
        [Redirect, Limit, Refresh, Auth],
        [Limit, Redirect, Refresh, Auth],
        [Refresh, Redirect, Auth, Limit],
        [Refresh, Redirect, Limit, Auth],
        [Refresh, Limit, Redirect, Auth],
        [Limit, Refresh, Redirect, Auth],
    ] {
        for bad in [Bad::Expired, Bad::Revoked] {
            let Outcome { world, web, answers } = two_callers(order, bad).await;
            for answer in answers {
                let answer = answer.unwrap();
                assert_eq!(answer.status(), 401, "{order:?} {bad:?}");
                assert_eq!(answer.extensions().get::<RequestUri>().unwrap().0, ABROAD[0]);
            }
            let (home, abroad) = (world.api.accepted(), web.abroad.requests());
            let calls = world.authorization.token_requests();
            assert_eq!((calls, home, abroad), (1, 2, 2), "{order:?} {bad:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn attach_above_refresh_fails_typed_and_follows_nothing() {
    for order in [
        [Redirect, Auth, Refresh, Limit],
        [Redirect, Auth, Limit, Refresh],
        [Redirect, Limit, Auth, Refresh],
        [Limit, Redirect, Auth, Refresh],
    ] {
        let Outcome { world, web, answers } = two_callers(order, Bad::Expired).await;
        for answer in answers {
            assert!(answer.unwrap_err().is::<RefreshError>(), "{order:?}");
        }
        assert_eq!((world.api.requests(), web.abroad.requests()), (0, 0), "{order:?}");

        let Outcome { world, web, answers } = two_callers(order, Bad::Revoked).await;
        for answer in answers {
            assert_eq!(answer.unwrap().status(), 401, "{order:?}");
        }
        assert_eq!((world.api.requests(), web.abroad.requests()), (2, 0), "{order:?}");
        assert_eq!(world.authorization.token_requests(), 0, "{order:?}");
    }
}

/// A follower beneath `AuthLayer` holds the header in its own hands: the ready policy lets go of it.
#[tokio::test(start_paused = true)]
async fn redirect_beneath_attach_with_the_ready_policy_shows_no_header_abroad() {
    for order in [
        [Auth, Redirect, Refresh, Limit],
        [Auth, Redirect, Limit, Refresh],
        [Auth, Limit, Redirect, Refresh],
        [Limit, Auth, Redirect, Refresh],
        [Auth, Refresh, Redirect, Limit],
        [Auth, Refresh, Limit, Redirect],
        [Auth, Limit, Refresh, Redirect],
        [Limit, Auth, Refresh, Redirect],
        [Refresh, Auth, Redirect, Limit],
        [Refresh, Auth, Limit, Redirect],
        [Refresh, Limit, Auth, Redirect],
        [Limit, Refresh, Auth, Redirect],
    ] {
        for bad in [Bad::Expired, Bad::Revoked] {
            let Outcome { world, web, answers } = two_callers(order, bad).await;
            // The stranger's 401 counts for nothing, so at most the one refresh that was needed ran.
            assert!(world.authorization.token_requests() <= 1, "{order:?} {bad:?}");
            let followed = answers.iter().filter(|answer| answer.is_ok()).count();
            assert!(web.abroad.requests() <= followed, "{order:?} {bad:?}");
        }
    }
}
