//! The faults that control has let act.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio_util::sync::CancellationToken;

use crate::Error;
use crate::decide::{Op, OpKind, ends};
use crate::dist::{Delay, Key, Nanos, Size};
use crate::work::MAX_MEMORY;

/// The types of faults, in the order in which they act. From abort on, the first ends
/// the request; unreachable acts on calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    MemoryLeak,
    Latency,
    Cpu,
    Io,
    Corrupt,
    Hang,
    Abort,
    Panic,
    Error,
    Unreachable,
}

/// The arguments that something needs, and those that it may have.
type Args = (&'static [&'static str], &'static [&'static str]);

impl FaultKind {
    pub const ALL: [FaultKind; 10] = [
        FaultKind::MemoryLeak,
        FaultKind::Latency,
        FaultKind::Cpu,
        FaultKind::Io,
        FaultKind::Corrupt,
        FaultKind::Hang,
        FaultKind::Abort,
        FaultKind::Panic,
        FaultKind::Error,
        FaultKind::Unreachable,
    ];

    pub fn name(self) -> &'static str {
        match self {
            FaultKind::MemoryLeak => "memory-leak",
            FaultKind::Latency => "latency",
            FaultKind::Cpu => "cpu",
            FaultKind::Io => "io",
            FaultKind::Corrupt => "corrupt",
            FaultKind::Hang => "hang",
            FaultKind::Abort => "abort",
            FaultKind::Panic => "panic",
            FaultKind::Error => "error",
            FaultKind::Unreachable => "unreachable",
        }
    }

    fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The type that a chain names, with its arguments.
    pub fn of_chain(name: &str) -> Option<(Self, &'static [&'static str], &'static [&'static str])> {
        let kind = Self::of(name).filter(|kind| *kind != FaultKind::Unreachable)?;
        let (needs, may): Args = match kind {
            FaultKind::Latency => (&["delay"], &[]),
            FaultKind::MemoryLeak => (&["size", "duration"], &[]),
            FaultKind::Cpu => (&["duration"], &["cores"]),
            FaultKind::Io => (&["size"], &[]),
            FaultKind::Error => (&[], &["status", "rate"]),
            _ => (&[], &[]),
        };
        Some((kind, needs, may))
    }

    fn args(self) -> Args {
        match self {
            FaultKind::Latency => (&["delay"], &["jitter"]),
            FaultKind::Error => (&[], &["status"]),
            FaultKind::MemoryLeak => (&["size"], &["hold"]),
            FaultKind::Cpu => (&["hold"], &["cores"]),
            FaultKind::Io => (&["size"], &[]),
            _ => (&[], &[]),
        }
    }
}

/// What a fault acts on.
#[derive(Clone, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
struct Target {
    #[serde(skip_serializing_if = "String::is_empty")]
    service: String,
    #[serde(skip_serializing_if = "is_zero")]
    replica: usize,
    #[serde(skip_serializing_if = "String::is_empty")]
    endpoint: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    from: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    direction: String,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // as serde calls it
fn is_zero(n: &usize) -> bool {
    *n == 0
}

/// A fault that acts, with what is counted and told of it.
pub struct ActiveFault {
    pub id: String,
    kind: FaultKind,
    told: Value,
    target: Target,
    delay: Delay,
    hold: Nanos,
    size: u64,
    cores: f64,
    status: u16,
    probability: f64,
    since: OffsetDateTime,
    deadline: Option<String>,
    pub hits: AtomicU64,
    /// Cancelled when the fault has ended.
    pub cleared: CancellationToken,
}

impl ActiveFault {
    fn op(&self, key: Key) -> OpKind {
        match self.kind {
            FaultKind::MemoryLeak => OpKind::Leak { bytes: self.size, time: self.hold },
            FaultKind::Latency => OpKind::Sleep(self.delay.draw(key.with("delay"))),
            FaultKind::Cpu => OpKind::Cpu { time: self.hold, cores: self.cores },
            FaultKind::Io => OpKind::Io(self.size),
            FaultKind::Corrupt => OpKind::Corrupt,
            FaultKind::Hang => OpKind::Hang,
            FaultKind::Error => OpKind::Fail(self.status),
            FaultKind::Abort | FaultKind::Panic | FaultKind::Unreachable => OpKind::Abort,
        }
    }
}

/// The faults that act on one replica, in the order in which they act.
#[derive(Default)]
pub struct FaultSet {
    here: Vec<Arc<ActiveFault>>,
    calls: Vec<Arc<ActiveFault>>,
}

fn means(wanted: &str, is: &str) -> bool {
    wanted.is_empty() || wanted == is
}

impl FaultSet {
    fn new(replica: usize, active: &[Arc<ActiveFault>]) -> Self {
        let (calls, mut here): (Vec<_>, Vec<_>) = active.iter().cloned().partition(|f| f.kind == FaultKind::Unreachable);
        here.retain(|f| f.target.replica == 0 || f.target.replica == replica);
        here.sort_by_key(|f| f.kind);
        FaultSet { here, calls }
    }

