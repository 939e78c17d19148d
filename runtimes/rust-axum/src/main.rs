//! A mock service on axum.

mod app;

use std::convert::identity;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use microsim_mock::Program;
use tokio::net::TcpListener;
use tower::ServiceExt;

#[tokio::main]
async fn main() -> Result<(), String> {
    let Program { service, listener, ending } = microsim_mock::start().await?;
    let service = Arc::new(service);
    let app = app::new(service.clone());
    let listener = TcpListener::from_std(listener).map_err(|e| e.to_string())?;
    let connections = GracefulShutdown::new();
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => accepted,
            () = ending.cancelled() => break,
        };
        match stream {
            Ok((stream, _)) => {
                let _ = stream.set_nodelay(true);
                let connection = connections.watch(server().serve_connection(TokioIo::new(stream), answers(app.clone())));
                tokio::spawn(async move { connection.await.map_or_else(drop, identity) });
            }
            // The system is out of descriptors for now; those that wait are taken later.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
    drop(listener);
    let _ = tokio::time::timeout(service.grace, connections.shutdown()).await;
    service.close();
    Ok(())
}

/// A connection may rest for 3 minutes. hyper has one time for that and for the header
/// of a request.
fn server() -> http1::Builder {
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(180));
    server
}

/// Hands requests to the application. An error closes the connection, without an
/// answer, which axum itself cannot.
fn answers(app: Router) -> impl hyper::service::HttpService<Incoming, ResBody = Body, Error = io::Error, Future: Send> {
    service_fn(move |request| {
        let app = app.clone();
        async move {
            let response = app.oneshot(request).await.unwrap_or_else(|never| match never {});
            match response.extensions().get::<app::Closed>() {
                Some(app::Closed) => Err(io::Error::from(io::ErrorKind::ConnectionAborted)),
                None => Ok(response),
            }
        }
    })
}
