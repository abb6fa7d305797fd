//! Where tokens go when a real redirect layer follows what a server says.

use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::Full;
use tower::{ServiceBuilder, util::BoxCloneSyncService};
use tower_http::follow_redirect::{
    FollowRedirectLayer, RequestUri,
    policy::{Policy, PolicyExt, clone_body_fn},
};
use tower_reauth::{
    AuthLayer, BoxError, NoAuth, NoReplay, NotReplayed, Origins, RedirectPolicy, RefreshLayer,
    Session, testing::Fault,
};

use crate::{
    support::{ABROAD, Body, Client, ORIGIN, World, get, post, send},
    web::{FILES, Web},
};

fn session(world: &World) -> Session {
    world.builder().origin(FILES).build().unwrap()
}

fn following<P>(session: &Session, policy: P, web: &Web) -> Client
where
    P: Policy<Body, BoxError> + Clone + Send + Sync + 'static,
{
    layered(FollowRedirectLayer::with_policy(policy), session, web)
}

fn layered<P>(layer: FollowRedirectLayer<P>, session: &Session, web: &Web) -> Client
where
    P: Policy<Body, BoxError> + Clone + Send + Sync + 'static,
{
    let layers = ServiceBuilder::new()
        .layer(layer)
        .layer(RefreshLayer::new(session.clone()))
        .layer(AuthLayer::new(session.clone()));
    BoxCloneSyncService::new(layers.service(web.clone()))
}

fn client(world: &World, web: &Web) -> Client {
    let session = session(world);
    following(&session, RedirectPolicy::new(&session), web)
}

fn at(uri: &str) -> Request<Body> {
    Request::get(uri).body(Body::default()).unwrap()
}

/// How many `Authorization` headers each request at home had.
fn authorizations(world: &World) -> Vec<usize> {
    world.api.received().iter().map(|request| request.authorizations()).collect()
}

/// Case 60.
#[tokio::test(start_paused = true)]
async fn a_redirect_to_another_host_port_or_scheme_carries_no_token_and_its_401_is_no_evidence() {
    for abroad in ABROAD {
        let world = World::new();
        let session = session(&world);
        let web = Web::new(&world).redirect(302, &format!("{ORIGIN}/moved"), abroad);
        let client = following(&session, RedirectPolicy::new(&session), &web);

        let response = send(&client, get("/moved")).await.unwrap();

        assert_eq!(response.status(), 401, "{abroad}");
        assert_eq!(response.extensions().get::<RequestUri>().unwrap().0, abroad);
        assert_eq!((web.abroad.requests(), web.is_anything_abroad()), (1, false), "{abroad}");
        assert_eq!(world.authorization.token_requests(), 0);
        // The token is as good as before.
        assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);
        assert_eq!((authorizations(&world), world.api.unauthorized()), (vec![1, 1], 0));
    }
}

