//! A mock service on Actix Web.

mod app;

use std::time::Duration;

use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer, web};
use microsim_mock::Program;

#[actix_web::main]
async fn main() -> Result<(), String> {
    let Program { service, listener, ending } = microsim_mock::start().await?;
    let service = web::Data::new(service);
    let shared = service.clone();
    let server = HttpServer::new(move || App::new().wrap(from_fn(app::refuse)).configure(|config| app::configure(config, &shared)))
        .client_request_timeout(Duration::from_secs(20))
        .keep_alive(Duration::from_secs(180))
        // A client that has left is noticed while its request is worked on.
        .h1_allow_half_closed(false)
        .shutdown_timeout(service.grace.as_secs().max(1))
        .disable_signals()
        .listen(listener)
        .map_err(|e| e.to_string())?
        .run();
    let handle = server.handle();
    actix_web::rt::spawn(async move {
        ending.cancelled().await;
        handle.stop(true).await;
    });
    let served = server.await.map_err(|e| e.to_string());
    service.close();
    served
}
