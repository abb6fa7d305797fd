//! The two layers as middlewares.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use futures::future::join_all;
use http::{Extensions, StatusCode, header};
use reqwest::{Body, Client, Request, Response, ResponseBuilderExt, Url};
use reqwest_middleware::{ClientBuilder, ClientWithMiddleware, Error, Middleware, Next, Result};
use serde_json::{Value, json};
use tower_reauth::{
    AuthLayer, NoAuth, NoReplay, NotReplayed, RefreshError, RefreshLayer, Session,
    testing::{AuthorizationServer, ManualClock, ResourceServer},
};

use super::support::{VERSIONS, World, data, http1, soon, streamed};

pub(crate) fn client(session: &Session, client: Client) -> ClientWithMiddleware {
    ClientBuilder::new(client)
        .with(RefreshLayer::new(session.clone()))
        .with(AuthLayer::new(session.clone()))
        .build()
}

/// What a middleware saw of the requests that passed it.
#[derive(Clone, Default)]
struct Witness(Arc<Mutex<Vec<Seen>>>);

#[derive(Clone, Debug)]
struct Seen {
    authorizations: usize,
    timeout: Option<Duration>,
    url: Url,
    mark: Option<Mark>,
    passes: Option<Passes>,
}

/// Set by the caller.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Mark(u8);

/// Counted by the witness, from pass to pass.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Passes(u8);

#[async_trait::async_trait]
impl Middleware for Witness {
    async fn handle(
        &self,
        request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> Result<Response> {
        self.0.lock().unwrap().push(Seen {
            authorizations: request.headers().get_all(header::AUTHORIZATION).iter().count(),
            timeout: request.timeout().copied(),
            url: request.url().clone(),
            mark: extensions.get().copied(),
            passes: extensions.get().copied(),
        });
        extensions.get_or_insert_default::<Passes>().0 += 1;
        next.run(request, extensions).await
    }
}

impl Witness {
    fn seen(&self) -> Vec<Seen> {
        self.0.lock().unwrap().clone()
    }
}

#[tokio::test]
async fn a_json_body_is_sent_again_byte_for_byte() {
    for version in VERSIONS {
        let world = World::new().await;
        let client = client(&world.session, version());
        let order = json!({"drink": "tea", "cups": 2});
        for revoked in [false, true] {
            if revoked {
                world.authorization.revoke_access_tokens();
            }
            let request = client.post(world.url("/orders")).json(&order);
            let response = soon(request.send()).await.unwrap();
            assert_eq!(response.status(), 200);
            assert_eq!(response.url().as_str(), world.url("/orders"));
            assert_eq!(response.json::<Value>().await.unwrap(), order);
        }
        assert_eq!(world.bodies(), vec![serde_json::to_vec(&order).unwrap(); 3]);
        assert_eq!((world.authorizations(), world.authorization.refreshes()), (vec![1; 3], 1));
        let received = world.api.received().pop().unwrap();
        assert_eq!(received.headers["content-type"], "application/json");
    }
}

#[tokio::test]
async fn an_expired_token_is_refreshed_before_anything_is_sent() {
    let world = World::new().await;
    let expired = world.authorization.login().expires_at(SystemTime::UNIX_EPOCH);
    world.session.login(expired).await.unwrap();
    let client = client(&world.session, http1());
    assert_eq!(soon(client.get(world.url("/a")).send()).await.unwrap().status(), 200);
    assert_eq!((world.api.requests(), world.authorization.refreshes()), (1, 1));
}

#[tokio::test]
async fn two_hundred_and_fifty_six_requests_share_one_refresh() {
    for version in VERSIONS {
        let world = World::new().await;
        let client = client(&world.session, version());
        let refresh = world.authorization.hold();
        world.authorization.revoke_access_tokens();
        let all = (0..256).map(|number| {
            let request = client.post(world.url("/a")).json(&number);
            tokio::spawn(async move { request.send().await.unwrap().json::<u32>().await.unwrap() })
        });
        let all: Vec<_> = all.collect();
        world.until_refused(256).await;
        drop(refresh);
        for (number, answer) in (0..).zip(soon(join_all(all)).await) {
            assert_eq!(answer.unwrap(), number);
        }
        assert_eq!((world.authorization.refreshes(), world.authorization.reused()), (1, 0));
        assert_eq!((world.api.requests(), world.api.accepted()), (512, 256));
    }
}

#[tokio::test]
async fn a_stream_within_the_cap_is_sent_again_and_one_beyond_it_is_not() {
    for version in VERSIONS {
        let world = World::new().await;
        let client = ClientBuilder::new(version())
            .with(RefreshLayer::new(world.session.clone()).keep_bytes(1024))
            .with(AuthLayer::new(world.session.clone()))
            .build();
        for (chunks, expected) in [(4, StatusCode::OK), (40, StatusCode::UNAUTHORIZED)] {
            world.authorization.revoke_access_tokens();
            let (frames, body) = streamed();
            (0..chunks).for_each(|_| data(&frames, vec![b'x'; 64]));
            drop(frames);
            let response = soon(client.post(world.url("/a")).body(body).send()).await.unwrap();
            assert_eq!(response.status(), expected);
            let mark = response.extensions().get::<NotReplayed>();
            assert_eq!(mark, (expected != StatusCode::OK).then_some(&NotReplayed::Body));
            assert!(world.bodies().pop().unwrap() == vec![b'x'; 64 * chunks]);
            soon(world.session.token()).await.unwrap();
        }
        assert_eq!(world.api.requests(), 3);
    }
}

#[tokio::test]
async fn a_401_while_the_upload_runs_pauses_it_and_the_replay_takes_it_over() {
    for version in VERSIONS {
        let world = World::new().await;
        world.api.read_before_refusal(0);
        world.api.drain_after_refusal(true);
        world.authorization.revoke_access_tokens();
        let hold = world.authorization.hold();
        let (frames, body) = streamed();
        data(&frames, "first, ");
        let request = client(&world.session, version()).post(world.url("/a")).body(body);
        let sending = tokio::spawn(request.send());
        soon(hold.until_held(1)).await;
        data(&frames, "then the rest");
        drop((hold, frames));
        let response = soon(sending).await.unwrap().unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.text().await.unwrap(), "first, then the rest");
    }
}

