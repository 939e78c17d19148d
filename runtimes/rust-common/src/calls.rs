//! Calls to other services: where they are, how a request is sent, and what became of
//! it. A request is never sent twice.

use std::collections::{BTreeMap, HashMap};
use std::error::Error as _;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{HttpConnector, capture_connection};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use url::Url;

use crate::Error;

/// A call that failed, with its class: connection_error, timeout, http_error or
/// malformed.
#[derive(Debug)]
pub struct CallError {
    pub outcome: &'static str,
    pub text: String,
    pub status: u16,
}

impl CallError {
    pub fn new(outcome: &'static str, text: impl Into<String>) -> Self {
        CallError { outcome, text: text.into(), status: 0 }
    }
}

/// An answer to a call; of one that is longer than wanted, body is the beginning.
pub struct Reply {
    pub status: u16,
    pub content_type: String,
    pub body: Vec<u8>,
    pub whole: bool,
    pub times: String,
    pub degraded: u64,
}

type Known = BTreeMap<String, Arc<[Url]>>;

/// Who may be called, by name and by address.
pub struct Peers {
    system: String,
    allow_hosts: Vec<String>,
    known: RwLock<Known>,
}

fn parse_url(text: &str) -> Option<Url> {
    Url::parse(text).ok().filter(|u| matches!(u.scheme(), "http" | "https") && u.has_host())
}

fn address_of(url: &Url) -> String {
    format!("{}:{}", url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or_default())
}

impl Peers {
    pub fn new(system: String, allow_hosts: Vec<String>) -> Self {
        Peers { system, allow_hosts, known: RwLock::default() }
    }

    /// Says anew where the services are.
    pub fn set(&self, texts: HashMap<String, Vec<String>>) -> Result<(), Error> {
        let base = |name: &str, text: String| {
            parse_url(&text)
                .filter(|u| {
                    u.username().is_empty() && u.password().is_none() && u.query().is_none() && u.fragment().is_none() && u.path() == "/"
                })
                .ok_or_else(|| format!("{text:?} of {name:?} is no base URL: write one such as http://127.0.0.1:8080"))
        };
        let mut known = Known::new();
        for (name, list) in texts {
            let urls = list.into_iter().map(|text| base(&name, text)).collect::<Result<_, _>>()?;
            known.insert(name, urls);
        }
        *self.known.write().expect("no panic under this lock") = known;
        Ok(())
    }

    /// The addresses of a service.
    pub fn of(&self, name: &str) -> Option<Arc<[Url]>> {
        self.known.read().expect("no panic under this lock").get(name).filter(|urls| !urls.is_empty()).cloned()
    }

    /// Finds what a designation of a chain means. The error says why it is not called.
    pub fn locate(&self, designation: &str) -> Result<(String, Arc<[Url]>), Error> {
        for name in [designation.to_owned(), designation.replace('_', "-")] {
            if let Some(urls) = self.of(&name) {
                return Ok((name, urls));
            }
        }
        if !designation.starts_with("http") {
            return Err(format!("designation {designation:.128?} is not a service of system {:?}", self.system));
        }
        let mut url = parse_url(designation).ok_or_else(|| format!("designation {designation:.128?} is not a URL"))?;
        if let Some(instead) = self.of(&address_of(&url)) {
            url.set_host(instead[0].host_str()).map_err(|e| e.to_string())?;
            url.set_port(instead[0].port()).map_err(|()| "its address has no port")?;
        }
        let known = self.known.read().expect("no panic under this lock");
        let address = address_of(&url);
        if let Some((name, _)) = known.iter().find(|(name, urls)| !name.contains(':') && urls.iter().any(|u| address_of(u) == address)) {
            return Ok((name.clone(), [url].into()));
        }
        let name = url.host_str().unwrap_or_default();
        let host = url.port().map_or(name.to_owned(), |port| format!("{name}:{port}"));
        if self.allow_hosts.iter().any(|allowed| *allowed == host || allowed == name) {
            return Ok(("external".into(), [url].into()));
        }
        Err(format!(
            "designation \"{}://{host}\" is outside system {:?}: add {host:?} to its allowHosts to permit it",
            url.scheme(),
            self.system
        ))
    }

    /// The names to which no connection can be made from here.
    pub async fn unreachable(&self) -> Vec<String> {
        let known = self.known.read().expect("no panic under this lock").clone();
        let asked = known.into_iter().filter(|(name, _)| !name.contains(':')).map(|(name, urls)| async move {
            let reached = join_all(urls.iter().map(can_connect)).await.contains(&true);
            (!reached).then_some(name)
        });
        join_all(asked).await.into_iter().flatten().collect()
    }
}

async fn can_connect(url: &Url) -> bool {
    matches!(timeout(Duration::from_secs(1), TcpStream::connect(address_of(url))).await, Ok(Ok(_)))
}

/// Sends requests over connections that are kept.
pub struct Sender(Client<HttpConnector, Full<Bytes>>);

impl Sender {
    pub fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .pool_idle_timeout(Duration::from_secs(90))
            .pool_max_idle_per_host(64)
            .pool_timer(TokioTimer::new())
            .retry_canceled_requests(false)
            .build(connector);
        Sender(client)
    }

    /// Sends a request and reads its whole answer, of which it keeps so much.
    pub async fn send(&self, mut request: http::Request<Full<Bytes>>, deadline: Option<Instant>, keep: usize) -> Result<Reply, CallError> {
        if request.uri().scheme_str() != Some("http") {
            return Err(CallError::new("connection_error", "this runtime calls by http only"));
        }
        let connection = capture_connection(&mut request);
        let whole = self.exchange(request, keep);
        let Some(deadline) = deadline else { return whole.await };
        tokio::time::timeout_at(deadline, whole).await.unwrap_or_else(|_| {
            let connected = connection.connection_metadata().is_some();
            Err(if connected {
                CallError::new("timeout", "no answer came in time")
            } else {
                CallError::new("connection_error", "no connection was made in time")
            })
        })
    }

    async fn exchange(&self, request: http::Request<Full<Bytes>>, keep: usize) -> Result<Reply, CallError> {
        let response = self.0.request(request).await.map_err(|e| classify(e.source().and_then(|e| e.downcast_ref()), &e))?;
        let (head, mut from) = response.into_parts();
        let (mut body, mut length) = (Vec::new(), 0);
        while let Some(frame) = from.frame().await {
            if let Ok(part) = frame.map_err(|e| classify(Some(&e), &e))?.into_data() {
                body.extend_from_slice(&part[..part.len().min(keep - body.len())]);
                length += part.len();
            }
        }
        let header = |name: &str| head.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default();
        Ok(Reply {
            status: head.status.as_u16(),
            content_type: header("content-type").to_owned(),
            whole: body.len() == length,
            body,
            times: header("microsim-times").to_owned(),
            degraded: header("microsim-degraded").parse().unwrap_or(0).min(1_000_000),
        })
    }
}

/// What an error of the client means. Those of hyper know whether it was the answer.
fn classify(cause: Option<&hyper::Error>, error: &dyn std::error::Error) -> CallError {
    if cause.is_some_and(hyper::Error::is_parse) {
        return CallError::new("malformed", "the answer is no HTTP");
    }
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(e) = source {
        text = format!("{text}: {e}");
        source = e.source();
    }
    CallError::new("connection_error", text)
}
