//! How a service starts and ends, with whatever framework.

use std::io::{Read, Write};
use std::net::TcpListener;

use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::{Error, Service};

/// A service that is about to be served.
pub struct Program {
    pub service: Service,
    pub listener: TcpListener,
    /// Cancelled at TERM, INT, HUP, or the end of stdin: the time to take no more
    /// connections, and to end what is in flight within the service's grace.
    pub ending: CancellationToken,
}

/// Makes what the environment describes, listens, and prints the address.
pub async fn start() -> Result<Program, Error> {
    let mut service = Service::new(&read_spec()?).await?;
    let listener = listen()?;
    let address = listener.local_addr().map_err(|e| e.to_string())?;
    service.loopback = address.ip().is_loopback();
    let ending = CancellationToken::new();
    end_by_signal(ending.clone())?;
    if std::env::var_os("MICROSIM_WATCH_STDIN").is_some_and(|v| !v.is_empty()) {
        end_with_stdin(ending.clone());
    }
    println!("{}", json!({ "addr": address.to_string() }));
    std::io::stdout().flush().map_err(|e| e.to_string())?;
    Ok(Program { service, listener, ending })
}

fn read_spec() -> Result<String, Error> {
    match std::env::var("MICROSIM_SERVICE") {
        Err(std::env::VarError::NotPresent) => Ok(r#"{"service":{"name":"Undefined","endpoints":[{}]}}"#.into()),
        Err(e) => Err(format!("reading MICROSIM_SERVICE: {e}")),
        Ok(text) => match text.strip_prefix('@') {
            Some(path) => std::fs::read_to_string(path).map_err(|e| format!("reading {path:?}: {e}")),
            None => Ok(text),
        },
    }
}

fn listen() -> Result<TcpListener, Error> {
    let of = |name| std::env::var(name).ok().filter(|v| !v.is_empty());
    let address = of("MICROSIM_ADDR").unwrap_or_else(|| format!(":{}", of("PORT").unwrap_or_else(|| "8080".into())));
    // Without a host, both families are served where the system has them.
    let listener = match address.strip_prefix(':') {
        Some(port) => TcpListener::bind(format!("[::]:{port}")).or_else(|_| TcpListener::bind(format!("0.0.0.0:{port}"))),
        None => TcpListener::bind(&address),
    };
    let listener = listener.map_err(|e| format!("listening on {address}: {e}"))?;
    listener.set_nonblocking(true).map_err(|e| e.to_string())?;
    Ok(listener)
}

#[cfg(unix)]
fn end_by_signal(ending: CancellationToken) -> Result<(), Error> {
    use tokio::signal::unix::{SignalKind, signal};
    let of = |kind| signal(kind).map_err(|e| e.to_string());
    let (mut term, mut int, mut hup) = (of(SignalKind::terminate())?, of(SignalKind::interrupt())?, of(SignalKind::hangup())?);
    tokio::spawn(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
            _ = hup.recv() => {}
        }
        ending.cancel();
    });
    Ok(())
}

#[cfg(not(unix))]
fn end_by_signal(ending: CancellationToken) -> Result<(), Error> {
    tokio::spawn(async move {
        let _ = tokio::signal::ctrl_c().await;
        ending.cancel();
    });
    Ok(())
}

/// Reads stdin on a thread of its own, which the end of the program does not wait for.
fn end_with_stdin(ending: CancellationToken) {
    std::thread::spawn(move || {
        let mut unused = [0; 256];
        while matches!(std::io::stdin().read(&mut unused), Ok(n) if n > 0) {}
        ending.cancel();
    });
}