#[tokio::test]
async fn a_middleware_between_sees_each_send_as_the_caller_made_it() {
    let world = World::new().await;
    let (between, beneath) = (Witness::default(), Witness::default());
    let client = ClientBuilder::new(http1())
        .with(RefreshLayer::new(world.session.clone()))
        .with(between.clone())
        .with(AuthLayer::new(world.session.clone()))
        .with(beneath.clone())
        .build();
    world.authorization.revoke_access_tokens();

    let timeout = Duration::from_secs(20);
    let url = format!("{}#fragment", world.url("/a?b=c"));
    let request = client.post(&url).body("a body").timeout(timeout).build().unwrap();
    let mut extensions = Extensions::new();
    extensions.insert(Mark(7));
    let response = soon(client.execute_with_extensions(request, &mut extensions)).await.unwrap();
    assert_eq!(response.status(), 200);

    // Each pass finds what the passes before left, and so does the caller.
    for (witness, authorizations, first) in [(between, 0, 0), (beneath, 1, 1)] {
        let seen = witness.seen();
        assert_eq!(seen.len(), 2);
        for (seen, passes) in seen.iter().zip([first, first + 2]) {
            assert_eq!(seen.authorizations, authorizations);
            assert_eq!((seen.timeout, seen.url.as_str()), (Some(timeout), &*url));
            assert_eq!(seen.mark, Some(Mark(7)));
            assert_eq!(seen.passes.unwrap_or_default(), Passes(passes));
        }
    }
    assert_eq!(extensions.get(), Some(&Passes(4)));
    assert_eq!(extensions.get(), Some(&Mark(7)));
}

