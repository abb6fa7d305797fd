//! P7 where reqwest itself follows redirects, beneath the layers, by either adapter.

use http::{Response, StatusCode, header};
use reqwest::{Body, Client, redirect::Policy};
use tower_reauth::{
    BoxError, NotReplayed, RefreshError, Session,
    testing::{AuthorizationServer, Fault, Loopback, ResourceServer},
};

use super::support::{World, get, http1, post, send, stack};

#[derive(Clone, Copy, Debug)]
enum Adapter {
    Service,
    #[cfg(feature = "reqwest-middleware")]
    Middleware,
}

const ADAPTERS: &[Adapter] = &[
    Adapter::Service,
    #[cfg(feature = "reqwest-middleware")]
    Adapter::Middleware,
];

impl Adapter {
    /// Send this, with a body if there is one.
    async fn send(
        self,
        session: &Session,
        client: Client,
        url: &str,
        body: Option<Body>,
    ) -> Result<reqwest::Response, BoxError> {
        match self {
            Self::Service => {
                let request = body.map_or_else(|| get(url), |body| post(url, body));
                send(&stack(session, client), request).await
            }
            #[cfg(feature = "reqwest-middleware")]
            Self::Middleware => {
                let client = super::middleware::client(session, client);
                let request = match body {
                    None => client.get(url),
                    Some(body) => client.post(url).body(body),
                };
                Ok(super::support::soon(request.send()).await?)
            }
        }
    }
}

/// Home, and a foreign server that takes no token for good.
struct Places {
    home: World,
    abroad: ResourceServer,
    socket: Loopback,
}

impl Places {
    async fn new() -> Self {
        let home = World::new().await;
        let abroad = ResourceServer::new(&home.authorization);
        let socket = abroad.serve().await.unwrap();
        Self { home, abroad, socket }
    }

    fn foreign(&self, path: &str) -> String {
        self.socket.uri(path).to_string()
    }

    /// How many tokens each request abroad carried.
    fn carried_away(&self) -> Vec<usize> {
        self.abroad.received().iter().map(|received| received.authorizations()).collect()
    }

    fn token_requests(&self) -> usize {
        self.home.authorization.token_requests()
    }
}

/// The next request is sent on to this place.
fn leads(server: &ResourceServer, status: u16, location: &str) {
    let mut response = Response::new(Default::default());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response.headers_mut().insert(header::LOCATION, location.parse().unwrap());
    server.fail_next(1, Fault::Response(response));
}

#[tokio::test]
async fn a_401_after_a_foreign_hop_is_returned_and_refreshes_nothing() {
    for adapter in ADAPTERS {
        let places = Places::new().await;
        let Places { home, abroad, .. } = &places;
        leads(&home.api, 302, &places.foreign("/b"));

        let response = adapter.send(&home.session, http1(), &home.url("/a"), None).await.unwrap();
        assert_eq!(response.status(), 401, "{adapter:?}");
        assert_eq!(response.url().as_str(), places.foreign("/b"));
        assert!(response.extensions().get::<RefreshError>().is_none());
        assert_eq!(response.text().await.unwrap(), "401 Unauthorized\n");
        assert_eq!((home.authorizations(), places.carried_away()), (vec![1], vec![0]));
        assert_eq!((abroad.requests(), places.token_requests()), (1, 0));
    }
}

#[tokio::test]
async fn a_401_after_a_redirect_at_home_is_a_challenge() {
    for adapter in ADAPTERS {
        let places = Places::new().await;
        let home = &places.home;
        home.authorization.revoke_access_tokens();
        leads(&home.api, 302, &home.url("/b"));

        let response = adapter.send(&home.session, http1(), &home.url("/a"), None).await.unwrap();
        assert_eq!(response.status(), 200, "{adapter:?}");
        // Redirected, refused, and sent again from the start.
        let received = home.api.received();
        let paths: Vec<_> = received.iter().map(|received| received.uri.path()).collect();
        assert_eq!(paths, ["/a", "/b", "/a"]);
        assert_eq!(home.authorizations(), [1, 1, 1]);
        assert_eq!(places.token_requests(), 1);
    }
}

