//! A request being answered.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use http::{HeaderValue, Method, StatusCode};
use http_body_util::Full;
use serde::Deserialize;
use serde::de::IgnoredAny;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::Error;
use crate::calls::{CallError, Reply};
use crate::chain::Route;
use crate::decide::{Call, Op, OpKind};
use crate::dist::{Key, Nanos};
use crate::faults::{ActiveFault, FaultSet};
use crate::service::{JSON, Request, Service, payload};
use crate::work::{self, Held};

/// How a request, or a branch of it, ends.
pub enum Ending {
    Respond,
    Abort,
    Fail { status: u16, text: String, body: String },
}

impl Ending {
    fn fail(status: u16, text: impl Into<String>) -> Option<Self> {
        Some(Ending::Fail { status, text: text.into(), body: String::new() })
    }
}

const KEEP_OF_ANSWER: usize = 64 << 10;
const MAX_ANSWERS: usize = 16 << 20;

pub struct Exchange<'a> {
    pub service: &'a Service,
    pub request: &'a Request,
    /// Cancelled when the client has left.
    pub gone: CancellationToken,
    pub id: String,
    pub key: Key,
    pub began: Instant,
    pub deadline: Option<Instant>,
    pub chain: bool,
    pub faults: Arc<FaultSet>,
    pub state: Mutex<State>,
}

/// What the branches of a request share.
#[derive(Default)]
pub struct State {
    pub notes: Vec<String>,
    pub documents: Vec<Vec<u8>>,
    pub times: Vec<String>,
    answered: usize,
    pub degraded: u64,
    pub corrupt: bool,
    pub held: Vec<Held>,
}

/// One request to a service. Without a path it is sent to that of the service's URL.
struct Outgoing<'a> {
    method: &'a str,
    path: Option<&'a str>,
    body: Vec<u8>,
    content_type: &'a str,
    timeout: Nanos,
    keep: usize,
    times: &'a str,
}

