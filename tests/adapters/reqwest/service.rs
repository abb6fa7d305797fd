//! The tower stack over reqwest's client.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures::{future::join_all, stream};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::{Frame, SizeHint};
use http_body_util::{Full, StreamBody};
use reqwest::{Body, redirect::Policy};
use tower::{Service, ServiceBuilder, ServiceExt};
use tower_reauth::{
    AuthLayer, NoAuth, NoReplay, NotReplayed, RefreshError, RefreshLayer, RefreshTokenGrant,
    ReqwestService, Session,
    testing::{AuthorizationServer, Fault, ResourceServer},
};

use super::support::{VERSIONS, World, data, get, http1, post, send, soon, stack, streamed};

#[tokio::test]
async fn a_valid_token_is_attached_and_nothing_is_refreshed() {
    for client in VERSIONS {
        let world = World::new().await;
        let stack = stack(&world.session, client());
        let response = send(&stack, post(world.url("/a?b=c"), "a body")).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.url().as_str(), world.url("/a?b=c"));
        assert_eq!(response.text().await.unwrap(), "a body");
        assert_eq!((world.authorizations(), world.authorization.token_requests()), (vec![1], 0));
    }
}

#[tokio::test]
async fn an_expired_token_is_refreshed_before_anything_is_sent() {
    for client in VERSIONS {
        let world = World::new().await;
        let expired = world.authorization.login().expires_at(SystemTime::UNIX_EPOCH);
        world.session.login(expired).await.unwrap();
        let response = send(&stack(&world.session, client()), get(world.url("/a"))).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!((world.api.requests(), world.authorization.refreshes()), (1, 1));
    }
}

#[tokio::test]
async fn a_revoked_token_is_refreshed_and_the_body_sent_again() {
    for client in VERSIONS {
        let world = World::new().await;
        world.authorization.revoke_access_tokens();
        let body = r#"{"drink":"tea"}"#;
        let stack = stack(&world.session, client());
        let response = send(&stack, post(world.url("/a"), body)).await.unwrap();
        assert_eq!(response.text().await.unwrap(), body);
        assert_eq!(world.bodies(), [body; 2]);
        assert_eq!((world.authorizations(), world.authorization.refreshes()), (vec![1, 1], 1));
        let lengths = world.api.received();
        assert!(lengths.iter().all(|received| received.headers["content-length"] == "15"));
    }
}

#[tokio::test]
async fn two_hundred_and_fifty_six_requests_share_one_refresh() {
    for client in VERSIONS {
        let world = World::new().await;
        let stack = stack(&world.session, client());
        let refresh = world.authorization.hold();
        world.authorization.revoke_access_tokens();
        let all = (0..256).map(|number| {
            let (stack, request) = (stack.clone(), post(world.url("/a"), number.to_string()));
            tokio::spawn(async move { send(&stack, request).await.unwrap().text().await.unwrap() })
        });
        let all: Vec<_> = all.collect();
        world.until_refused(256).await;
        drop(refresh);
        for (number, answer) in soon(join_all(all)).await.into_iter().enumerate() {
            assert_eq!(answer.unwrap(), number.to_string());
        }
        assert_eq!((world.authorization.refreshes(), world.authorization.reused()), (1, 0));
        assert_eq!((world.api.requests(), world.api.accepted()), (512, 256));
    }
}

