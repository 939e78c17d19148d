use std::panic::resume_unwind;
use std::time::Duration;

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::guard::{Any, Get, Guard, Head};
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap};
use actix_web::middleware::Next;
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{Error, HttpRequest, HttpResponse};
use microsim_mock::{Answer, Headers, Request, Service, error_answer};

const MAX_BODY: usize = 64 << 20;
const BODY_TIME: Duration = Duration::from_secs(30);

/// Configures the application of a mock service.
pub fn configure(config: &mut ServiceConfig, service: &Data<Service>) {
    config
        .app_data(service.clone())
        .service(web::resource(["/healthz", "/readyz"]).route(web::route().guard(reading()).to(health)).default_service(web::to(read_only)))
        .service(web::resource("/metrics").route(web::route().guard(reading()).to(metrics)).default_service(web::to(read_only)))
        .service(web::resource(["/admin", "/admin/{rest:.*}"]).to(control));
    if !service.has_set_delay() {
        config.service(web::resource("/set-delay").route(web::post().to(control)).default_service(web::to(answer)));
    }
    // Paths of a service are literal; those that Actix takes for patterns are left to the
    // default service, which finds every path.
    for path in service.paths().into_iter().filter(|path| !path.contains(['{', '}', '%'])) {
        config.service(web::resource(path).to(answer));
    }
    config.default_service(web::to(answer));
}

/// Lets pass what reads.
fn reading() -> impl Guard {
    Any(Get()).or(Head())
}

/// Refuses requests of web pages, before any handler.
pub async fn refuse(request: ServiceRequest, next: Next<impl MessageBody>) -> Result<ServiceResponse<EitherBody<impl MessageBody>>, Error> {
    let refusal = request.app_data::<Data<Service>>().and_then(|service| service.refuse(&headers(request.headers())));
    match refusal {
        Some(refusal) => Ok(request.into_response(respond(Some(refusal))).map_into_right_body()),
        None => next.call(request).await.map(ServiceResponse::map_into_left_body),
    }
}

async fn health() -> &'static str {
    "ok\n"
}

async fn read_only(request: HttpRequest) -> HttpResponse {
    let mut answer = respond(Some(error_answer(405, &format!("{} is read by GET", request.path()))));
    answer.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static("GET, HEAD"));
    answer
}

async fn metrics(service: Data<Service>) -> HttpResponse {
    respond(Some(service.answer_metrics()))
}

async fn control(service: Data<Service>, request: HttpRequest, body: web::Payload) -> HttpResponse {
    match read(&request, body).await {
        Ok(request) => respond(Some(service.control(&request).await)),
        Err(refusal) => respond(Some(refusal)),
    }
}

/// Answers an endpoint or a chain.
async fn answer(service: Data<Service>, request: HttpRequest, body: web::Payload) -> HttpResponse {
    match read(&request, body).await {
        Ok(request) => respond(service.into_inner().answer(request).await),
        Err(refusal) => respond(Some(refusal)),
    }
}

/// Reads the whole request.
async fn read(request: &HttpRequest, body: web::Payload) -> Result<Request, Answer> {
    let body = tokio::time::timeout(BODY_TIME, body.to_bytes_limited(MAX_BODY)).await;
    let body = body.map_err(|_| error_answer(408, "the body did not come in time"))?;
    let body = body.map_err(|_| error_answer(413, &format!("the body has more than the {MAX_BODY} bytes possible")))?;
    Ok(Request {
        method: request.method().to_string(),
        path: request.uri().path().to_owned(),
        headers: headers(request.headers()),
        body: body.map_err(|e| error_answer(400, &format!("reading the body: {e}")))?,
    })
}

fn headers(map: &HeaderMap) -> Headers {
    Headers::read(|name| map.get(name).map(|value| value.as_bytes()))
}

/// Makes a response, or closes the connection without one: its task ends.
fn respond(answer: Option<Answer>) -> HttpResponse {
    let Some(answer) = answer else { resume_unwind(Box::new("the connection is closed")) };
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = HttpResponse::build(status);
    for header in answer.headers {
        response.insert_header(header);
    }
    response.body(answer.body)
}