#[tokio::test]
async fn a_dropped_request_neither_cancels_nor_loses_the_refresh() {
    let world = World::new().await;
    let client = client(&world.session, http1());
    world.authorization.revoke_access_tokens();
    let hold = world.authorization.hold();
    {
        let request = client.get(world.url("/a")).build().unwrap();
        let mut extensions = Extensions::new();
        extensions.insert(Mark(7));
        let sending = client.execute_with_extensions(request, &mut extensions);
        tokio::select! {
            _ = sending => panic!("it waits for the refresh"),
            () = soon(hold.until_held(1)) => {}
        }
        assert_eq!(extensions.get(), Some(&Mark(7)));
    }
    drop(hold);
    assert_eq!(soon(client.get(world.url("/b")).send()).await.unwrap().status(), 200);
    assert_eq!((world.authorization.refreshes(), world.authorization.reused()), (1, 0));
    let received = world.api.received();
    assert_eq!(received.iter().filter(|received| received.uri.path() == "/a").count(), 1);
}

#[tokio::test]
async fn what_is_not_the_sessions_business_goes_through() {
    let world = World::new().await;
    let client = client(&world.session, http1());
    let stranger = ResourceServer::new(&world.authorization);
    let elsewhere = stranger.serve().await.unwrap();
    let own = AuthorizationServer::new().login();

    let with_own = client.get(world.url("/a")).bearer_auth(own.access().expose_secret());
    let with_none = client.get(world.url("/a")).with_extension(NoAuth);
    let foreign = client.get(elsewhere.uri("/a").to_string());
    for request in [with_own, with_none, foreign] {
        assert_eq!(soon(request.send()).await.unwrap().status(), 401);
    }
    assert_eq!(world.api.received()[0].bearer(), Some(own.access().expose_secret()));
    assert_eq!(world.authorizations(), [1, 0]);
    assert_eq!(stranger.received()[0].authorizations(), 0);
    assert_eq!(world.authorization.token_requests(), 0);
}

#[tokio::test]
async fn no_replay_sends_once_and_marks_the_challenge() {
    let world = World::new().await;
    world.authorization.revoke_access_tokens();
    let client = client(&world.session, http1());
    let request = client.post(world.url("/a")).body("a body").with_extension(NoReplay);
    let response = soon(request.send()).await.unwrap();
    assert_eq!(response.status(), 401);
    assert_eq!(response.extensions().get(), Some(&NotReplayed::Asked));
    assert_eq!(world.bodies(), ["a body"]);
}

#[tokio::test]
async fn an_ended_session_is_a_typed_error_by_downcast() {
    let world = World::new().await;
    let client = client(&world.session, http1());
    world.authorization.revoke_all();
    let response = soon(client.get(world.url("/a")).send()).await.unwrap();
    assert_eq!(response.status(), 401);
    assert!(response.extensions().get::<RefreshError>().unwrap().is_session_ended());
    assert_eq!(response.text().await.unwrap(), "401 Unauthorized\n");

    let Error::Middleware(error) = soon(client.get(world.url("/a")).send()).await.unwrap_err()
    else {
        panic!("it is not reqwest's");
    };
    assert!(error.downcast_ref::<RefreshError>().unwrap().is_session_ended());
    assert_eq!(world.api.requests(), 1);
}

#[tokio::test]
async fn an_error_beneath_is_passed_on_as_it_is() {
    let world = World::new().await;
    let client = client(&world.session, http1());
    let hold = world.api.hold();
    let request = client.get(world.url("/a")).timeout(Duration::from_millis(20));
    let error = soon(request.send()).await.unwrap_err();
    assert!(matches!(error, Error::Reqwest(_)) && error.is_timeout());
    assert_eq!(world.authorization.token_requests(), 0);
    drop(hold);
}

/// A middleware that sends on to another place.
struct Detour(Url);