#[tokio::test]
async fn a_stream_within_the_cap_is_sent_again_and_one_beyond_it_is_not() {
    for client in VERSIONS {
        let world = World::new().await;
        let layer = RefreshLayer::new(world.session.clone()).keep_bytes(1024);
        let stack = ServiceBuilder::new()
            .layer(layer)
            .layer(AuthLayer::new(world.session.clone()))
            .service(ReqwestService::new(client()));

        for (chunks, expected) in [(4, StatusCode::OK), (40, StatusCode::UNAUTHORIZED)] {
            world.authorization.revoke_access_tokens();
            let before = world.api.requests();
            let (frames, body) = streamed();
            (0..chunks).for_each(|_| data(&frames, vec![b'x'; 64]));
            drop(frames);
            let response = soon(stack.clone().oneshot(post(world.url("/a"), body))).await.unwrap();
            assert_eq!(response.status(), expected);
            let is_replayed = expected == StatusCode::OK;
            assert_eq!(world.api.requests() - before, 1 + usize::from(is_replayed));
            let mark = response.extensions().get::<NotReplayed>();
            assert_eq!(mark, (!is_replayed).then_some(&NotReplayed::Body));
            assert!(world.bodies().pop().unwrap() == vec![b'x'; 64 * chunks]);
            soon(world.session.token()).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_401_while_the_upload_runs_pauses_it_and_the_replay_takes_it_over() {
    for client in VERSIONS {
        let world = World::new().await;
        world.api.read_before_refusal(0);
        world.api.drain_after_refusal(true);
        world.authorization.revoke_access_tokens();
        let stack = stack(&world.session, client());

        let hold = world.authorization.hold();
        let (frames, body) = streamed();
        data(&frames, "first, ");
        let request = post(world.url("/a"), body);
        let sending = tokio::spawn(async move { send(&stack, request).await });
        soon(hold.until_held(1)).await;
        data(&frames, "then the rest");
        drop((hold, frames));
        let response = soon(sending).await.unwrap().unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.text().await.unwrap(), "first, then the rest");
    }
}

#[tokio::test]
async fn sizes_and_trailers_of_a_stream_arrive() {
    for client in VERSIONS {
        let world = World::new().await;
        let (frames, body) = streamed();
        data(&frames, "data");
        let mut trailers = HeaderMap::new();
        trailers.insert("checksum", "1234".parse().unwrap());
        frames.unbounded_send(Ok(Frame::trailers(trailers))).unwrap();
        drop(frames);
        world.authorization.revoke_access_tokens();
        let mut request = post(world.url("/a"), body);
        request.headers_mut().insert("trailer", "checksum".parse().unwrap());
        let response = send(&stack(&world.session, client()), request).await.unwrap();
        assert_eq!(response.status(), 200);
        for received in world.api.received() {
            assert_eq!(received.trailers.unwrap()["checksum"], "1234");
            assert!(!received.headers.contains_key("content-length"));
        }

        // A stream that knows its size says so.
        let body = Body::wrap(String::from("sized"));
        let response = send(&stack(&world.session, client()), post(world.url("/a"), body)).await;
        assert_eq!(response.unwrap().status(), 200);
        assert_eq!(world.api.received().pop().unwrap().headers["content-length"], "5");
    }
}

#[tokio::test]
async fn a_dropped_request_neither_cancels_nor_loses_the_refresh() {
    for client in VERSIONS {
        let world = World::new().await;
        let stack = stack(&world.session, client());
        world.authorization.revoke_access_tokens();
        let hold = world.authorization.hold();
        let leader = tokio::spawn({
            let (stack, request) = (stack.clone(), get(world.url("/a")));
            async move { send(&stack, request).await }
        });
        soon(hold.until_held(1)).await;
        leader.abort();
        assert!(leader.await.unwrap_err().is_cancelled());
        drop(hold);

        assert_eq!(send(&stack, get(world.url("/b"))).await.unwrap().status(), 200);
        let authorization = &world.authorization;
        assert_eq!((authorization.refreshes(), authorization.reused()), (1, 0));
        let received = world.api.received();
        assert_eq!(received.iter().filter(|received| received.uri.path() == "/a").count(), 1);
    }
}

#[tokio::test]
async fn what_is_not_the_sessions_business_goes_through() {
    let world = World::new().await;
    let stack = stack(&world.session, http1());
    let stranger = ResourceServer::new(&world.authorization);
    let elsewhere = stranger.serve().await.unwrap();

    let own = AuthorizationServer::new().login();
    let mut with_own = get(world.url("/a"));
    let bearer = format!("Bearer {}", own.access().expose_secret());
    with_own.headers_mut().insert("authorization", bearer.parse().unwrap());
    let mut with_none = get(world.url("/a"));
    with_none.extensions_mut().insert(NoAuth);

    for request in [with_own, with_none, get(elsewhere.uri("/a").to_string())] {
        assert_eq!(send(&stack, request).await.unwrap().status(), 401);
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
    let mut request = post(world.url("/a"), "a body");
    request.extensions_mut().insert(NoReplay);
    let response = send(&stack(&world.session, http1()), request).await.unwrap();
    assert_eq!(response.status(), 401);
    assert_eq!(response.extensions().get(), Some(&NotReplayed::Asked));
    assert_eq!(world.bodies(), ["a body"]);
}

#[tokio::test]
async fn an_ended_session_is_told_beside_the_challenge_and_then_instead_of_a_send() {
    let world = World::new().await;
    let stack = stack(&world.session, http1());
    world.authorization.revoke_all();
    let response = send(&stack, get(world.url("/a"))).await.unwrap();
    assert_eq!(response.status(), 401);
    assert!(response.extensions().get::<RefreshError>().unwrap().is_session_ended());
    assert_eq!(response.text().await.unwrap(), "401 Unauthorized\n");

    let error = send(&stack, get(world.url("/a"))).await.unwrap_err();
    assert!(error.downcast_ref::<RefreshError>().unwrap().is_session_ended());
    assert_eq!(world.api.requests(), 1);
}

#[tokio::test]
async fn a_timeout_of_reqwest_is_passed_on_and_refreshes_nothing() {
    let world = World::new().await;
    let hold = world.api.hold();
    let client = reqwest::Client::builder().timeout(Duration::from_millis(20));
    let stack = stack(&world.session, client.build().unwrap());
    let error = send(&stack, get(world.url("/a"))).await.unwrap_err();
    assert!(error.downcast_ref::<reqwest::Error>().unwrap().is_timeout());
    assert_eq!(world.authorization.token_requests(), 0);
    drop(hold);
}

#[tokio::test]
async fn a_request_that_is_none_for_reqwest_fails_with_its_error() {
    let world = World::with(|builder| builder.assume_insecure_origin("http://127.0.0.1")).await;
    let stack = stack(&world.session, http1());
    let error = send(&stack, get("/a")).await.unwrap_err();
    assert!(error.downcast_ref::<reqwest::Error>().unwrap().is_builder());

    // Polled again after its end, it stays pending.
    let mut service = ReqwestService::from(http1());
    let mut future = tokio_test::task::spawn(service.call(get("/a")));
    tokio_test::assert_ready_err!(future.poll());
    tokio_test::assert_pending!(future.poll());
}

#[tokio::test]
async fn any_body_can_be_sent_by_the_stack() {
    let world = World::new().await;
    world.authorization.revoke_access_tokens();
    let stack = ServiceBuilder::new()
        .layer(RefreshLayer::new(world.session.clone()))
        .layer(AuthLayer::new(world.session.clone()))
        .service(ReqwestService::new(http1()));
    let full = Request::post(world.url("/a")).body(Full::new(Bytes::from("full"))).unwrap();
    assert_eq!(soon(stack.clone().oneshot(full)).await.unwrap().status(), 200);
    let text = Request::post(world.url("/a")).body(String::from("text")).unwrap();
    assert_eq!(soon(stack.oneshot(text)).await.unwrap().status(), 200);

    // Frames of other types, and a size that is known of several.
    let frames =
        ["several ", "frames"].map(|text| Ok::<_, Infallible>(Frame::data(text.as_bytes())));
    let several = Sized(14, StreamBody::new(stream::iter(frames)));
    let auth = AuthLayer::new(world.session.clone());
    let stack = ServiceBuilder::new().layer(auth).service(ReqwestService::new(http1()));
    let request = Request::post(world.url("/a")).body(several).unwrap();
    assert_eq!(soon(stack.oneshot(request)).await.unwrap().status(), 200);
    assert_eq!(world.bodies(), ["full", "full", "text", "several frames"]);
    assert_eq!(world.api.received().pop().unwrap().headers["content-length"], "14");
}

/// A stream whose size is known.
struct Sized<B>(u64, B);

impl<B: http_body::Body<Data = &'static [u8]> + Unpin> http_body::Body for Sized<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let polled = Pin::new(&mut self.1).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            self.0 -= frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        polled
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0)
    }
}

