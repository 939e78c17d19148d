//! What is done for a request: operations that follow from the seed and its id alone.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

use crate::Error;
use crate::chain::{Chain, ChainFault, Route};
use crate::dist::{Delay, Key, Nanos, Size};
use crate::faults::{ActiveFault, FaultKind, FaultSet};

/// One thing that is done for a request.
#[derive(Clone)]
pub struct Op {
    pub kind: OpKind,
    /// The fault that does it, if one does.
    pub fault: Option<Arc<ActiveFault>>,
}

#[derive(Clone)]
pub enum OpKind {
    Sleep(Nanos),
    Cpu { time: Nanos, cores: f64 },
    Units(f64),
    Io(u64),
    Hold(u64),
    Leak { bytes: u64, time: Nanos },
    Call { call: Arc<Call>, index: usize },
    Route { route: Arc<Route>, index: usize },
    Parallel(Vec<Vec<Op>>),
    Corrupt,
    Hang,
    Abort,
    Fail(u16),
    Respond,
}

impl From<OpKind> for Op {
    fn from(kind: OpKind) -> Self {
        Op { kind, fault: None }
    }
}

/// A call of an endpoint of another service.
#[derive(Deserialize)]
#[serde(default)]
pub struct Call {
    pub to: String,
    pub method: String,
    pub endpoint: String,
    #[serde(rename = "requestSize")]
    pub request_size: Size,
    pub timeout: Nanos,
    #[serde(rename = "onError")]
    pub on_error: String,
    pub answers: HashMap<String, FileAnswer>,
    count: usize,
    probability: f64,
    retry: Value,
    breaker: Value,
    bulkhead: Value,
    #[serde(rename = "rateLimit")]
    rate_limit: Value,
    hedge: Value,
    fallback: Value,
}

impl Default for Call {
    fn default() -> Self {
        Call {
            to: String::new(),
            method: "GET".into(),
            endpoint: "/".into(),
            request_size: Size(0),
            timeout: Nanos(0),
            on_error: String::new(),
            answers: HashMap::new(),
            count: 1,
            probability: 1.0,
            retry: Value::Null,
            breaker: Value::Null,
            bulkhead: Value::Null,
            rate_limit: Value::Null,
            hedge: Value::Null,
            fallback: Value::Null,
        }
    }
}

/// What the file says to answer if a call fails.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub struct FileAnswer {
    pub status: u16,
    pub body: String,
}

#[derive(Deserialize)]
#[serde(default)]
struct EndpointText {
    path: String,
    method: String,
    response: ResponseText,
    timeout: Nanos,
    #[serde(rename = "errorRate")]
    error_rate: f64,
    #[serde(rename = "errorStatus")]
    error_status: u16,
    require: Value,
    steps: Vec<StepText>,
}

impl Default for EndpointText {
    fn default() -> Self {
        EndpointText {
            path: "/".into(),
            method: String::new(),
            response: ResponseText::default(),
            timeout: Nanos(0),
            error_rate: 0.0,
            error_status: 500,
            require: Value::Null,
            steps: Vec::new(),
        }
    }
}

#[derive(Deserialize)]
#[serde(default)]
struct ResponseText {
    status: u16,
    body: String,
    size: Size,
}