#[tokio::test]
async fn a_chain_that_has_left_does_not_come_home() {
    for adapter in ADAPTERS {
        let places = Places::new().await;
        let Places { home, abroad, .. } = &places;
        leads(&home.api, 302, &places.foreign("/b"));
        leads(abroad, 302, &home.url("/c"));

        let response = adapter.send(&home.session, http1(), &home.url("/a"), None).await.unwrap();
        assert_eq!(response.status(), 302, "{adapter:?}");
        assert_eq!((home.authorizations(), places.carried_away()), (vec![1], vec![0]));
        assert_eq!(places.token_requests(), 0);
    }
}

#[tokio::test]
async fn a_foreign_server_that_redirects_to_itself_gets_no_token() {
    for adapter in ADAPTERS {
        let places = Places::new().await;
        let Places { home, abroad, .. } = &places;
        leads(&home.api, 302, &places.foreign("/b"));
        leads(abroad, 302, &places.foreign("/c"));

        let response = adapter.send(&home.session, http1(), &home.url("/a"), None).await.unwrap();
        assert_eq!(response.status(), 302, "{adapter:?}");
        assert_eq!(places.carried_away(), [0]);
    }
}

#[tokio::test]
async fn a_chain_without_end_is_an_error_of_reqwest_and_refreshes_nothing() {
    let places = Places::new().await;
    let home = &places.home;
    let mut round = Response::new(Default::default());
    *round.status_mut() = StatusCode::FOUND;
    round.headers_mut().insert(header::LOCATION, home.url("/a").parse().unwrap());
    // An end all the same, or a policy without one would never be told.
    home.api.fail_next(20, Fault::Response(round));
    let result = send(&stack(&home.session, http1()), get(home.url("/a"))).await;
    let error = result.unwrap_err();
    assert!(error.downcast_ref::<reqwest::Error>().unwrap().is_redirect());
    assert_eq!((home.api.requests(), places.token_requests()), (11, 0));
}

/// Why the policy is needed. Where this fails, reqwest has been mended and its documentation here is old.
#[tokio::test]
async fn without_the_policy_reqwest_gives_the_token_to_a_foreign_server_at_its_second_hop() {
    let places = Places::new().await;
    let Places { home, abroad, .. } = &places;
    leads(&home.api, 302, &places.foreign("/b"));
    leads(abroad, 302, &places.foreign("/c"));

    let client = Client::new();
    let response = send(&stack(&home.session, client), get(home.url("/a"))).await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(places.carried_away(), [0, 1]);
}

#[tokio::test]
async fn a_307_repeats_a_body_that_was_ready_and_hands_out_the_redirect_of_a_stream() {
    for adapter in ADAPTERS {
        let places = Places::new().await;
        let Places { home, abroad, .. } = &places;
        leads(&home.api, 307, &places.foreign("/b"));
        let body = Some(Body::from("a body"));
        let response = adapter.send(&home.session, http1(), &home.url("/a"), body).await.unwrap();
        assert_eq!(response.status(), 401, "{adapter:?}");
        assert_eq!(abroad.received()[0].body, "a body");

        leads(&home.api, 307, &places.foreign("/b"));
        let (frames, body) = super::support::streamed();
        super::support::data(&frames, "a ");
        super::support::data(&frames, "stream");
        drop(frames);
        let response = adapter.send(&home.session, http1(), &home.url("/a"), Some(body)).await;
        assert_eq!(response.unwrap().status(), 307);
        assert_eq!((places.carried_away(), places.token_requests()), (vec![0], 0));
    }
}

#[tokio::test]
async fn a_307_at_home_and_a_challenge_there_carry_the_body_each_time() {
    for adapter in ADAPTERS {
        let places = Places::new().await;
        let home = &places.home;
        home.authorization.revoke_access_tokens();
        leads(&home.api, 307, &home.url("/b"));
        let body = Some(Body::from("a body"));
        let response = adapter.send(&home.session, http1(), &home.url("/a"), body).await.unwrap();
        assert_eq!(response.status(), 200, "{adapter:?}");
        assert_eq!(response.text().await.unwrap(), "a body");
        assert_eq!(home.bodies(), ["a body"; 2]);
    }
}