/// Case 60.
#[tokio::test(start_paused = true)]
async fn a_chain_that_was_abroad_does_not_come_home_with_a_token() {
    for abroad in ABROAD {
        let world = World::new();
        let web = Web::new(&world)
            .redirect(302, &format!("{ORIGIN}/away"), abroad)
            .redirect(302, abroad, &format!("{ORIGIN}/transfer"))
            .redirect(302, &format!("{ORIGIN}/again"), &format!("{ORIGIN}/away"));
        let client = client(&world, &web);

        let response = send(&client, get("/again")).await.unwrap();

        assert_eq!(response.status(), 401);
        assert_eq!(response.extensions().get::<RequestUri>().unwrap().0.path(), "/transfer");
        assert_eq!(authorizations(&world), [1, 1, 0], "{abroad}");
        assert!(!web.is_anything_abroad());
        assert_eq!(world.authorization.token_requests(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_chain_that_stays_away_keeps_nothing_back_for_its_later_hops_home() {
    let world = World::new();
    let [first, second, ..] = ABROAD;
    let web = Web::new(&world)
        .redirect(302, &format!("{ORIGIN}/away"), first)
        .redirect(302, first, second)
        .redirect(302, second, &format!("{FILES}/here"))
        .redirect(302, &format!("{FILES}/here"), &format!("{ORIGIN}/there"));
    let client = client(&world, &web);

    assert_eq!(send(&client, get("/away")).await.unwrap().status(), 401);
    assert_eq!((authorizations(&world), web.is_anything_abroad()), (vec![1, 0], false));
}

#[tokio::test(start_paused = true)]
async fn a_chain_that_begins_abroad_does_not_come_home_with_a_token() {
    let world = World::new();
    let web = Web::new(&world).redirect(302, ABROAD[0], &format!("{ORIGIN}/transfer"));
    let client = client(&world, &web);

    assert_eq!(send(&client, at(ABROAD[0])).await.unwrap().status(), 401);
    assert_eq!((authorizations(&world), web.is_anything_abroad()), (vec![0], false));
}

#[tokio::test(start_paused = true)]
async fn hops_between_the_sessions_own_origins_carry_its_token() {
    let world = World::new();
    let web = Web::new(&world)
        .redirect(302, &format!("{ORIGIN}/a"), "/b")
        .redirect(302, &format!("{ORIGIN}/b"), &format!("{FILES}/c"))
        .redirect(302, &format!("{FILES}/c"), &format!("{ORIGIN}/d"));
    let client = client(&world, &web);

    let response = send(&client, get("/a")).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["echo-path"], "/d");
    assert_eq!(authorizations(&world), [1; 4]);
}

#[tokio::test(start_paused = true)]
async fn a_token_refused_on_a_later_hop_is_refreshed_and_that_hop_sent_again() {
    let world = World::new();
    let session = session(&world);
    let web = Web::new(&world).redirect(302, &format!("{ORIGIN}/a"), &format!("{FILES}/b"));
    let client = following(&session, RedirectPolicy::new(&session), &web);
    assert_eq!(send(&client, get("/")).await.unwrap().status(), 200);

    let hold = world.api.hold();
    let chain = tokio::spawn(async move { send(&client, get("/a")).await.unwrap() });
    hold.until_held(1).await;
    world.authorization.revoke_access_tokens();
    hold.release();

    let response = chain.await.unwrap();
    assert_eq!((response.status().as_u16(), world.authorization.token_requests()), (200, 1));
    let received = world.api.received();
    let paths: Vec<_> = received.iter().map(|request| request.uri.path()).collect();
    assert_eq!(paths, ["/", "/a", "/b", "/b"]);
}

#[tokio::test(start_paused = true)]
async fn no_auth_stays_on_every_hop_even_if_no_extension_is_preserved() {
    for preserve in [true, false] {
        let world = World::new();
        let session = session(&world);
        // At home nothing answers 200 without a token, so the first two hops are told to.
        for to in [format!("{FILES}/b"), format!("{FILES}/c")] {
            let moved = Response::builder().status(302).header(header::LOCATION, to);
            world.api.fail_next(1, Fault::Response(moved.body(Bytes::new()).unwrap()));
        }
        let policy = RedirectPolicy::new(&session);
        let layer = FollowRedirectLayer::with_policy(policy).preserve_extensions(preserve);
        let client = layered(layer, &session, &Web::new(&world));

        let mut request = get("/a");
        request.extensions_mut().insert(NoAuth);
        assert_eq!(send(&client, request).await.unwrap().status(), 401);
        assert_eq!(authorizations(&world), [0, 0, 0]);
        assert_eq!(world.authorization.token_requests(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_chain_does_not_come_home_even_if_no_extension_is_preserved() {
    let world = World::new();
    let session = session(&world);
    let web = Web::new(&world).redirect(302, &format!("{ORIGIN}/away"), ABROAD[0]).redirect(
        302,
        ABROAD[0],
        &format!("{ORIGIN}/transfer"),
    );
    let policy = RedirectPolicy::new(&session);
    let layer = FollowRedirectLayer::with_policy(policy).preserve_extensions(false);
    let client = layered(layer, &session, &web);

    assert_eq!(send(&client, get("/away")).await.unwrap().status(), 401);
    assert_eq!((authorizations(&world), web.is_anything_abroad()), (vec![1, 0], false));
}

#[tokio::test(start_paused = true)]
async fn no_replay_stays_on_every_hop() {
    let world = World::new();
    world.api.always_401("/b");
    let web = Web::new(&world).redirect(302, &format!("{ORIGIN}/a"), &format!("{FILES}/b"));
    let client = client(&world, &web);

    let mut request = get("/a");
    request.extensions_mut().insert(NoReplay);
    let response = send(&client, request).await.unwrap();
    assert_eq!(response.extensions().get(), Some(&NotReplayed::Asked));
    assert_eq!(world.api.requests(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_callers_own_credentials_stay_home_and_no_token_takes_their_place() {
    for to in [&format!("{FILES}/b"), ABROAD[0]] {
        let world = World::new();
        let own = world.authorization.login();
        let web = Web::new(&world).redirect(302, &format!("{ORIGIN}/a"), to);
        let client = client(&world, &web);

        let mut request = get("/a");
        let bearer = format!("Bearer {}", own.access().expose_secret());
        request.headers_mut().insert(header::AUTHORIZATION, bearer.parse().unwrap());
        request.headers_mut().insert(header::COOKIE, "a=b".parse().unwrap());
        assert_eq!(send(&client, request).await.unwrap().status(), 401);

        let hops: Vec<_> = [world.api.received(), web.abroad.received()].concat();
        assert_eq!(hops.len(), 2, "{to}");
        assert_eq!(hops[0].bearer(), Some(own.access().expose_secret()));
        assert_eq!(hops[1].authorizations(), 0);
        assert!(!hops[1].headers.contains_key(header::COOKIE));
        assert_eq!(world.authorization.token_requests(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn so_many_hops_are_followed_and_the_redirect_after_them_is_the_answer() {
    let world = World::new();
    let session = session(&world);
    let web = Web::new(&world).redirect(302, &format!("{ORIGIN}/round"), "/round");
    for (policy, expected) in [
        (RedirectPolicy::new(&session), 20),
        (RedirectPolicy::new(&session).hops(3), 3),
        (RedirectPolicy::with_origins(Origins::new(ORIGIN).unwrap()).hops(0), 0),
    ] {
        let before = world.api.requests();
        let client = following(&session, policy, &web);
        assert_eq!(send(&client, get("/round")).await.unwrap().status(), 302);
        assert_eq!(world.api.requests() - before, 1 + expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_goes_to_another_place_only_where_the_program_said_how_to_clone_it() {
    let world = World::new();
    let session = session(&world);
    let web = Web::new(&world).redirect(307, &format!("{ORIGIN}/a"), &format!("{FILES}/b"));

    let policy = RedirectPolicy::new(&session);
    let stays = following(&session, policy.clone(), &web);
    assert_eq!(send(&stays, post("/a", "a body")).await.unwrap().status(), 307);
    assert_eq!(world.api.requests(), 1);

    let clone = clone_body_fn(|body: &Body| Some(body.clone()));
    let follows = following(&session, policy.and::<_, Body, BoxError>(clone), &web);
    let response = send(&follows, post("/a", "a body")).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.into_body(), "a body");
    assert_eq!(authorizations(&world), [1, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_challenge_at_the_end_of_a_303_replays_the_get_and_not_the_post() {
    let world = World::new();
    let web = Web::new(&world).redirect(303, &format!("{ORIGIN}/orders"), "/orders/1");
    world.api.always_401("/orders/1");
    let client = client(&world, &web);

    let request = Request::post(format!("{ORIGIN}/orders")).body(Full::from("a body")).unwrap();
    assert_eq!(send(&client, request).await.unwrap().status(), 401);

    let received = world.api.received();
    let lines: Vec<_> = received.iter().map(|one| (one.method.as_str(), &*one.body)).collect();
    assert_eq!(lines, [("POST", &b"a body"[..]), ("GET", b""), ("GET", b"")]);
}
