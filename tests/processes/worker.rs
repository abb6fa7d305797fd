//! A process that shares the session: it makes requests until its standard input ends.

use std::{io::Read, path::PathBuf, process, sync::Arc, thread, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body_util::Full;
use tokio::sync::Notify;
use tower::{Service, ServiceBuilder, ServiceExt, util::BoxCloneSyncService};
use tower_reauth::{
    AuthLayer, BoxError, EndpointBody, EndpointClient, FileStore, RefreshError, RefreshLayer,
    RefreshTokenGrant, ReplayBody, Session, TokenStore, map_body,
};

use crate::{
    report::Report,
    watched::{Exchange, Watched},
};

/// Says which worker a token request is from.
pub(crate) const WORKER: &str = "x-worker";

/// So many requests of one worker are under way at once.
const LANES: usize = 2;

/// Between two requests of a lane.
const PAUSE: Duration = Duration::from_millis(20);

/// Where the session of all workers is kept.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    File(PathBuf),
    /// So many of them, over one connection.
    #[cfg(feature = "redis")]
    Redis {
        url: String,
        lease: Duration,
        sessions: usize,
    },
}

/// What a worker is told, as arguments.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub(crate) place: Place,
    /// The origin of the authorization server.
    pub(crate) authorization: String,
    /// The origin of the resource server.
    pub(crate) api: String,
}

impl Task {
    pub(crate) fn arguments(&self, id: &str) -> [String; 6] {
        let (kind, place) = match &self.place {
            Place::File(path) => ("file", path.to_str().expect("a path of this test").to_owned()),
            #[cfg(feature = "redis")]
            Place::Redis { url, lease, sessions } => {
                ("redis", format!("{} {sessions} {url}", lease.as_millis()))
            }
        };
        let [id, kind, authorization, api] =
            [id, kind, &self.authorization, &self.api].map(str::to_owned);
        ["worker".into(), id, kind, place, authorization, api]
    }
}

/// The grant of every process of a scenario.
pub(crate) fn grant<S>(authorization: &str, service: S) -> RefreshTokenGrant<S> {
    RefreshTokenGrant::new_insecure(&format!("{authorization}/token"), "app", service).unwrap()
}

pub(crate) fn client() -> EndpointClient {
    EndpointClient::builder().allow_loopback_http().build().unwrap()
}

pub(crate) fn run(arguments: &[String]) {
    let [id, kind, place, authorization, api] = arguments else { panic!("not the arguments") };
    let place = match kind.as_str() {
        "file" => Place::File(place.into()),
        #[cfg(feature = "redis")]
        "redis" => {
            let parts: Vec<_> = place.splitn(3, ' ').collect();
            let [lease, sessions, url] = parts[..] else { panic!("not the arguments") };
            let lease = Duration::from_millis(lease.parse().unwrap());
            Place::Redis { url: url.into(), lease, sessions: sessions.parse().unwrap() }
        }
        _ => panic!("no such place: {kind}"),
    };
    let task = Task { place, authorization: authorization.clone(), api: api.clone() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        match &task.place {
            Place::File(path) => work(id, &task, vec![FileStore::open(path).unwrap()]).await,
            #[cfg(feature = "redis")]
            Place::Redis { url, lease, sessions } => {
                let first = crate::redis::store(url, *lease, 0);
                let stores = (0..*sessions).map(|number| first.session(&number.to_string()));
                work(id, &task, stores.collect()).await;
            }
        }
    });
}

/// One of many sessions has less to do.
async fn work<S: TokenStore>(id: &str, task: &Task, stores: Vec<S>) {
    let (lanes, pause) = if stores.len() == 1 { (LANES, PAUSE) } else { (1, 50 * PAUSE) };
    let end = end_of_input();
    let (mut sessions, mut tasks) = (Vec::new(), Vec::new());
    for store in stores {
        let (session, stack) = open(id, task, store);
        sessions.push(session);
        for _ in 0..lanes {
            let (stack, api) = (stack.clone(), task.api.clone());
            tasks.push(tokio::spawn(async move {
                loop {
                    report(request(stack.clone(), &api).await);
                    tokio::time::sleep(pause).await;
                }
            }));
        }
    }
    end.notified().await;
    tasks.iter().for_each(tokio::task::JoinHandle::abort);
    for session in sessions {
        if let Err(unsaved) = session.close().await {
            Report::Failed(format!("close: {unsaved:?}")).say();
        }
    }
}

type Stack = BoxCloneSyncService<Request<Full<Bytes>>, Response<EndpointBody>, BoxError>;

/// A session of this process, and the client over it.
fn open(id: &str, task: &Task, store: impl TokenStore) -> (Session, Stack) {
    let exchange = Exchange::default();
    let stamp = HeaderValue::from_str(id).unwrap();
    let stamped = {
        let (sent, answered) = (exchange.clone(), exchange.clone());
        ServiceBuilder::new()
            .map_response(move |response| {
                answered.is_answered();
                response
            })
            .map_request(move |mut request: Request<Full<Bytes>>| {
                request.headers_mut().insert(WORKER, stamp.clone());
                sent.is_sent();
                request
            })
            .service(client())
    };
    let session = Session::builder(grant(&task.authorization, stamped))
        .store(Watched::new(store, exchange))
        .insecure_origin(&task.api)
        // After a login elsewhere everybody goes on soon.
        .cool_down(Duration::from_millis(50), Duration::from_millis(200))
        .build()
        .unwrap();
    let stack = ServiceBuilder::new()
        .layer(RefreshLayer::new(session.clone()))
        .layer(AuthLayer::new(session.clone()))
        .layer(map_body(|_: ReplayBody<Full<Bytes>>| Full::<Bytes>::default()))
        .service(client());
    (session, BoxCloneSyncService::new(stack))
}

async fn request<S, B>(stack: S, api: &str) -> Result<Response<B>, BoxError>
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>, Error = BoxError>,
{
    let request = Request::get(format!("{api}/")).body(Full::default())?;
    stack.oneshot(request).await
}

fn report<B>(answer: Result<Response<B>, BoxError>) {
    let needs_login = |error: Option<&RefreshError>| error.is_some_and(RefreshError::needs_login);
    let report = match &answer {
        Ok(response) if response.status() == 200 => Report::Served,
        Ok(response) if needs_login(response.extensions().get()) => Report::NeedsLogin,
        Ok(response) => {
            let error = response.extensions().get::<RefreshError>();
            Report::Failed(format!("{}: {error:?}", response.status()))
        }
        Err(error) if needs_login(error.downcast_ref()) => Report::NeedsLogin,
        Err(error) => Report::Failed(format!("{error:?}")),
    };
    report.say();
}

/// A worker whose parent is gone has nobody to work for.
fn end_of_input() -> Arc<Notify> {
    let end = Arc::new(Notify::new());
    let told = end.clone();
    thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        told.notify_one();
        thread::sleep(Duration::from_secs(30));
        process::exit(1);
    });
    end
}
