//! Chains: requests that carry their own route and faults, as MicroSim's.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::dist::{Nanos, Size};
use crate::faults::FaultKind;
use crate::work::MAX_MEMORY;

pub struct Chain {
    pub designation: String,
    pub before: Vec<ChainFault>,
    pub after: Vec<ChainFault>,
    pub routes: Vec<Arc<Route>>,
}

/// What is sent on to another service: a node without what is null.
pub struct Route {
    pub designation: String,
    pub document: String,
}

/// A fault of a chain. The rate is 0 to 1.
pub struct ChainFault {
    pub kind: FaultKind,
    pub delay: Nanos,
    pub duration: Nanos,
    pub size: u64,
    pub cores: f64,
    pub rate: f64,
    pub status: u16,
}

/// Bounds of chains; 0 means the usual ones.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(default)]
pub struct Limits {
    pub depth: usize,
    pub nodes: usize,
    #[serde(rename = "fanOut")]
    pub fan_out: usize,
    pub faults: usize,
    pub body: Size,
    pub leak: Size,
}

impl Limits {
    #[must_use]
    pub fn filled(self) -> Self {
        let or = |n: usize, usual: usize| if n == 0 { usual } else { n };
        let size_or = |n: Size, usual: u64| if n.0 == 0 { Size(usual) } else { n };
        Limits {
            depth: or(self.depth, 64),
            nodes: or(self.nodes, 10_000),
            fan_out: or(self.fan_out, 1000),
            faults: or(self.faults, 100),
            body: size_or(self.body, 1 << 20),
            leak: size_or(self.leak, MAX_MEMORY),
        }
    }
}

/// Says why a chain is not run, with a text for each mistake.
pub struct Refused {
    pub status: u16,
    pub texts: Vec<String>,
}

impl Refused {
    fn new(status: u16, text: String) -> Self {
        Refused { status, texts: vec![text] }
    }
}

const MAX_PROBLEMS: usize = 20;
const MEGA: f64 = 1_048_576.0;
const DAY_MS: f64 = 86_400_000.0;
/// Bounds what is parsed, by recursion, whatever depth of chains is permitted.
const MAX_NESTING: usize = 2000;

/// Reads a chain. Nothing of one with a mistake is run.
pub fn parse(body: &[u8], limits: &Limits) -> Result<Chain, Refused> {
    if body.len() as u64 > limits.body.0 {
        return Err(Refused::new(413, format!("the chain has more than the {} bytes possible", limits.body.0)));
    }
    // A service deeper takes two levels: its object and the list that it is in.
    if nesting(body) > (2 * limits.depth + 8).min(MAX_NESTING) {
        return Err(Refused::new(400, format!("the chain is deeper than the {} services possible", limits.depth)));
    }
    let mut from = serde_json::Deserializer::from_slice(body);
    from.disable_recursion_limit();
    let document = Value::deserialize(&mut from).and_then(|v| from.end().map(|()| v));
    let document = document.map_err(|e| Refused::new(400, format!("reading a chain: {e}")))?;
    let mut parser = Parser { limits, nodes: 0, problems: Vec::new() };
    let mut chain = Chain { designation: String::new(), before: Vec::new(), after: Vec::new(), routes: Vec::new() };
    parser.node(&document, "", 1, &mut chain);
    if !parser.problems.is_empty() {
        return Err(Refused { status: 400, texts: parser.problems });
    }
    if let Value::Object(mut fields) = document
        && let Some(Value::Array(routes)) = fields.remove("routes")
    {
        chain.routes = routes.into_iter().map(|route| Arc::new(Route::new(compact(route)))).collect();
    }
    Ok(chain)
}

impl Route {
    fn new(document: Value) -> Self {
        let designation = document["designation"].as_str().unwrap_or_default().to_owned();
        Route { designation, document: document.to_string() }
    }
}

/// How deep lists and objects are in each other.
fn nesting(body: &[u8]) -> usize {
    let (mut depth, mut most, mut quoted, mut escaped) = (0usize, 0, false, false);
    for byte in body {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'[' | b'{' if !quoted => {
                depth += 1;
                most = most.max(depth);
            }
            b']' | b'}' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    most
}

/// Leaves out what is null.
fn compact(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            Value::Object(fields.into_iter().filter(|(_, v)| !v.is_null()).map(|(name, v)| (name, compact(v))).collect())
        }
        Value::Array(list) => Value::Array(list.into_iter().map(compact).collect()),
        other => other,
    }
}

struct Parser<'a> {
    limits: &'a Limits,
    nodes: usize,
    problems: Vec<String>,
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