impl Default for ResponseText {
    fn default() -> Self {
        ResponseText { status: 200, body: String::new(), size: Size(0) }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct StepText {
    work: Option<WorkText>,
    call: Option<Call>,
    parallel: Vec<StepText>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct WorkText {
    sleep: Delay,
    cpu: Delay,
    #[serde(rename = "cpuUnits")]
    cpu_units: f64,
    io: Size,
    memory: Size,
}

/// An endpoint of a System, compiled for deciding.
pub struct Endpoint {
    pub path: String,
    /// Empty means any.
    pub method: String,
    pub status: u16,
    pub body: String,
    pub size: u64,
    pub timeout: Nanos,
    error_rate: f64,
    error_status: u16,
    steps: Vec<Step>,
    pub callees: Vec<String>,
}

/// A step of a System, or a part of one, with its number.
struct Step {
    n: i64,
    chance: f64,
    what: What,
}

enum What {
    Fixed(OpKind),
    Sleep(Delay),
    Cpu(Delay),
    Parallel(Vec<Vec<Step>>),
}

/// Whether a field has a value other than null, false, 0 or "".
pub fn given(value: &Value) -> bool {
    !(value.is_null() || *value == Value::Bool(false) || value.as_f64() == Some(0.0) || value.as_str() == Some(""))
}

/// Says that this runtime cannot do something, rather than leave it out.
pub fn refuse(place: &str, what: &str, used: bool) -> Result<(), Error> {
    if used {
        return Err(format!("{place}: {what} needs a runtime of level L3, this one has L2"));
    }
    Ok(())
}

fn has_braces(text: &str) -> bool {
    text.split('{').skip(1).any(|rest| {
        rest.split_once('}').is_some_and(|(name, _)| {
            name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
        })
    })
}

impl Endpoint {
    /// Reads and compiles an endpoint of a System.
    pub fn new(value: Value) -> Result<Self, Error> {
        let from: EndpointText = serde_json::from_value(value).map_err(|e| format!("reading an endpoint: {e}"))?;
        let place = format!("endpoint {}", from.path);
        refuse(&place, "require", given(&from.require))?;
        refuse(&place, "a name in braces", has_braces(&from.path) || has_braces(&from.response.body))?;
        let mut compiler = Compiler::default();
        let steps = compiler.compile(from.steps)?;
        Ok(Endpoint {
            path: from.path,
            method: from.method,
            status: from.response.status,
            body: from.response.body,
            size: from.response.size.0,
            timeout: from.timeout,
            error_rate: from.error_rate,
            error_status: from.error_status,
            steps,
            callees: compiler.callees,
        })
    }

    /// The program of one request.
    pub fn decide(&self, key: Key, from: &str, faults: &FaultSet) -> Vec<Op> {
        let mut ops = faults.decide(key, from, &self.path);
        if ends(&ops) {
            return ops;
        }
        if self.error_rate > 0.0 && key.with("error").chance(self.error_rate) {
            ops.push(OpKind::Fail(self.error_status).into());
            return ops;
        }
        ops.extend(decide_steps(&self.steps, key.with("step")));
        ops.push(OpKind::Respond.into());
        ops
    }
}

#[derive(Default)]
struct Compiler {
    steps: i64,
    calls: usize,
    callees: Vec<String>,
}

impl Compiler {
    fn compile(&mut self, list: Vec<StepText>) -> Result<Vec<Step>, Error> {
        let mut steps = Vec::new();
        for from in list {
            if let Some(work) = from.work {
                steps.extend(work.operations().into_iter().map(|what| self.step(what, 1.0)));
            }
            if let Some(call) = from.call {
                call.check()?;
                self.callees.push(call.to.clone());
                let call = Arc::new(call);
                for _ in 0..call.count.max(1) {
                    let what = What::Fixed(OpKind::Call { call: call.clone(), index: self.calls });
                    self.calls += 1;
                    steps.push(self.step(what, call.probability));
                }
            }
            if !from.parallel.is_empty() {
                let mut parallel = self.step(What::Parallel(Vec::new()), 1.0);
                parallel.what =
                    What::Parallel(from.parallel.into_iter().map(|branch| self.compile(vec![branch])).collect::<Result<_, _>>()?);
                steps.push(parallel);
            }
        }
        Ok(steps)
    }

    fn step(&mut self, what: What, chance: f64) -> Step {
        self.steps += 1;
        Step { n: self.steps - 1, chance, what }
    }
}

impl WorkText {
    fn operations(self) -> Vec<What> {
        let mut list = Vec::new();
        if !self.sleep.is_zero() {
            list.push(What::Sleep(self.sleep));
        }
        if !self.cpu.is_zero() {
            list.push(What::Cpu(self.cpu));
        }
        if self.cpu_units > 0.0 {
            list.push(What::Fixed(OpKind::Units(self.cpu_units)));
        }
        if self.io.0 > 0 {
            list.push(What::Fixed(OpKind::Io(self.io.0)));
        }
        if self.memory.0 > 0 {
            list.push(What::Fixed(OpKind::Hold(self.memory.0)));
        }
        list
    }
}

impl Call {
    fn check(&self) -> Result<(), Error> {
        let place = format!("call of {}", self.to);
        for (name, value) in [
            ("retry", &self.retry),
            ("breaker", &self.breaker),
            ("bulkhead", &self.bulkhead),
            ("rateLimit", &self.rate_limit),
            ("hedge", &self.hedge),
            ("fallback", &self.fallback),
        ] {
            refuse(&place, name, given(value))?;
        }
        refuse(&place, "a name in braces", has_braces(&self.endpoint))
    }
}

fn decide_steps(steps: &[Step], key: Key) -> Vec<Op> {
    steps
        .iter()
        .filter(|s| s.chance >= 1.0 || key.with_int(s.n).with("chance").chance(s.chance))
        .map(|s| {
            let kind = match &s.what {
                What::Fixed(kind) => kind.clone(),
                What::Sleep(delay) => OpKind::Sleep(delay.draw(key.with_int(s.n))),
                What::Cpu(delay) => OpKind::Cpu { time: delay.draw(key.with_int(s.n)), cores: 1.0 },
                What::Parallel(branches) => OpKind::Parallel(branches.iter().map(|branch| decide_steps(branch, key)).collect()),
            };
            kind.into()
        })
        .collect()
}

/// Whether the last operation ends the request.
pub fn ends(ops: &[Op]) -> bool {
    matches!(ops.last(), Some(Op { kind: OpKind::Fail(_) | OpKind::Abort | OpKind::Respond, .. }))
}

/// The program of a chain at one service.
pub fn decide_chain(chain: &Chain, key: Key, from: &str, faults: &FaultSet) -> Vec<Op> {
    let mut ops = faults.decide(key, from, "/");
    if ends(&ops) {
        return ops;
    }
    ops.extend(chain_faults(&chain.before, key.with("before")));
    if ends(&ops) {
        return ops;
    }
    ops.extend(chain.routes.iter().enumerate().map(|(index, route)| OpKind::Route { route: route.clone(), index }.into()));
    ops.extend(chain_faults(&chain.after, key.with("after")));
    if !ends(&ops) {
        ops.push(OpKind::Respond.into());
    }
    ops
}

fn chain_faults(faults: &[ChainFault], key: Key) -> Vec<Op> {
    let mut ops: Vec<Op> = Vec::new();
    for (i, f) in faults.iter().enumerate() {
        if f.kind == FaultKind::Error && !key.with_int(i as i64).chance(f.rate) {
            continue;
        }
        ops.push(
            match f.kind {
                FaultKind::MemoryLeak => OpKind::Leak { bytes: f.size, time: f.duration },
                FaultKind::Latency => OpKind::Sleep(f.delay),
                FaultKind::Cpu => OpKind::Cpu { time: f.duration, cores: f.cores },
                FaultKind::Io => OpKind::Io(f.size),
                FaultKind::Corrupt => OpKind::Corrupt,
                FaultKind::Hang => OpKind::Hang,
                FaultKind::Error => OpKind::Fail(f.status),
                FaultKind::Abort | FaultKind::Panic | FaultKind::Unreachable => OpKind::Abort,
            }
            .into(),
        );
        if ends(&ops) {
            break;
        }
    }
    ops
}
