//! The metrics of the contract. Every series that the System implies starts at zero.

use std::time::Duration;

use prometheus::{Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry, TextEncoder};

use crate::Error;
use crate::decide::Endpoint;
use crate::faults::FaultKind;
use crate::service::Service;

const BUCKETS: [f64; 17] = [0.0002, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 25.0];
const ATTEMPTS: [&str; 6] = ["ok", "http_error", "connection_error", "timeout", "cancelled", "malformed"];

pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    request_times: HistogramVec,
    degraded: IntCounterVec,
    calls: IntCounterVec,
    attempts: IntCounterVec,
    call_times: HistogramVec,
    calls_degraded: IntCounterVec,
    inflight: Gauge,
    held: Gauge,
    faults: GaugeVec,
}

fn options(name: &str, help: &str, service: &str) -> Opts {
    Opts::new(format!("microsim_{name}"), help).const_label("service", service)
}

impl Metrics {
    pub fn new(service: &str, endpoints: &[Endpoint]) -> Result<Self, Error> {
        Self::make(service, endpoints).map_err(|e| format!("making the metrics: {e}"))
    }

    fn make(service: &str, endpoints: &[Endpoint]) -> prometheus::Result<Self> {
        let registry = Registry::new();
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let vec = IntCounterVec::new(options(name, help, service), labels)?;
            registry.register(Box::new(vec.clone()))?;
            prometheus::Result::Ok(vec)
        };
        let histogram = |name: &str, help: &str, label: &str| {
            let vec = HistogramVec::new(HistogramOpts::from(options(name, help, service)).buckets(BUCKETS.to_vec()), &[label])?;
            registry.register(Box::new(vec.clone()))?;
            prometheus::Result::Ok(vec)
        };
        let gauge = |name: &str, help: &str| {
            let gauge = Gauge::with_opts(options(name, help, service))?;
            registry.register(Box::new(gauge.clone()))?;
            prometheus::Result::Ok(gauge)
        };
        let metrics = Metrics {
            requests: counter(
                "requests_total",
                "Requests answered, by endpoint and status; code aborted got no answer.",
                &["endpoint", "code"],
            )?,
            request_times: histogram("request_duration_seconds", "Time from the arrival of a request to its answer.", "endpoint")?,
            degraded: counter(
                "requests_degraded_total",
                "Requests answered well, but with parts that are not what they should be.",
                &["endpoint"],
            )?,
            calls: counter("calls_total", "Calls made, by callee and by how they ended.", &["callee", "outcome"])?,
            attempts: counter("call_attempts_total", "Requests sent for calls, by callee and outcome.", &["callee", "outcome"])?,
            call_times: histogram("call_duration_seconds", "Time of calls, whatever their outcome.", "callee")?,
            calls_degraded: counter(
                "calls_degraded_total",
                "Calls answered well, but with parts that are not what they should be.",
                &["callee"],
            )?,
            inflight: gauge("inflight_requests", "Requests being worked on.")?,
            held: gauge("held_memory_bytes", "Memory held for requests and leaks.")?,
            faults: GaugeVec::new(options("fault_active", "Faults that act now, by type.", service), &["fault"])?,
            registry: registry.clone(),
        };
        gauge("queue_length", "Requests that wait inside the service: none.")?;
        registry.register(Box::new(metrics.faults.clone()))?;
        #[cfg(target_os = "linux")]
        registry.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        for e in endpoints {
            metrics.start_endpoint(&e.path, e.status);
            e.callees.iter().for_each(|callee| metrics.start_callee(callee));
        }
        metrics.start_endpoint("chain", 200);
        metrics.start_endpoint("other", 404);
        Ok(metrics)
    }

    fn start_endpoint(&self, endpoint: &str, usual: u16) {
        for code in [usual.to_string().as_str(), "500", "502", "503", "504", "aborted"] {
            self.requests.with_label_values(&[endpoint, code]);
        }
        self.request_times.with_label_values(&[endpoint]);
        self.degraded.with_label_values(&[endpoint]);
    }

    fn start_callee(&self, callee: &str) {
        for outcome in ["breaker_open", "rejected"].iter().chain(&ATTEMPTS) {
            self.calls.with_label_values(&[callee, *outcome]);
        }
        for outcome in ATTEMPTS {
            self.attempts.with_label_values(&[callee, outcome]);
        }
        self.call_times.with_label_values(&[callee]);
        self.calls_degraded.with_label_values(&[callee]);
    }

    /// Counts a request; no status means that it got no answer.
    pub fn request(&self, endpoint: &str, status: Option<u16>, took: Duration, degraded: u64) {
        let code = status.map_or("aborted".to_owned(), |status| status.to_string());
        self.requests.with_label_values(&[endpoint, code.as_str()]).inc();
        self.request_times.with_label_values(&[endpoint]).observe(took.as_secs_f64());
        if degraded > 0 && status.is_some_and(|status| status < 400) {
            self.degraded.with_label_values(&[endpoint]).inc();
        }
    }

    /// Counts a call, which is sent once.
    pub fn call(&self, callee: &str, outcome: &str, took: Duration, degraded: u64) {
        self.calls.with_label_values(&[callee, outcome]).inc();
        self.attempts.with_label_values(&[callee, outcome]).inc();
        self.call_times.with_label_values(&[callee]).observe(took.as_secs_f64());
        if outcome == "ok" && degraded > 0 {
            self.calls_degraded.with_label_values(&[callee]).inc();
        }
    }

    /// All metrics as text.
    pub fn text(&self, service: &Service) -> Result<String, Error> {
        self.inflight.set(service.inflight() as f64);
        self.held.set(service.memory.now() as f64);
        for kind in FaultKind::ALL {
            self.faults.with_label_values(&[kind.name()]).set(service.faults.count(kind) as f64);
        }
        TextEncoder::new().encode_to_string(&self.registry.gather()).map_err(|e| e.to_string())
    }
}