/// What was refused then is the `GET`; the `POST` may have been applied.
#[tokio::test]
async fn a_post_that_became_a_get_on_its_way_is_not_done_twice() {
    for adapter in ADAPTERS {
        for (status, target) in [(301, "/b"), (302, "/b"), (303, "/b"), (303, "/a")] {
            let places = Places::new().await;
            let home = &places.home;
            home.authorization.revoke_access_tokens();
            leads(&home.api, status, &home.url(target));
            let body = Some(Body::from("a body"));
            let response =
                adapter.send(&home.session, http1(), &home.url("/a"), body).await.unwrap();
            assert_eq!(response.status(), 401, "{adapter:?}, {status} to {target}");
            assert_eq!(response.extensions().get(), Some(&NotReplayed::Redirected));
            let received = home.api.received();
            let sent: Vec<_> =
                received.iter().map(|it| (it.method.as_str(), it.uri.path())).collect();
            assert_eq!(sent, [("POST", "/a"), ("GET", target)], "{adapter:?}, {status}");

            // The next request finds a new token.
            let response = adapter.send(&home.session, http1(), &home.url("/c"), None).await;
            assert_eq!(response.unwrap().status(), 200, "{adapter:?}");
            assert_eq!(places.token_requests(), 1);
        }
    }
}

#[tokio::test]
async fn what_may_be_done_twice_is_sent_again_from_the_start_of_its_chain() {
    for adapter in ADAPTERS {
        let places = Places::new().await;
        let home = &places.home;
        home.authorization.revoke_access_tokens();
        leads(&home.api, 303, &home.url("/b"));
        let response = adapter.send(&home.session, http1(), &home.url("/a"), None).await.unwrap();
        assert_eq!((response.status().as_u16(), places.token_requests()), (200, 1), "{adapter:?}");
    }
}

#[tokio::test]
async fn a_request_to_a_foreign_server_keeps_what_reqwest_can_repeat() {
    for adapter in ADAPTERS {
        let places = Places::new().await;
        let Places { home, abroad, .. } = &places;
        leads(abroad, 307, &places.foreign("/b"));
        let body = Some(Body::from("a body"));
        let url = places.foreign("/a");
        let response = adapter.send(&home.session, http1(), &url, body).await.unwrap();
        assert_eq!((response.status(), response.url().path()), (StatusCode::UNAUTHORIZED, "/b"));
        assert_eq!(abroad.received()[1].body, "a body");
        assert_eq!((places.carried_away(), places.token_requests()), (vec![0, 0], 0));
    }
}

#[tokio::test]
async fn another_scheme_is_another_place() {
    for adapter in ADAPTERS {
        let places = Places::new().await;
        let home = &places.home;
        home.authorization.revoke_access_tokens();
        leads(&home.api, 302, &home.url("/a").replace("http:", "https:"));
        // This reqwest has no TLS: the hop fails, unsent.
        let result = adapter.send(&home.session, http1(), &home.url("/a"), None).await;
        let error: BoxError = result.unwrap_err();
        let causes = std::iter::successors(error.source(), |error| error.source());
        let cause = causes.last().unwrap().to_string();
        assert_eq!(cause, "invalid URL, scheme is not http", "{adapter:?}");
        assert_eq!((home.api.requests(), places.token_requests()), (1, 0));
    }
}

#[tokio::test]
async fn another_origin_of_the_session_is_reached_without_the_token_and_refreshes_nothing() {
    for adapter in ADAPTERS {
        let authorization = AuthorizationServer::new();
        let second = ResourceServer::new(&authorization);
        let socket = second.serve().await.unwrap();
        let home =
            World::at(authorization, |builder| builder.insecure_origin(socket.origin())).await;
        leads(&home.api, 302, &socket.uri("/b").to_string());
        let response = adapter.send(&home.session, http1(), &home.url("/a"), None).await.unwrap();
        assert_eq!((response.status().as_u16(), second.requests()), (401, 1), "{adapter:?}");
        assert_eq!(second.received()[0].authorizations(), 0);
        assert_eq!(home.authorization.token_requests(), 0);
    }
}

#[tokio::test]
async fn a_client_that_follows_nothing_hands_out_the_redirect() {
    for adapter in ADAPTERS {
        let places = Places::new().await;
        let home = &places.home;
        leads(&home.api, 302, &places.foreign("/b"));
        let client = Client::builder().redirect(Policy::none()).build().unwrap();
        let response = adapter.send(&home.session, client, &home.url("/a"), None).await.unwrap();
        assert_eq!((response.status().as_u16(), places.carried_away().len()), (302, 0));
    }
}