    pub fn decide(&self, key: Key, from: &str, path: &str) -> Vec<Op> {
        let mut ops = Vec::new();
        for f in self.here.iter().filter(|f| means(&f.target.from, from) && means(&f.target.endpoint, path)) {
            let key = key.with("fault").with(&f.id);
            if key.chance(f.probability) {
                ops.push(Op { kind: f.op(key), fault: Some(f.clone()) });
                if ends(&ops) {
                    break;
                }
            }
        }
        ops
    }

    /// The fault that lets a call fail at once, if one does.
    pub fn unreachable_by(&self, key: Key, from: &str, to: &str, path: &str, replica: usize, index: usize) -> Option<&ActiveFault> {
        self.calls.iter().map(Arc::as_ref).find(|f| {
            let t = &f.target;
            t.service == to
                && means(&t.from, from)
                && means(&t.endpoint, path)
                && (t.replica == 0 || t.replica == replica)
                && key.with("fault").with(&f.id).with_int(index as i64).with_int(1).chance(f.probability)
        })
    }
}

/// The faults of one replica. Requests see one set of them from beginning to end.
pub struct FaultBoard {
    service: String,
    replica: usize,
    running: Mutex<Vec<Arc<ActiveFault>>>,
    set: RwLock<Arc<FaultSet>>,
}

const MAX_FAULTS: usize = 200;
const MAX_IO: u64 = 1 << 30;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FaultRequest {
    fault: Option<Value>,
    #[serde(default)]
    deadline: String,
}

/// What a fault has that acts when its experiment says so stays with the experiment.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FaultText {
    #[serde(rename = "type", default)]
    kind: String,
    #[serde(default)]
    target: Option<Target>,
    probability: Option<f64>,
    #[serde(default)]
    args: Option<Map<String, Value>>,
    #[serde(rename = "name")]
    _name: Option<Value>,
    #[serde(rename = "start")]
    _start: Option<Value>,
    #[serde(rename = "duration")]
    _duration: Option<Value>,
    #[serde(rename = "rounds")]
    _rounds: Option<Value>,
}

impl FaultBoard {
    pub fn new(service: &str, replica: usize) -> Self {
        FaultBoard { service: service.to_owned(), replica, running: Mutex::default(), set: RwLock::default() }
    }

    pub fn set(&self) -> Arc<FaultSet> {
        self.set.read().expect("no panic under this lock").clone()
    }

    /// Lets a fault act, in place of one with the same id.
    pub fn add(self: &Arc<Self>, id: &str, body: &[u8]) -> Result<(), Error> {
        if id.is_empty() || id.len() > 128 {
            return Err("the id of a fault has 1 to 128 characters".into());
        }
        let request: FaultRequest = serde_json::from_slice(body).map_err(|e| e.to_string())?;
        let mut fault = self.read(id, request.fault.ok_or("the request has no fault")?)?;
        let mut left = None;
        if !request.deadline.is_empty() && !request.deadline.starts_with("0001-") {
            let deadline =
                OffsetDateTime::parse(&request.deadline, &Rfc3339).map_err(|e| format!("deadline {:?}: {e}", request.deadline))?;
            let time = Duration::try_from(deadline - OffsetDateTime::now_utc())
                .map_err(|_| format!("its deadline {:?} is over", request.deadline))?;
            left = Some(time);
            fault.deadline = Some(request.deadline);
        }
        let fault = Arc::new(fault);
        let mut running = self.running.lock().expect("no panic under this lock");
        Self::end_in(&mut running, |f| f.id == id);
        if running.len() >= MAX_FAULTS {
            self.publish(&running);
            return Err(format!("{MAX_FAULTS} faults act already, the most possible"));
        }
        running.push(fault.clone());
        self.publish(&running);
        if let Some(left) = left {
            let board = self.clone();
            tokio::spawn(async move {
                tokio::select! {
                    () = tokio::time::sleep(left) => board.end(|f| std::ptr::eq(f, fault.as_ref())),
                    () = fault.cleared.cancelled() => {}
                }
            });
        }
        Ok(())
    }

    pub fn clear(&self, id: &str) {
        self.end(|f| f.id == id);
    }

    pub fn clear_all(&self) {
        self.end(|_| true);
    }

    fn end(&self, which: impl Fn(&ActiveFault) -> bool) {
        let mut running = self.running.lock().expect("no panic under this lock");
        Self::end_in(&mut running, which);
        self.publish(&running);
    }

    fn end_in(running: &mut Vec<Arc<ActiveFault>>, which: impl Fn(&ActiveFault) -> bool) {
        running.retain(|f| {
            let ends = which(f);
            if ends {
                f.cleared.cancel();
            }
            !ends
        });
    }

