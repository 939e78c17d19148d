use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use microsim_mock::{Answer, Headers, Service, error_answer};

type Shared = State<Arc<Service>>;

const MAX_BODY: usize = 64 << 20;
const BODY_TIME: Duration = Duration::from_secs(30);

/// Marks a response in whose place the connection is closed.
#[derive(Clone)]
pub struct Closed;

/// The application of a mock service.
pub fn new(service: Arc<Service>) -> Router {
    let mut app = Router::new()
        .route("/healthz", get("ok\n").fallback(read_only))
        .route("/readyz", get("ok\n").fallback(read_only))
        .route("/metrics", get(metrics).fallback(read_only))
        .route("/admin", any(control))
        .route("/admin/{*rest}", any(control));
    if !service.has_set_delay() {
        app = app.route("/set-delay", post(control).fallback(answer));
    }
    // Paths of a service are literal; those that axum takes for patterns are left to the
    // fallback, which finds every path.
    for path in service.paths().into_iter().filter(|path| !path.contains(['{', '}', '%'])) {
        app = app.route(path, any(answer));
    }
    app.fallback(answer).layer(from_fn_with_state(service.clone(), refuse)).with_state(service)
}

async fn refuse(State(service): Shared, request: Request, next: Next) -> Response {
    match service.refuse(&headers(request.headers())) {
        Some(refusal) => respond(Some(refusal)),
        None => next.run(request).await,
    }
}

async fn read_only(request: Request) -> Response {
    let answer = respond(Some(error_answer(405, &format!("{} is read by GET", request.uri().path()))));
    ([(header::ALLOW, "GET, HEAD")], answer).into_response()
}

async fn metrics(State(service): Shared) -> Response {
    respond(Some(service.answer_metrics()))
}

async fn control(State(service): Shared, request: Request) -> Response {
    match read(request).await {
        Ok(request) => respond(Some(service.control(&request).await)),
        Err(refusal) => respond(Some(refusal)),
    }
}

/// Answers an endpoint or a chain.
async fn answer(State(service): Shared, request: Request) -> Response {
    match read(request).await {
        Ok(request) => respond(service.answer(request).await),
        Err(refusal) => respond(Some(refusal)),
    }
}

/// Reads the whole request.
async fn read(request: Request) -> Result<microsim_mock::Request, Answer> {
    let (head, body) = request.into_parts();
    let body = tokio::time::timeout(BODY_TIME, to_bytes(body, MAX_BODY)).await;
    let body = body.map_err(|_| error_answer(408, "the body did not come in time"))?;
    Ok(microsim_mock::Request {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        headers: headers(&head.headers),
        body: body.map_err(|e| error_answer(413, &format!("reading the body: {e}")))?,
    })
}

fn headers(map: &HeaderMap) -> Headers {
    Headers::read(|name| map.get(name).map(|value| value.as_bytes()))
}

fn respond(answer: Option<Answer>) -> Response {
    let Some(answer) = answer else {
        let mut response = Response::default();
        response.extensions_mut().insert(Closed);
        return response;
    };
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers: HeaderMap =
        answer.headers.into_iter().filter_map(|(name, value)| Some((name.parse().ok()?, value.parse().ok()?))).collect();
    (status, headers, answer.body).into_response()
}
