//! What the headers of a request say of it.

use std::net::IpAddr;
use std::time::Duration;

use uuid::Uuid;

/// The headers of a request that the contract knows. Empty are those that it has not,
/// or that are longer than permitted.
#[derive(Clone, Default)]
pub struct Headers {
    pub host: String,
    pub content_type: String,
    pub authorization: String,
    pub origin: String,
    pub sec_fetch_site: String,
    pub request_id: String,
    pub traceparent: String,
    pub tracestate: String,
    pub hop: String,
    pub from: String,
    pub deadline: String,
    pub times: String,
    pub token: String,
}

impl Headers {
    /// Reads them by a function that returns the value of a header.
    pub fn read<'a>(value: impl Fn(&'static str) -> Option<&'a [u8]>) -> Self {
        let of = |name, bound| match value(name) {
            Some(bytes) if bytes.len() <= bound => String::from_utf8_lossy(bytes).into_owned(),
            _ => String::new(),
        };
        Headers {
            host: of("host", 1024),
            content_type: of("content-type", 1024),
            authorization: of("authorization", 8192),
            origin: of("origin", usize::MAX),
            sec_fetch_site: of("sec-fetch-site", usize::MAX),
            request_id: of("x-request-id", 128),
            traceparent: of("traceparent", 128),
            tracestate: of("tracestate", 512),
            hop: of("microsim-hop", 512),
            from: of("microsim-from", 128),
            deadline: of("microsim-deadline", 20),
            times: of("microsim-times", 16_384),
            token: of("microsim-token", 8192),
        }
    }

    /// The id of the request: its own, or a new one.
    pub fn id(&self) -> String {
        if self.request_id.is_empty() { Uuid::new_v4().to_string() } else { self.request_id.clone() }
    }

    /// The traceparent of a call: the trace that came in with a new span, or a new trace.
    pub fn call_traceparent(&self) -> String {
        let span = format!("{:016x}", fastrand::u64(1..));
        match trace_of(&self.traceparent) {
            Some((trace, flags)) => format!("00-{trace}-{span}-{flags}"),
            None => format!("00-{:032x}-{span}-01", fastrand::u128(1..)),
        }
    }

    /// What the caller says is left.
    pub fn time_left(&self) -> Option<Duration> {
        const DAY_MS: u64 = 86_400_000;
        let digits = self.deadline.bytes().all(|b| b.is_ascii_digit());
        self.deadline.parse().ok().filter(|ms| digits && *ms < DAY_MS).map(Duration::from_millis)
    }

    /// Why a request is refused that a web page has sent, or one that reaches a loopback
    /// address by a foreign name.
    pub fn refusal(&self, loopback: bool) -> Option<String> {
        let site = self.sec_fetch_site.as_str();
        if !self.origin.is_empty() || !matches!(site, "" | "none") {
            return Some("requests of web pages are refused by this service; send it from a program".into());
        }
        let name = match self.host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
            _ => &self.host,
        };
        let name = name.trim_start_matches('[').trim_end_matches(']');
        let local = name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        (loopback && !local).then(|| format!("host {name:.128?} is not this service: use its address"))
    }
}

/// The trace and the flags of a traceparent that is valid.
fn trace_of(text: &str) -> Option<(&str, &str)> {
    let mut parts = text.splitn(5, '-');
    let mut part = |length: usize| parts.next().filter(|p| p.len() == length && p.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')));
    let (version, trace, span, flags) = (part(2)?, part(32)?, part(16)?, part(2)?);
    let zero = |p: &str| p.bytes().all(|b| b == b'0');
    (version != "ff" && !zero(trace) && !zero(span)).then_some((trace, flags))
}
