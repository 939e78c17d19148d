//! The service: which endpoints it has, and what it answers.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::calls::{Peers, Sender};
use crate::chain::{self, Limits};
use crate::decide::{Endpoint, decide_chain, given, refuse};
use crate::dist::{Key, Nanos, Size};
use crate::exchange::{Ending, Exchange, State};
use crate::faults::FaultBoard;
use crate::metrics::Metrics;
use crate::work::{Held, Memory};
use crate::{Error, Headers};

pub(crate) const JSON: &str = "application/json";
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(120);

/// The methods that an endpoint without one answers.
pub const METHODS: [&str; 7] = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"];

/// A request as the framework has read it.
pub struct Request {
    pub method: String,
    /// The path as it came, with its percent signs.
    pub path: String,
    pub headers: Headers,
    pub body: Bytes,
}

/// What is answered.
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

/// Answers the requests of one replica of a service.
pub struct Service {
    pub(crate) name: String,
    /// How long requests in flight have at the end.
    pub grace: Duration,
    /// Whether only this machine reaches the service.
    pub loopback: bool,
    token: String,
    limits: Limits,
    root: Key,
    endpoints: Vec<Endpoint>,
    pub(crate) faults: Arc<FaultBoard>,
    pub(crate) memory: Memory,
    pub(crate) peers: Peers,
    pub(crate) sender: Sender,
    pub(crate) metrics: Metrics,
    pub(crate) stopping: CancellationToken,
    inflight: AtomicUsize,
    _held: Option<Held>,
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Spec {
    system: String,
    service: ServiceText,
    replica: usize,
    seed: String,
    peers: Option<HashMap<String, Vec<String>>>,
    #[serde(rename = "allowHosts")]
    allow_hosts: Option<Vec<String>>,
    limits: Limits,
    token: String,
    grace: Nanos,
    /// Has no effect: a service of level L2 makes no spans.
    #[serde(rename = "traceSample")]
    _trace_sample: f64,
}

impl Default for Spec {
    fn default() -> Self {
        Spec {
            system: String::new(),
            service: ServiceText::default(),
            replica: 1,
            seed: "0".into(),
            peers: None,
            allow_hosts: None,
            limits: Limits::default(),
            token: String::new(),
            grace: Nanos(5_000_000_000),
            _trace_sample: 0.0,
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ServiceText {
    name: String,
    endpoints: Option<Vec<Value>>,
    memory: Size,
    #[serde(rename = "onCancel")]
    on_cancel: String,
    workers: Value,
    backlog: Value,
    shed: Value,
    store: Value,
}

impl ServiceText {
    fn check(&self) -> Result<(), Error> {
        let place = format!("service {}", self.name);
        for (field, value) in [("workers", &self.workers), ("backlog", &self.backlog), ("shed", &self.shed), ("store", &self.store)] {
            refuse(&place, field, given(value))?;
        }
        refuse(&place, "onCancel: stop", self.on_cancel == "stop")
    }
}

/// Tells a request that its client has left, by being dropped before it is answered.
struct Leaving(CancellationToken);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl Service {
    /// Makes a service of what MICROSIM_SERVICE holds.
    pub async fn new(spec: &str) -> Result<Self, Error> {
        let spec: Spec = serde_json::from_str(spec).map_err(|e| format!("reading MICROSIM_SERVICE: {e}"))?;
        spec.service.check()?;
        let name = spec.service.name;
        let seed: u64 = spec.seed.parse().map_err(|e| format!("reading the seed {:?} of MICROSIM_SERVICE: {e}", spec.seed))?;
        let endpoints = spec.service.endpoints.unwrap_or_default().into_iter().map(Endpoint::new).collect::<Result<Vec<_>, _>>();
        let endpoints = endpoints.map_err(|e| format!("service {name}: {e}"))?;
        let memory = Memory::default();
        let held = if spec.service.memory.0 > 0 { Some(memory.take(spec.service.memory.0).await?) } else { None };
        let peers = Peers::new(spec.system, spec.allow_hosts.unwrap_or_default());
        peers.set(spec.peers.unwrap_or_default())?;
        Ok(Service {
            grace: spec.grace.time(),
            loopback: false,
            token: spec.token,
            limits: spec.limits.filled(),
            root: Key::seed(seed).with(&name),
            faults: Arc::new(FaultBoard::new(&name, spec.replica.max(1))),
            memory,
            peers,
            sender: Sender::new(),
            metrics: Metrics::new(&name, &endpoints)?,
            stopping: CancellationToken::new(),
            inflight: AtomicUsize::new(0),
            endpoints,
            name,
            _held: held,
        })
    }

    /// Ends all that waits.
    pub fn close(&self) {
        self.stopping.cancel();
        self.faults.clear_all();
    }

    pub(crate) fn inflight(&self) -> usize {
        self.inflight.load(Ordering::Relaxed)
    }

    /// The paths of the endpoints. If no endpoint has the root path, the root means all
    /// of them.
    pub fn paths(&self) -> Vec<&str> {
        let mut paths: Vec<_> = self.endpoints.iter().map(|e| e.path.as_str()).collect();
        paths.push("/");
        paths.sort_unstable();
        paths.dedup();
        paths
    }

    fn of_path(&self, path: &str) -> impl Iterator<Item = &Endpoint> {
        let has_root = self.endpoints.iter().any(|e| e.path == "/");
        self.endpoints.iter().filter(move |e| e.path == path || path == "/" && !has_root)
    }

    fn find(&self, method: &str, path: &str) -> Option<&Endpoint> {
        self.of_path(path).find(|e| e.method == method || e.method.is_empty() && METHODS.contains(&method))
    }

    /// Whether the System itself has an endpoint for what control answers otherwise.
    pub fn has_set_delay(&self) -> bool {
        self.find("POST", "/set-delay").is_some()
    }

    /// Answers a request to an endpoint, or a chain; none closes the connection. A
    /// request that has begun ends by itself, even if nobody waits for it any more.
    pub async fn answer(self: &Arc<Self>, request: Request) -> Option<Answer> {
        let leaving = Leaving(CancellationToken::new());
        let (service, gone) = (self.clone(), leaving.0.clone());
        let answered = tokio::spawn(async move { service.answer_here(&request, gone).await });
        answered.await.unwrap_or_else(|e| Some(error_answer(500, &e.to_string())))
    }

    async fn answer_here(&self, request: &Request, gone: CancellationToken) -> Option<Answer> {
        let path = percent_decode_str(&request.path).decode_utf8_lossy();
        if request.method == "POST" && path == "/" && self.is_chain(request) {
            return self.answer_chain(request, gone).await;
        }
        match self.find(&request.method, &path) {
            Some(endpoint) => self.answer_endpoint(endpoint, request, gone).await,
            None => Some(self.answer_none(request, &path)),
        }
    }

    async fn answer_endpoint(&self, endpoint: &Endpoint, request: &Request, gone: CancellationToken) -> Option<Answer> {
        let timeout = (endpoint.timeout.0 > 0).then(|| endpoint.timeout.time());
        let x = self.exchange(request, gone, timeout, false);
        let ops = endpoint.decide(x.key, &request.headers.from, &x.faults);
        let answer = match x.run(&ops).await {
            None | Some(Ending::Abort) => None,
            Some(Ending::Fail { status, text, body }) if body.is_empty() => Some(error_answer(status, &text)),
            Some(Ending::Fail { status, body, .. }) => Some(text_answer(status, &body)),
            Some(Ending::Respond) if !endpoint.body.is_empty() => Some(text_answer(endpoint.status, &endpoint.body)),
            Some(Ending::Respond) => {
                let (body, content_type) = payload(endpoint.size);
                Some(Answer { status: endpoint.status, headers: vec![("content-type", content_type.into())], body })
            }
        };
        self.conclude(x, &endpoint.path, answer)
    }

    /// Whether a POST to the root carries a chain.
    fn is_chain(&self, request: &Request) -> bool {
        if self.find("POST", "/").is_none() {
            return true;
        }
        let kind = request.headers.content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let may_be = matches!(kind.as_str(), "" | JSON | "application/x-www-form-urlencoded") || kind.ends_with("+json");
        if request.body.is_empty() || !may_be {
            return false;
        }
        let names_one = request.body.windows(13).any(|part| part == b"\"designation\"");
        request.body.len() as u64 > self.limits.body.0
            || names_one
            || serde_json::from_slice::<HashMap<String, IgnoredAny>>(&request.body).is_err()
    }

    async fn answer_chain(&self, request: &Request, gone: CancellationToken) -> Option<Answer> {
        let timeout = self.find("POST", "/").map_or(Some(DEFAULT_TIMEOUT), |e| (e.timeout.0 > 0).then(|| e.timeout.time()));
        let began = Instant::now();
        let x = self.exchange(request, gone, timeout, true);
        let chain = match chain::parse(&request.body, &self.limits) {
            Ok(chain) => chain,
            Err(refused) => {
                let answer = self.document(&x, refused.status, "", &refused.texts);
                return self.conclude(x, "chain", Some(answer));
            }
        };
        let ops = decide_chain(&chain, x.key, &request.headers.from, &x.faults);
        let status = match x.run(&ops).await {
            None | Some(Ending::Abort) => return self.conclude(x, "chain", None),
            Some(Ending::Fail { status, text, .. }) => {
                x.state().notes.push(text);
                status
            }
            Some(Ending::Respond) => 200,
        };
        let notes = x.state().notes.clone();
        let mut answer = self.document(&x, status, &chain.designation, &notes);
        if !request.headers.times.is_empty() {
            let times = x.state().times.join(",");
            let below = if times.is_empty() { times } else { format!("({times})") };
            answer.headers.push(("microsim-times", format!("{:.1}{below}", began.elapsed().as_secs_f64() * 1e3)));
        }
        self.conclude(x, "chain", Some(answer))
    }

    /// MicroSim's response document. Those of routes stay as they came.
    fn document(&self, x: &Exchange, status: u16, address: &str, errors: &[String]) -> Answer {
        let (name, address, errors) = (json!(self.name), json!(address), json!(errors));
        let mut body = format!("{{\"service\":{name},\"address\":{address},\"errors\":{errors},\"response\":[").into_bytes();
        body.extend_from_slice(&x.state().documents.join(&b","[..]));
        body.extend_from_slice(b"]}");
        Answer { status, headers: vec![("content-type", JSON.into())], body }
    }

    /// Begins to answer a request.
    fn exchange<'a>(&'a self, request: &'a Request, gone: CancellationToken, timeout: Option<Duration>, chain: bool) -> Exchange<'a> {
        self.inflight.fetch_add(1, Ordering::Relaxed);
        let id = request.headers.id();
        let key = self.root.with(&id).with(&request.headers.hop);
        let left = [request.headers.time_left(), timeout].into_iter().flatten().min();
        let began = Instant::now();
        Exchange {
            service: self,
            request,
            gone,
            id,
            key,
            began,
            deadline: left.map(|left| began + left),
            chain,
            faults: self.faults.set(),
            state: Mutex::<State>::default(),
        }
    }

    /// Counts and times a request, and gives its answer what every answer has.
    fn conclude(&self, x: Exchange, label: &str, mut answer: Option<Answer>) -> Option<Answer> {
        let state = x.state.into_inner().expect("no panic under this lock");
        drop(state.held);
        if let Some(answer) = &mut answer {
            answer.headers.push(("x-request-id", x.id));
            if state.degraded > 0 {
                answer.headers.push(("microsim-degraded", state.degraded.min(1_000_000).to_string()));
            }
            if state.corrupt {
                // No reader takes it for good, and its length stays.
                answer.body.iter_mut().step_by(64).for_each(|byte| *byte = !*byte);
            }
        }
        self.inflight.fetch_sub(1, Ordering::Relaxed);
        self.metrics.request(label, answer.as_ref().map(|a| a.status), x.began.elapsed(), state.degraded);
        answer
    }

    /// Refuses a request of a web page.
    pub fn refuse(&self, headers: &Headers) -> Option<Answer> {
        headers.refusal(self.loopback).map(|why| error_answer(403, &why))
    }

    /// Answers a request to a path or with a method that there is not.
    fn answer_none(&self, request: &Request, path: &str) -> Answer {
        let mut allowed = Vec::new();
        for endpoint in self.of_path(path) {
            match endpoint.method.as_str() {
                "" => allowed.extend(METHODS),
                method => allowed.push(method),
            }
        }
        let mut answer = error_answer(404, &format!("service {:?} has no endpoint {path:.128?}", self.name));
        if !allowed.is_empty() {
            if path == "/" {
                allowed.push("POST"); // chains
            }
            allowed.sort_unstable();
            allowed.dedup();
            answer = error_answer(405, &format!("service {:?} does not answer {} on {path:.128?}", self.name, request.method));
            answer.headers.push(("allow", allowed.join(", ")));
        }
        answer.headers.push(("x-request-id", request.headers.id()));
        self.metrics.request("other", Some(answer.status), Duration::ZERO, 0);
        answer
    }

    /// Answers a request for the metrics.
    pub fn answer_metrics(&self) -> Answer {
        match self.metrics.text(self) {
            Ok(text) => {
                Answer { status: 200, headers: vec![("content-type", "text/plain; version=0.0.4".into())], body: text.into_bytes() }
            }
            Err(e) => error_answer(500, &e),
        }
    }

    /// Answers a request to /admin or /set-delay.
    pub async fn control(&self, request: &Request) -> Answer {
        if self.token.is_empty() {
            return error_answer(403, "control is off: the service has no token");
        }
        let headers = &request.headers;
        let bearer = headers.authorization.strip_prefix("Bearer ").unwrap_or_default();
        let token = if headers.token.is_empty() { bearer } else { &headers.token };
        if !same(token.as_bytes(), self.token.as_bytes()) {
            return error_answer(401, "control needs the header Authorization: Bearer with the system's token");
        }
        self.controlled(request).await.unwrap_or_else(|e| error_answer(400, &e))
    }

    async fn controlled(&self, request: &Request) -> Result<Answer, Error> {
        let done = || Answer { status: 204, headers: Vec::new(), body: Vec::new() };
        let body = &request.body;
        let id = request.path.strip_prefix("/admin/faults/").map(|id| percent_decode_str(id).decode_utf8_lossy());
        Ok(match (request.method.as_str(), request.path.as_str(), id) {
            ("GET", "/admin/faults", _) => json_answer(&self.faults.told()),
            ("PUT", _, Some(id)) => self.faults.add(&id, body).map(|()| done())?,
            ("DELETE", _, Some(id)) => {
                self.faults.clear(&id);
                done()
            }
            ("GET", "/admin/peers/unreachable", _) => json_answer(&json!(self.peers.unreachable().await)),
            ("PUT", "/admin/peers", _) => {
                let peers =
                    serde_json::from_slice(body).map_err(|e| format!("peers are an object of names with lists of base URLs: {e}"))?;
                self.peers.set(peers).map(|()| done())?
            }
            ("POST", "/set-delay", _) => json_answer(&json!({"payload": self.set_delay(body)?})),
            (method, path, _) => error_answer(404, &format!("there is no {method} {path:.128?}")),
        })
    }

    /// Takes VECROsim's format.
    fn set_delay(&self, body: &[u8]) -> Result<String, Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct SetDelay {
            delay: f64,
            jitter: Option<f64>,
        }
        const DAY_MS: f64 = 86_400_000.0;
        let from: SetDelay = serde_json::from_slice(body).map_err(|e| e.to_string())?;
        let (delay, jitter) = (from.delay, from.jitter.unwrap_or(from.delay / 10.0));
        if !(0.0..=DAY_MS).contains(&delay) || !(0.0..=DAY_MS).contains(&jitter) {
            return Err(format!("delay {delay} and jitter {jitter} must be 0 to {DAY_MS} milliseconds"));
        }
        if delay == 0.0 && jitter == 0.0 {
            self.faults.clear("set-delay");
        } else {
            let mut args = json!({"delay": format!("{delay:.6}ms")});
            if jitter > 0.0 {
                args["jitter"] = json!(format!("{jitter:.6}ms"));
            }
            let fault = json!({"fault": {"type": "latency", "args": args}});
            self.faults.add("set-delay", fault.to_string().as_bytes())?;
        }
        Ok(format!("delay set to {delay} ms with jitter {jitter} ms"))
    }
}

/// Compares in a time that tells nothing.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differs, (x, y)| differs | (x ^ y)) == 0
}

/// A body of exactly so many bytes, and its type.
pub(crate) fn payload(size: u64) -> (Vec<u8>, &'static str) {
    if (1..15).contains(&size) {
        return (vec![b'0'; size as usize], "text/plain");
    }
    (format!("{{\"payload\":\"{}\"}}\n", "0".repeat(size.saturating_sub(15) as usize)).into_bytes(), JSON)
}

fn json_answer(value: &Value) -> Answer {
    Answer { status: 200, headers: vec![("content-type", JSON.into())], body: format!("{value}\n").into_bytes() }
}

/// Answers with a status and the object {"error": text}.
pub fn error_answer(status: u16, text: &str) -> Answer {
    Answer { status, ..json_answer(&json!({ "error": text })) }
}

fn text_answer(status: u16, body: &str) -> Answer {
    let json = serde_json::from_str::<IgnoredAny>(body).is_ok();
    Answer { status, headers: vec![("content-type", if json { JSON } else { "text/plain; charset=utf-8" }.into())], body: body.into() }
}