impl Exchange<'_> {
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic under this lock")
    }

    /// Does the operations up to one that ends the request, if one does.
    pub fn run<'b>(&'b self, ops: &'b [Op]) -> BoxFuture<'b, Option<Ending>> {
        async move {
            for op in ops {
                if let Some(fault) = &op.fault {
                    fault.hits.fetch_add(1, Ordering::Relaxed);
                }
                let ending = self.operate(&op.kind, op.fault.as_deref()).await;
                if ending.is_some() {
                    return ending;
                }
            }
            None
        }
        .boxed()
    }

    async fn operate(&self, kind: &OpKind, fault: Option<&ActiveFault>) -> Option<Ending> {
        let ending = match kind {
            OpKind::Respond => Some(Ending::Respond),
            OpKind::Abort => Some(Ending::Abort),
            OpKind::Fail(status) => {
                let by = match fault {
                    Some(fault) => format!("fault {}", fault.id),
                    None if self.chain => "the chain's fault".to_owned(),
                    None => "the service's error rate".to_owned(),
                };
                Ending::fail(*status, format!("{status} by {by}"))
            }
            OpKind::Call { call, index } => self.call(call, *index).await,
            OpKind::Parallel(branches) => join_all(branches.iter().map(|branch| self.run(branch))).await.into_iter().flatten().next(),
            OpKind::Hold(bytes) => match self.service.memory.take(*bytes).await {
                Ok(held) => {
                    self.state().held.push(held);
                    None
                }
                Err(e) => Ending::fail(503, format!("memory: {e}")),
            },
            // These do not ask for the time of the request: a chain tells of it by its routes.
            OpKind::Corrupt => {
                self.state().corrupt = true;
                return None;
            }
            OpKind::Leak { bytes, time } => return self.leak(*bytes, *time, fault).await,
            OpKind::Hang => return self.hang(fault).await,
            OpKind::Route { route, index } => {
                self.call_route(route, *index).await;
                return None;
            }
            _ => self.work(kind, fault).await,
        };
        ending.or_else(|| self.time_over())
    }

    fn time_over(&self) -> Option<Ending> {
        match self.deadline {
            Some(deadline) if Instant::now() >= deadline => Ending::fail(504, "the time of the request is over"),
            _ => None,
        }
    }

    async fn work(&self, kind: &OpKind, fault: Option<&ActiveFault>) -> Option<Ending> {
        match kind {
            OpKind::Sleep(time) => self.sleep(time.time()).await,
            OpKind::Units(units) => work::burn_units(*units).await,
            #[allow(clippy::float_cmp)] // as it is written
            OpKind::Cpu { time, cores } if *cores == 1.0 => work::burn_time(*time).await,
            OpKind::Cpu { time, cores } => work::burn_cores(*cores, *time).await,
            OpKind::Io(bytes) => {
                if let Err(e) = work::write_and_sync(*bytes).await {
                    return self.broke(fault, format!("io: {e}"));
                }
            }
            _ => {}
        }
        None
    }

    /// Waits, unless the service ends or the time of the request is over before.
    async fn sleep(&self, time: Duration) {
        let end = Instant::now() + time;
        let end = self.deadline.map_or(end, |deadline| end.min(deadline));
        tokio::select! {
            () = tokio::time::sleep_until(end) => {}
            () = self.service.stopping.cancelled() => {}
        }
    }

    /// Notes in a chain what went wrong. It ends a request to an endpoint, unless a
    /// fault could not act.
    fn broke(&self, fault: Option<&ActiveFault>, text: String) -> Option<Ending> {
        if self.chain {
            let mut state = self.state();
            state.notes.push(text);
            state.degraded += 1;
        } else if fault.is_none() {
            return Ending::fail(500, text);
        }
        None
    }

    async fn leak(&self, bytes: u64, time: Nanos, fault: Option<&ActiveFault>) -> Option<Ending> {
        match self.service.memory.take(bytes).await {
            Ok(held) => {
                tokio::spawn(async move {
                    tokio::time::sleep(time.time()).await;
                    drop(held);
                });
                None
            }
            Err(e) => self.broke(fault, format!("memory-leak: {e}")),
        }
    }

    /// Waits until the fault is cleared, the client leaves, or the service ends.
    async fn hang(&self, fault: Option<&ActiveFault>) -> Option<Ending> {
        let cleared = fault.map_or_else(CancellationToken::new, |fault| fault.cleared.clone());
        tokio::select! {
            () = cleared.cancelled() => self.time_over(),
            () = self.gone.cancelled() => Some(Ending::Abort),
            () = self.service.stopping.cancelled() => Some(Ending::Abort),
        }
    }

    /// Sends one request to a replica of a service.
    async fn send(&self, to: &str, urls: &[Url], index: usize, out: Outgoing<'_>) -> Result<Reply, CallError> {
        let n = if urls.len() > 1 { self.key.with("replica").with_int(index as i64).below(urls.len()) } else { 0 };
        let Some(url) = urls.get(n) else {
            return Err(CallError::new("connection_error", "no address of it is known"));
        };
        if let Some(fault) = self.faults.unreachable_by(self.key, &self.service.name, to, out.path.unwrap_or("/"), n + 1, index) {
            fault.hits.fetch_add(1, Ordering::Relaxed);
            return Err(CallError::new("connection_error", "a fault lets nobody answer"));
        }
        let mut url = url.clone();
        if let Some(path) = out.path {
            url.set_path(path);
        }
        let mut deadline = self.deadline;
        if out.timeout.0 > 0 {
            let own = Instant::now() + out.timeout.time();
            deadline = Some(deadline.map_or(own, |deadline| deadline.min(own)));
        }
        let keep = out.keep;
        let request = self.identified(to, url.as_str(), index, out).map_err(|e| CallError::new("connection_error", e))?;
        tokio::select! {
            reply = self.service.sender.send(request, deadline, keep) => reply,
            () = self.service.stopping.cancelled() => Err(CallError::new("connection_error", "this service ends")),
        }
    }

    /// A call with its headers.
    fn identified(&self, to: &str, url: &str, index: usize, out: Outgoing<'_>) -> Result<http::Request<Full<Bytes>>, Error> {
        let given = &self.request.headers;
        let method = Method::from_bytes(out.method.as_bytes()).map_err(|e| e.to_string())?;
        let mut request = http::Request::builder().method(method).uri(url).body(Full::from(out.body)).map_err(|e| e.to_string())?;
        let headers = request.headers_mut();
        let mut set = |name: &'static str, value: &str| {
            if let (false, Ok(value)) = (value.is_empty(), HeaderValue::from_bytes(value.as_bytes())) {
                headers.insert(name, value);
            }
        };
        set("x-request-id", &self.id);
        set("microsim-hop", &if given.hop.is_empty() { index.to_string() } else { format!("{}.{index}", given.hop) });
        set("microsim-from", &self.service.name);
        set("microsim-times", out.times);
        set("content-type", out.content_type);
        set("traceparent", &given.call_traceparent());
        if !given.traceparent.is_empty() {
            set("tracestate", &given.tracestate);
        }
        if to != "external" {
            set("authorization", &given.authorization);
        }
        if let Some(deadline) = self.deadline {
            let left = deadline.saturating_duration_since(Instant::now());
            set("microsim-deadline", &left.as_micros().div_ceil(1000).to_string());
        }
        Ok(request)
    }

    async fn call(&self, call: &Call, index: usize) -> Option<Ending> {
        let began = Instant::now();
        let mut out = Outgoing {
            method: &call.method,
            path: Some(&call.endpoint),
            body: Vec::new(),
            content_type: "",
            timeout: call.timeout,
            keep: KEEP_OF_ANSWER,
            times: "",
        };
        if call.request_size.0 > 0 {
            out.body = payload(call.request_size.0).0;
            out.content_type = "application/octet-stream";
        }
        let urls = self.service.peers.of(&call.to);
        let got = self.send(&call.to, urls.as_deref().unwrap_or_default(), index, out).await.and_then(|reply| {
            if reply.status >= 400 {
                return Err(CallError {
                    outcome: "http_error",
                    text: format!("it answered {}", status_text(reply.status)),
                    status: reply.status,
                });
            } else if reply.content_type == JSON && reply.whole && !reply.body.is_empty() && !is_json(&reply.body) {
                return Err(CallError::new("malformed", "the answer is no JSON"));
            }
            Ok(reply)
        });
        let failed = match got {
            Ok(reply) => {
                self.service.metrics.call(&call.to, "ok", began.elapsed(), reply.degraded);
                self.state().degraded += reply.degraded;
                return None;
            }
            Err(failed) => failed,
        };
        self.service.metrics.call(&call.to, failed.outcome, began.elapsed(), 0);
        self.state().degraded += 1;
        let text = format!("calling {}: {}: {}", call.to, failed.outcome, failed.text);
        let status = failed.status.to_string();
        if let Some(answer) = [&status, failed.outcome, "other"].iter().find_map(|name| call.answers.get(*name)) {
            return Some(Ending::Fail { status: answer.status, text, body: answer.body.clone() });
        }
        match failed.outcome {
            _ if call.on_error == "ignore" => None,
            "timeout" => Ending::fail(504, text),
            _ => Ending::fail(502, text),
        }
    }

    /// Sends a route of a chain on, and keeps the document that came back.
    async fn call_route(&self, route: &Route, index: usize) {
        let began = Instant::now();
        let located = self.service.peers.locate(&route.designation);
        let (document, times, text) = match located {
            Err(text) => (None, String::new(), Some(text)),
            Ok((name, urls)) => match self.send_route(route, &name, &urls, index).await {
                Ok(reply) => {
                    self.service.metrics.call(&name, "ok", began.elapsed(), reply.degraded);
                    let mut state = self.state();
                    state.answered += reply.body.len();
                    state.degraded += reply.degraded;
                    (Some(reply.body), reply.times, None)
                }
                Err(e) => {
                    self.service.metrics.call(&name, e.outcome, began.elapsed(), 0);
                    (None, String::new(), Some(if e.outcome == "http_error" { e.text } else { format!("{}: {}", e.outcome, e.text) }))
                }
            },
        };
        let mut state = self.state();
        if let Some(text) = text {
            state.notes.push(format!("calling {:.128}: {text}", route.designation));
            state.degraded += 1;
        }
        state.documents.push(document.unwrap_or_else(|| b"null".to_vec()));
        state.times.push(times);
    }

    async fn send_route(&self, route: &Route, name: &str, urls: &[Url], index: usize) -> Result<Reply, CallError> {
        let out = Outgoing {
            method: "POST",
            path: None,
            body: route.document.clone().into_bytes(),
            content_type: JSON,
            timeout: Nanos(0),
            keep: MAX_ANSWERS - self.state().answered,
            times: &self.request.headers.times,
        };
        let reply = self.send(name, urls, index, out).await?;
        if reply.status >= 400 {
            return Err(CallError::new("http_error", format!("it answered {}{}", status_text(reply.status), reason_of(&reply.body))));
        } else if !reply.whole {
            return Err(CallError::new("malformed", format!("the answers of all routes have more than {MAX_ANSWERS} bytes")));
        } else if !is_json(&reply.body) || !reply.body.trim_ascii_start().starts_with(b"{") {
            return Err(CallError::new("malformed", "the answer is no JSON object"));
        }
        Ok(reply)
    }
}

fn is_json(body: &[u8]) -> bool {
    std::str::from_utf8(body).is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok())
}

fn status_text(status: u16) -> String {
    let name = StatusCode::from_u16(status).ok().and_then(|s| s.canonical_reason()).unwrap_or_default();
    format!("{status} {name}").trim_end().to_owned()
}

/// The first of the errors that a response document has.
fn reason_of(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Document {
        errors: Vec<String>,
    }
    let document: Option<Document> = serde_json::from_slice(body).ok();
    document.and_then(|d| d.errors.into_iter().next()).map_or_else(String::new, |text| format!(": {text:.128}"))
}