    fn publish(&self, running: &[Arc<ActiveFault>]) {
        *self.set.write().expect("no panic under this lock") = Arc::new(FaultSet::new(self.replica, running));
    }

    /// The faults as control lists them.
    pub fn told(&self) -> Value {
        let running = self.running.lock().expect("no panic under this lock");
        running
            .iter()
            .map(|f| {
                let mut entry = json!({
                    "id": f.id, "fault": f.told, "since": f.since.format(&Rfc3339).unwrap_or_default(),
                    "replicas": [format!("{}/{}", self.service, self.replica)], "hits": f.hits.load(Ordering::Relaxed),
                });
                if let Some(deadline) = &f.deadline {
                    entry["deadline"] = json!(deadline);
                }
                entry
            })
            .collect()
    }

    /// How many faults of a type act.
    pub fn count(&self, kind: FaultKind) -> usize {
        self.running.lock().expect("no panic under this lock").iter().filter(|f| f.kind == kind).count()
    }

    fn read(&self, id: &str, body: Value) -> Result<ActiveFault, Error> {
        let mut told = body.clone();
        let from: FaultText = serde_json::from_value(body).map_err(|e| e.to_string())?;
        let kind = FaultKind::of(&from.kind).ok_or_else(|| {
            let known: Vec<_> = FaultKind::ALL.iter().map(|kind| kind.name()).collect();
            format!("fault type {:?} does not act in a service: use one of {}", from.kind, known.join(", "))
        })?;
        let mut target = from.target.unwrap_or_default();
        let own = if kind == FaultKind::Unreachable { &mut target.from } else { &mut target.service };
        if !means(own, &self.service) {
            return Err(format!("its target is {own:?}, this is service {:?}", self.service));
        }
        if kind != FaultKind::Unreachable {
            own.clone_from(&self.service);
        }
        let probability = from.probability.unwrap_or(1.0);
        if !(0.0..=1.0).contains(&probability) {
            return Err(format!("probability {probability} is not between 0 and 1"));
        }
        told["target"] = json!(target);
        told["probability"] = json!(probability);
        let mut fault = ActiveFault {
            id: id.to_owned(),
            kind,
            told,
            target,
            delay: Delay::default(),
            hold: Nanos(10_000_000_000),
            size: 0,
            cores: 1.0,
            status: 500,
            probability,
            since: OffsetDateTime::now_utc(),
            deadline: None,
            hits: AtomicU64::new(0),
            cleared: CancellationToken::new(),
        };
        fault.read_args(from.args.unwrap_or_default())?;
        Ok(fault)
    }
}

impl ActiveFault {
    fn read_args(&mut self, args: Map<String, Value>) -> Result<(), Error> {
        let (needs, may) = self.kind.args();
        let kind = self.kind.name();
        if let Some(name) = needs.iter().find(|name| !args.contains_key(**name)) {
            return Err(format!("fault type {kind} needs {name}"));
        }
        let mut jitter = Nanos(0);
        for (name, value) in args {
            let wrong = |e: Error| format!("{name} of {kind}: {e}");
            match name.as_str() {
                arg if !needs.contains(&arg) && !may.contains(&arg) => {
                    return Err(format!("the arguments of {kind} have an unknown field {name:?}"));
                }
                "delay" => self.delay = Delay::try_from(value).map_err(wrong)?,
                "jitter" => jitter = Nanos::try_from(value).map_err(wrong)?,
                "hold" => self.hold = Nanos::try_from(value).map_err(wrong)?,
                "status" => {
                    self.status =
                        value.as_u64().and_then(|n| u16::try_from(n).ok()).ok_or_else(|| wrong(format!("{value} is no status")))?
                }
                "size" => self.size = Size::try_from(value).map_err(wrong)?.0,
                _ => self.cores = parse_cores(value.as_str().unwrap_or(&value.to_string())).map_err(wrong)?,
            }
        }
        let most = if self.kind == FaultKind::Io { MAX_IO } else { MAX_MEMORY };
        if self.size > most {
            return Err(format!("size {} is out of range", self.size));
        } else if !(400..=599).contains(&self.status) {
            return Err(format!("status {} is not an error status", self.status));
        }
        if let (Delay::Fixed(d), false) = (&self.delay, jitter == Nanos(0)) {
            self.delay = Delay::jittered(*d, jitter);
        }
        Ok(())
    }
}

/// Reads a number of processors such as 2, 0.5 or 500m.
fn parse_cores(text: &str) -> Result<f64, Error> {
    let (digits, divisor) = text.strip_suffix('m').map_or((text, 1.0), |digits| (digits, 1000.0));
    let plain = !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit() || c == '.') && !digits.starts_with('.');
    let number: Option<f64> = digits.parse().ok().filter(|_| plain);
    number.map(|n| n / divisor).ok_or_else(|| format!("{text:?} is no number of processors: write one such as 2 or 500m"))
}