#[tokio::test]
async fn the_token_endpoint_is_reached_by_reqwest_and_its_redirects_are_not_followed() {
    let world = World::new().await;
    let socket = world.authorization.serve().await.unwrap();
    let client = reqwest::Client::builder().redirect(Policy::none()).build().unwrap();
    let endpoint = socket.uri("/token").to_string();
    let grant =
        RefreshTokenGrant::new_insecure(&endpoint, "app", ReqwestService::new(client)).unwrap();
    let session = Session::builder(grant)
        .tokens(world.authorization.login())
        .insecure_origin(world.socket.origin())
        .build()
        .unwrap();
    let stack = stack(&session, http1());
    world.authorization.revoke_access_tokens();
    assert_eq!(send(&stack, get(world.url("/a"))).await.unwrap().status(), 200);
    assert_eq!(world.authorization.refreshes(), 1);

    let away = ResourceServer::new(&world.authorization);
    let elsewhere = away.serve().await.unwrap();
    let redirect = Response::builder().status(307).header("location", elsewhere.origin());
    world.authorization.fail_next(1, Fault::Response(redirect.body(Bytes::new()).unwrap()));
    world.authorization.revoke_access_tokens();
    let response = send(&stack, get(world.url("/a"))).await.unwrap();
    assert_eq!(response.status(), 401);
    assert!(response.extensions().get::<RefreshError>().is_some());
    assert_eq!(away.requests(), 0);
}