impl Parser<'_> {
    fn add(&mut self, path: &str, text: &str) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(if path.is_empty() { text.to_owned() } else { format!("{path}: {text}") });
        }
    }

    /// The fields of an object; those that it may not have are mistakes.
    fn object<'v>(&mut self, value: &'v Value, path: &str, known: &[&str]) -> Option<&'v Map<String, Value>> {
        let Some(fields) = value.as_object() else {
            self.add(path, "write an object");
            return None;
        };
        for name in fields.keys().filter(|name| !known.contains(&name.as_str())) {
            self.add(&join(path, name), &format!("unknown field {name:?}"));
        }
        Some(fields)
    }

    fn list<'v>(&mut self, value: Option<&'v Value>, path: &str) -> &'v [Value] {
        match value {
            None | Some(Value::Null) => &[],
            Some(Value::Array(list)) => list,
            Some(_) => {
                self.add(path, "write a list");
                &[]
            }
        }
    }

    fn node(&mut self, value: &Value, path: &str, depth: usize, chain: &mut Chain) {
        if depth > self.limits.depth {
            return self.add(path, &format!("the chain is deeper than the {} services possible", self.limits.depth));
        }
        self.nodes += 1;
        if self.nodes > self.limits.nodes {
            if self.nodes == self.limits.nodes + 1 {
                self.add("", &format!("the chain has more than the {} services possible", self.limits.nodes));
            }
            return;
        }
        let Some(fields) = self.object(value, path, &["designation", "probability", "faults", "routes"]) else { return };
        fields.get("designation").and_then(Value::as_str).unwrap_or_default().clone_into(&mut chain.designation);
        if chain.designation.is_empty() {
            self.add(&join(path, "designation"), "there is no designation");
        } else if chain.designation.starts_with("http") && chain.designation.contains(|c: char| c <= ' ' || c == '\x7f') {
            self.add(&join(path, "designation"), "a URL has no spaces or control characters");
        }
        if let Some(probability) = fields.get("probability").filter(|v| !v.is_null()) {
            self.number(probability, &join(path, "probability"), 0.0, 100.0);
        }
        if let Some(faults) = fields.get("faults").filter(|v| !v.is_null()) {
            self.faults(faults, &join(path, "faults"), chain);
        }
        let at = join(path, "routes");
        let routes = self.list(fields.get("routes"), &at);
        if routes.len() > self.limits.fan_out {
            return self.add(&at, &format!("{} routes are more than the {} possible at one service", routes.len(), self.limits.fan_out));
        }
        for (i, route) in routes.iter().enumerate() {
            let mut unused = Chain { designation: String::new(), before: Vec::new(), after: Vec::new(), routes: Vec::new() };
            self.node(route, &format!("{at}[{i}]"), depth + 1, &mut unused);
        }
    }

    fn faults(&mut self, value: &Value, path: &str, chain: &mut Chain) {
        let Some(fields) = self.object(value, path, &["before", "after"]) else { return };
        let before = self.list(fields.get("before"), &join(path, "before"));
        let after = self.list(fields.get("after"), &join(path, "after"));
        let n = before.len() + after.len();
        if n > self.limits.faults {
            return self.add(path, &format!("{n} faults are more than the {} possible at one service", self.limits.faults));
        }
        chain.before = before.iter().enumerate().filter_map(|(i, f)| self.fault(f, &format!("{path}.before[{i}]"))).collect();
        chain.after = after.iter().enumerate().filter_map(|(i, f)| self.fault(f, &format!("{path}.after[{i}]"))).collect();
    }

    fn fault(&mut self, value: &Value, path: &str) -> Option<ChainFault> {
        let fields = self.object(value, path, &["type", "args"])?;
        let name = fields.get("type").and_then(Value::as_str).unwrap_or_default();
        if name.is_empty() {
            self.add("", "fault type was not defined");
            return None;
        }
        let Some((kind, needs, may)) = FaultKind::of_chain(name) else {
            let short: String = name.chars().take(64).collect();
            self.add("", &format!("fault type {short}, is not implemented"));
            return None;
        };
        let none = Map::new();
        let args = match fields.get("args") {
            None | Some(Value::Null) => &none,
            Some(args) => self.object(args, &join(path, "args"), &["delay", "size", "duration", "cores", "status", "rate"])?,
        };
        for needed in needs.iter().filter(|needed| args.get(**needed).is_none_or(Value::is_null)) {
            self.add(&format!("{path}.args.{needed}"), &format!("fault type {name} needs {needed}"));
        }
        let mut fault = ChainFault { kind, delay: Nanos(0), duration: Nanos(0), size: 0, cores: 1.0, rate: 1.0, status: 500 };
        for (arg, value) in args.iter().filter(|(_, v)| !v.is_null()) {
            let at = format!("{path}.args.{arg}");
            if needs.contains(&arg.as_str()) || may.contains(&arg.as_str()) {
                self.arg(&mut fault, arg, value, &at);
            } else {
                self.add(&at, &format!("fault type {name} takes no {arg}"));
            }
        }
        Some(fault)
    }

    fn arg(&mut self, fault: &mut ChainFault, name: &str, value: &Value, at: &str) {
        match name {
            "delay" => fault.delay = Nanos((self.number(value, at, 0.0, DAY_MS) * 1e6) as i64),
            "duration" => fault.duration = Nanos((self.number(value, at, 0.0, DAY_MS) * 1e6) as i64),
            "cores" => fault.cores = self.number(value, at, 0.0, 1024.0),
            "rate" => fault.rate = self.number(value, at, 0.0, 100.0) / 100.0,
            "status" => {
                let status = self.number(value, at, 400.0, 599.0);
                fault.status = status as u16;
                if f64::from(fault.status) != status {
                    self.add(at, &format!("{value} is no status"));
                }
            }
            _ => {
                let most = if fault.kind == FaultKind::Io { 1024.0 } else { self.limits.leak.0 as f64 / MEGA };
                if value.as_f64().is_some_and(|n| n > most) {
                    self.add(at, &format!("{value} MB are more than the {most} MB possible"));
                } else {
                    fault.size = (self.number(value, at, 0.0, most) * MEGA) as u64;
                }
            }
        }
    }

    fn number(&mut self, value: &Value, path: &str, lo: f64, hi: f64) -> f64 {
        match value.as_f64() {
            Some(n) if n >= lo && n <= hi => n,
            _ => {
                self.add(path, &format!("{value} is out of range: the range is {lo} to {hi}"));
                lo
            }
        }
    }
}
