//! What a program sees and traces when refreshes succeed, fail and end the session.

use std::{io, time::Duration};

use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::{Full, StreamBody};
use metrics::with_local_recorder;
use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::runtime::Builder;
use tower::{Service, ServiceBuilder, service_fn};
use tower_reauth::{
    AccessToken, AuthLayer, BoxError, Expected, Lease, MemoryStore, Record, RefreshError,
    RefreshLayer, RefreshToken, RefreshTokenGrant, ReplayBody, Session, SessionBuilder, StoreError,
    Stored, Swap, TokenSet, TokenStore, describe_metrics,
};
use tracing::subscriber::set_default;

use crate::printed::{Traces, assert_clean, chain, debug};

const CHALLENGE: &str =
    "Bearer realm=\"canary\", error=\"invalid_token\", error_description=\"canary\"";

type Answer = Result<Response<Frames>, BoxError>;
type Endpoint = fn() -> Answer;
type Frames = StreamBody<futures::stream::Iter<std::vec::IntoIter<Result<Frame<Bytes>, BoxError>>>>;

fn answer(status: u16, headers: &[(&'static str, &'static str)], body: &'static str) -> Answer {
    let frames = vec![Ok(Frame::data(Bytes::from(body)))];
    let mut response = Response::new(StreamBody::new(futures::stream::iter(frames)));
    *response.status_mut() = status.try_into().unwrap();
    for (name, value) in headers {
        response.headers_mut().insert(*name, value.parse().unwrap());
    }
    Ok(response)
}