/// P7, where one client is used for all.
#[tokio::test]
async fn a_client_that_follows_redirects_carries_no_refresh_token_to_where_one_leads() {
    for (client, status) in
        VERSIONS.iter().flat_map(|client| [302, 303, 307].map(|it| (client, it)))
    {
        let world = World::new().await;
        let socket = world.authorization.serve().await.unwrap();
        let endpoint = socket.uri("/token").to_string();
        let endpoint_client = ReqwestService::new(client());
        let grant = RefreshTokenGrant::new_insecure(&endpoint, "app", endpoint_client).unwrap();
        let session = Session::builder(grant)
            .tokens(world.authorization.login())
            .insecure_origin(world.socket.origin())
            .build()
            .unwrap();
        let away = ResourceServer::new(&world.authorization);
        let elsewhere = away.serve().await.unwrap();
        let redirect = Response::builder().status(status).header("location", elsewhere.origin());
        world.authorization.fail_next(1, Fault::Response(redirect.body(Bytes::new()).unwrap()));
        let refused = session.token().await.unwrap();
        let error = soon(session.refresh_after(&refused)).await.unwrap_err();
        assert_eq!(away.requests(), 0, "{status}");
        assert!(error.is_misconfigured(), "{status}: {error:?}");
    }
}

/// Who names the token endpoint is told where the refresh token goes.
#[tokio::test]
async fn a_client_that_follows_redirects_takes_no_metadata_from_where_one_leads() {
    for client in VERSIONS {
        let world = World::new().await;
        let issuer = ResourceServer::new(&world.authorization);
        let socket = issuer.serve().await.unwrap();
        let away = ResourceServer::new(&world.authorization);
        let elsewhere = away.serve().await.unwrap();
        let redirect = Response::builder().status(302).header("location", elsewhere.origin());
        issuer.fail_next(2, Fault::Response(redirect.body(Bytes::new()).unwrap()));
        let endpoint_client = ReqwestService::new(client());
        let grant =
            RefreshTokenGrant::discover_insecure(&socket.origin(), "app", endpoint_client).unwrap();
        let tokens = world.authorization.login().expires_at(SystemTime::UNIX_EPOCH);
        let session = Session::builder(grant).tokens(tokens).insecure_origin(socket.origin());
        let error = soon(session.build().unwrap().token()).await.unwrap_err();
        assert_eq!((issuer.requests(), away.requests()), (2, 0));
        assert!(error.is_misconfigured(), "{error:?}");
    }
}

#[tokio::test]
async fn a_token_endpoint_that_reqwest_cannot_connect_to_was_sent_nothing() {
    for (is_told, is_ambiguous) in [(true, false), (false, true)] {
        let closed = AuthorizationServer::new().serve().await.unwrap();
        let endpoint = closed.uri("/token").to_string();
        drop(closed);
        let client = ReqwestService::new(http1());
        let grant = RefreshTokenGrant::new_insecure(&endpoint, "app", client).unwrap();
        let grant = match is_told {
            true => {
                grant.not_sent(|error| error.downcast_ref().is_some_and(reqwest::Error::is_connect))
            }
            false => grant,
        };
        let tokens = AuthorizationServer::new().login().expires_at(SystemTime::UNIX_EPOCH);
        let session = Session::builder(grant)
            .tokens(tokens)
            .attempts(1, Duration::ZERO)
            .insecure_origin("http://127.0.0.1:9")
            .build()
            .unwrap();
        let error = soon(session.token()).await.unwrap_err();
        assert_eq!(error.was_ambiguous(), is_ambiguous, "{error:?}");
    }
}