#[async_trait::async_trait]
impl Middleware for Detour {
    async fn handle(
        &self,
        mut request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> Result<Response> {
        *request.url_mut() = self.0.clone();
        next.run(request, extensions).await
    }
}

#[tokio::test]
async fn where_a_middleware_leads_decides_what_is_attached_and_what_is_a_challenge() {
    let authorization = AuthorizationServer::new();
    let other = ResourceServer::new(&authorization);
    let socket = other.serve().await.unwrap();
    for is_home in [true, false] {
        let world = World::with(|builder| match is_home {
            true => builder.insecure_origin(socket.origin()),
            false => builder,
        })
        .await;
        let client = ClientBuilder::new(http1())
            .with(RefreshLayer::new(world.session.clone()))
            .with(Detour(socket.uri("/a").to_string().parse().unwrap()))
            .with(AuthLayer::new(world.session.clone()))
            .build();
        let before = other.requests();
        // No token of this world is good there.
        let response = soon(client.get(world.url("/a")).send()).await.unwrap();
        assert_eq!(response.status(), 401);
        let sends = usize::from(is_home);
        assert_eq!(world.authorization.refreshes(), sends);
        assert_eq!(other.requests() - before, 1 + sends);
        assert_eq!(other.received().pop().unwrap().authorizations(), sends);
    }
}

/// A middleware that refuses once, by itself, and says where that is from, or does not.
struct Refusing(AtomicBool, Option<Url>);

#[async_trait::async_trait]
impl Middleware for Refusing {
    async fn handle(
        &self,
        request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> Result<Response> {
        if self.0.swap(true, Ordering::Relaxed) {
            return next.run(request, extensions).await;
        }
        let mut refusal = http::Response::builder().status(401);
        if let Some(url) = self.1.clone() {
            refusal = refusal.url(url);
        }
        Ok(refusal.body("").unwrap().into())
    }
}

#[tokio::test]
async fn an_answer_that_a_middleware_makes_is_a_challenge_if_it_says_where_it_is_from() {
    for (says, status, refreshes) in [(true, 200, 1), (false, 401, 0)] {
        let world = World::new().await;
        let url: Url = world.url("/a").parse().unwrap();
        let refusing = Refusing(AtomicBool::new(false), says.then(|| url.clone()));
        let client = ClientBuilder::new(http1())
            .with(RefreshLayer::new(world.session.clone()))
            .with(AuthLayer::new(world.session.clone()))
            .with(refusing)
            .build();
        assert_eq!(soon(client.get(url).send()).await.unwrap().status(), status);
        assert_eq!(world.authorization.refreshes(), refreshes);
    }
}

/// A middleware in which time passes, once.
struct Nap(ManualClock, AtomicBool);

#[async_trait::async_trait]
impl Middleware for Nap {
    async fn handle(
        &self,
        request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> Result<Response> {
        if !self.1.swap(true, Ordering::Relaxed) {
            self.0.step(Duration::from_secs(7200));
        }
        next.run(request, extensions).await
    }
}

#[tokio::test]
async fn a_token_that_runs_out_between_the_two_is_refreshed_and_nothing_was_sent() {
    let clock = ManualClock::new();
    let authorization = AuthorizationServer::with_clock(clock.clock());
    let world = World::at(authorization, |builder| builder.clock(clock.clock())).await;
    let client = ClientBuilder::new(http1())
        .with(RefreshLayer::new(world.session.clone()))
        .with(Nap(clock, AtomicBool::new(false)))
        .with(AuthLayer::new(world.session.clone()))
        .build();
    let request = client.post(world.url("/a")).body("a body");
    assert_eq!(soon(request.send()).await.unwrap().status(), 200);
    assert_eq!((world.bodies(), world.authorization.refreshes()), (vec!["a body".into()], 1));
}

#[tokio::test]
async fn attach_alone_takes_the_token_of_a_closure() {
    let world = World::new().await;
    let token = world.authorization.login().access().clone();
    let origins = tower_reauth::Origins::new_insecure(&world.socket.origin()).unwrap();
    let client = ClientBuilder::new(http1())
        .with(AuthLayer::from_fn(origins, move || Some(token.clone())))
        .build();
    let request = client.post(world.url("/a")).body(Body::from("a body"));
    assert_eq!(soon(request.send()).await.unwrap().status(), 200);
    assert_eq!(world.authorizations(), [1]);
}