fn cut() -> Answer {
    let frames = vec![
        Ok(Frame::data(Bytes::from(r#"{"access_token":"canary-"#))),
        Err(BoxError::from("canary in the middle")),
    ];
    Ok(Response::new(StreamBody::new(futures::stream::iter(frames))))
}

/// Each way in which a token endpoint answers, with its own words in every place.
const ANSWERS: &[(&str, Endpoint)] = &[
    ("success", || {
        answer(
            200,
            &[("x-canary", "canary")],
            r#"{"access_token":"canary-2","token_type":"Bearer","refresh_token":"canary-r2","expires_in":3600,"scope":"canary","canary":"canary"}"#,
        )
    }),
    ("success without the rest", || {
        answer(200, &[], r#"{"access_token":"canary-2","token_type":"bearer"}"#)
    }),
    ("the same token", || answer(200, &[], r#"{"access_token":"canary-1","token_type":"bearer"}"#)),
    ("an expired token", || {
        answer(200, &[], r#"{"access_token":"canary-2","token_type":"bearer","expires_in":0}"#)
    }),
    ("a token that is none", || {
        answer(200, &[], r#"{"access_token":"canary\n2","token_type":"bearer"}"#)
    }),
    ("another type of token", || {
        answer(200, &[], r#"{"access_token":"canary-2","token_type":"canary"}"#)
    }),
    ("an odd lifetime", || {
        answer(
            200,
            &[],
            r#"{"access_token":"canary-2","token_type":"bearer","expires_in":"canary"}"#,
        )
    }),
    ("a verdict", || {
        answer(
            400,
            &[],
            r#"{"error":"invalid_grant","error_description":"canary","error_uri":"https://canary"}"#,
        )
    }),
    ("a verdict in a success", || {
        answer(200, &[], r#"{"error":"invalid_grant","error_description":"canary"}"#)
    }),
    ("an unknown code", || answer(400, &[], r#"{"error":"canary","error_description":"canary"}"#)),
    ("a refused client", || {
        answer(
            401,
            &[("www-authenticate", "Basic realm=\"canary\"")],
            r#"{"error":"invalid_client","error_description":"canary"}"#,
        )
    }),
    ("too many", || answer(429, &[("retry-after", "canary")], "canary")),
    ("unavailable", || answer(503, &[("retry-after", "7")], r#"{"error":"canary"}"#)),
    ("a gateway's page", || answer(502, &[("content-type", "text/canary")], "<h1>canary</h1>")),
    ("an error with a verdict's code", || {
        answer(500, &[], r#"{"error":"invalid_grant","x":"canary"}"#)
    }),
    ("no json", || answer(200, &[], "canary")),
    ("json of another shape", || answer(200, &[], r#"["canary"]"#)),
    ("a redirect", || answer(302, &[("location", "https://canary.example/canary")], "canary")),
    ("cut short", cut),
    ("no connection", || Err(io::Error::other("canary: connection refused by canary").into())),
    ("an error of the client's own", || Err("canary".into())),
];

/// A store that fails with words of its own.
struct Failing {
    memory: MemoryStore,
    /// Whether also what a refresh begins with fails.
    reads: bool,
}

impl Failing {
    fn error() -> StoreError {
        StoreError::unavailable().with_source("canary: the store's own words")
    }
}

impl TokenStore for Failing {
    async fn load(&self) -> Result<Option<Stored>, StoreError> {
        if self.reads { self.memory.load().await } else { Err(Self::error()) }
    }

    async fn lease(&self) -> Result<Lease, StoreError> {
        self.memory.lease().await
    }

    async fn compare_and_store(
        &self,
        expected: Expected,
        record: Record,
    ) -> Result<Swap, StoreError> {
        if record.spent_since().is_none() {
            return Err(Self::error());
        }
        self.memory.compare_and_store(expected, record).await
    }

    async fn compare_and_bury(&self, _: Expected) -> Result<Swap, StoreError> {
        Err(Self::error())
    }
}

/// A session whose token is refused at first, and its token endpoint.
fn session(answer: Endpoint, expired: bool) -> SessionBuilder {
    let endpoint = service_fn(move |request: Request<Full<Bytes>>| {
        // As a client that traces heads; what it makes of bodies is its own business.
        tracing::trace!(method = ?request.method(), headers = ?request.headers(), "token request");
        std::future::ready(answer())
    });
    let grant = RefreshTokenGrant::new("https://as.example/token?canary=canary", "app", endpoint)
        .unwrap()
        .parameter("client_secret", "canary")
        .scope("canary")
        .revocation_endpoint("https://as.example/revoke?canary=canary")
        .unwrap();
    let lifetime = Duration::from_secs(if expired { 0 } else { 3600 });
    let tokens = TokenSet::new(AccessToken::new("canary-1").unwrap())
        .refresh_token(RefreshToken::new("canary-r1").unwrap())
        .scope("canary")
        .expires_in(lifetime);
    Session::builder(grant).tokens(tokens).origin("https://api.example.com")
}

/// Runs one request through the stack, and prints all that can be seen of it.
async fn run(session: &Session) -> String {
    let mut seen = String::new();
    let mut events = session.events();
    let api = service_fn(|request: Request<ReplayBody<Full<Bytes>>>| {
        tracing::trace!(?request, "request");
        let refused = request.headers()[header::AUTHORIZATION] == "Bearer canary-1";
        let mut response = Response::new(Full::<Bytes>::from("canary"));
        if refused {
            *response.status_mut() = StatusCode::UNAUTHORIZED;
            let line = HeaderValue::from_static(CHALLENGE);
            response.headers_mut().insert(header::WWW_AUTHENTICATE, line);
        }
        std::future::ready(Ok::<_, BoxError>(response))
    });
    let mut client = ServiceBuilder::new()
        .layer(RefreshLayer::new(session.clone()))
        .layer(AuthLayer::new(session.clone()))
        .service(api);
    seen += &debug(&client);
    let request = Request::post("https://api.example.com/orders").body(Full::from("tea")).unwrap();
    let future = client.call(request);
    seen += &debug(&future);
    match future.await {
        Ok(response) => {
            // The server's own headers are its answer to the caller, and are handed out as they came.
            let error = response.extensions().get::<RefreshError>();
            seen += &error.map(|error| chain(error) + &debug(error)).unwrap_or_default();
        }
        Err(error) => seen += &(chain(&*error) + &debug(error)),
    }
    seen += &debug(session.status());
    seen += &session.reload().await.map_or_else(|error| chain(&error), debug);
    seen += &session.token().await.map_or_else(|error| chain(&error), debug);
    seen += &session.logout().await.map_or_else(|error| chain(&error), debug);
    seen += &session.close().await.map_or_else(|error| chain(&error), debug);
    while let Some(Some(event)) = events.next().now_or_never() {
        seen += &debug(event);
    }
    seen + &debug(session)
}

/// Looks at what is traced and counted while that runs, and returns what is printed.
fn watched(name: &str, session: Session) -> String {
    let runtime = Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let traces = Traces::default();
    let recorder = PrometheusBuilder::new().build_recorder();
    let seen = with_local_recorder(&recorder, || {
        let _tracing = set_default(traces.subscriber());
        describe_metrics();
        runtime.block_on(run(&session))
    });
    let (traces, counts) = (traces.text(), recorder.handle().render());
    assert!(traces.contains("tower_reauth: "), "{name} was not traced");
    assert!(counts.contains("tower_reauth_refreshes_total{"), "{name} was not counted");
    assert_clean(name, &traces);
    assert_clean(name, &counts);
    seen
}

/// Case 67.
#[test]
fn no_outcome_of_a_refresh_prints_a_secret() {
    for (name, answer) in ANSWERS {
        for expired in [false, true] {
            let seen = watched(name, session(*answer, expired).build().unwrap());
            assert_clean(name, &seen);
        }
    }
}

/// Case 67.
#[test]
fn no_failure_of_a_store_prints_a_secret() {
    for reads in [false, true] {
        for (name, answer) in ANSWERS {
            let store = Failing { memory: MemoryStore::new(), reads };
            // The error of a store hands out what the store says of itself, to the program alone.
            let _ = watched(name, session(*answer, true).store(store).build().unwrap());
        }
    }
}
