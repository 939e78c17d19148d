//! Keys, which decide, and what the files have: durations, sizes, distributions.

use serde::Deserialize;
use serde_json::Value;

use crate::{Error, exact};

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The output function of SplitMix64.
fn mix(z: u64) -> u64 {
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Names one random decision. It follows from the seed and the names of what decides,
/// so all runtimes decide alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key(pub u64);

impl Key {
    pub fn seed(n: u64) -> Self {
        Key(mix(n.wrapping_add(GOLDEN)))
    }

    /// The key of something that has a name.
    #[must_use]
    pub fn with(self, name: &str) -> Self {
        let hash = name.bytes().fold(self.0 ^ 14_695_981_039_346_656_037, |h, byte| (h ^ u64::from(byte)).wrapping_mul(1_099_511_628_211));
        Key(mix(hash.wrapping_add(name.len() as u64)))
    }

    /// The key of something that has a number.
    #[must_use]
    pub fn with_int(self, n: i64) -> Self {
        Key(mix(self.0.rotate_left(25) ^ mix((n as u64).wrapping_add(GOLDEN))))
    }

    pub fn u64(self) -> u64 {
        mix(self.0.wrapping_add(GOLDEN))
    }

    /// Uniform in [0, 1).
    pub fn f64(self) -> f64 {
        (self.u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Uniform in 0..n-1.
    pub fn below(self, n: usize) -> usize {
        ((u128::from(self.u64()) * n as u128) >> 64) as usize
    }

    pub fn chance(self, p: f64) -> bool {
        p > 0.0 && self.f64() < p
    }
}

/// A duration in nanoseconds, written as 1m30s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Value")]
pub struct Nanos(pub i64);

impl Nanos {
    /// As a time to wait.
    pub fn time(self) -> std::time::Duration {
        std::time::Duration::from_nanos(self.0.max(0) as u64)
    }
}

fn unit(name: &str) -> Option<u128> {
    Some(match name {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" | "min" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "d" => 86_400_000_000_000,
        _ => return None,
    })
}

/// Splits a text behind its first characters of a kind.
fn take(text: &str, kind: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !kind(c)).unwrap_or(text.len()))
}

impl std::str::FromStr for Nanos {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        if text.is_empty() || text == "0" {
            return Ok(Nanos(0));
        }
        let no_duration = || format!("invalid duration {text:?}: write a number with a unit, such as 300ms or 1m30s");
        let too_long = || format!("invalid duration {text:?}: it is too long");
        let digit = |c: char| c.is_ascii_digit();
        let mut rest = text.strip_prefix('-').unwrap_or(text);
        let mut total = 0u128;
        loop {
            let (whole, after) = take(rest, digit);
            let (fraction, after) = match after.strip_prefix('.') {
                Some(after) if after.starts_with(digit) => take(after, digit),
                _ => ("", after),
            };
            let (name, after) = take(after, |c| c.is_ascii_lowercase() || c == 'µ' || c == 'μ');
            if whole.is_empty() || name.is_empty() {
                return Err(no_duration());
            }
            let unit = unit(name).ok_or_else(|| format!("invalid duration {text:?}: {name} is not a unit"))?;
            let digits: u128 = format!("{whole}{fraction}").parse().map_err(|_| too_long())?;
            let scale = 10u128.checked_pow(fraction.len() as u32).ok_or_else(too_long)?;
            total = digits.checked_mul(unit).map(|n| n / scale).and_then(|n| total.checked_add(n)).ok_or_else(too_long)?;
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        let total = i64::try_from(total).map_err(|_| too_long())?;
        Ok(Nanos(if text.starts_with('-') { -total } else { total }))
    }
}

impl TryFrom<Value> for Nanos {
    type Error = Error;

    fn try_from(value: Value) -> Result<Self, Error> {
        match value {
            Value::Null => Ok(Nanos(0)),
            Value::String(text) => text.parse(),
            other => Err(format!("invalid duration {other}: write a text such as 300ms")),
        }
    }
}

/// A number of bytes, written as 512 or 64Ki.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Value")]
pub struct Size(pub u64);

impl std::str::FromStr for Size {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let no_size = || format!("invalid size {text:?}: write a number of bytes, such as 512 or 64Ki");
        let (digits, suffix) = take(text, |c| c.is_ascii_digit() || c == '.');
        let number: f64 = digits.parse().map_err(|_| no_size())?;
        let power = |letter: &str| "KMGTP".find(letter).map(|i| i as i32 + 1);
        let factor = match (suffix, suffix.strip_suffix('i')) {
            ("", _) => Some(1.0),
            ("k", _) => Some(1000.0),
            (_, Some(letter)) if letter.len() == 1 => power(letter).map(|n| 1024f64.powi(n)),
            (letter, None) if letter.len() == 1 && letter != "K" => power(letter).map(|n| 1000f64.powi(n)),
            _ => None,
        };
        if !digits.starts_with(|c: char| c.is_ascii_digit()) || !digits.ends_with(|c: char| c.is_ascii_digit()) {
            return Err(no_size());
        }
        Ok(Size((number * factor.ok_or_else(no_size)?) as u64))
    }
}

impl TryFrom<Value> for Size {
    type Error = Error;

    fn try_from(value: Value) -> Result<Self, Error> {
        match value {
            Value::Null => Ok(Size(0)),
            Value::String(text) => text.parse(),
            other => other.to_string().parse(),
        }
    }
}

const DAY: i64 = 86_400_000_000_000;
const Z99: f64 = 2.3263478740408408;

/// A distribution of durations: a duration, or an object with one field.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Value")]
pub enum Delay {
    Fixed(Nanos),
    Uniform { lo: f64, hi: f64 },
    Normal { mean: f64, deviation: f64 },
    LogNormal { mu: f64, sigma: f64 },
    Exponential { mean: f64 },
    Pareto { least: f64, alpha: f64 },
    Empirical(Vec<Nanos>),
}

impl Default for Delay {
    fn default() -> Self {
        Delay::Fixed(Nanos(0))
    }
}

impl Delay {
    pub fn is_zero(&self) -> bool {
        *self == Delay::default()
    }

    /// Uniform around a delay.
    pub fn jittered(d: Nanos, jitter: Nanos) -> Self {
        match jitter {
            Nanos(0) => Delay::Fixed(d),
            Nanos(jitter) => Delay::Uniform { lo: (d.0 - jitter) as f64, hi: (d.0 + jitter) as f64 },
        }
    }

    /// The duration that the key decides.
    pub fn draw(&self, key: Key) -> Nanos {
        let p = key.f64();
        let drawn = match self {
            Delay::Fixed(d) => return Nanos(d.0.min(DAY)),
            Delay::Uniform { lo, hi } => p * (hi - lo) + lo,
            Delay::Normal { mean, deviation } => deviation * exact::normal_quantile(p) + mean,
            Delay::LogNormal { mu, sigma } => exact::exp(sigma * exact::normal_quantile(p) + mu),
            Delay::Exponential { mean } => -mean * exact::log1p(-p),
            Delay::Pareto { least, alpha } => least * exact::exp(-exact::log1p(-p) / alpha),
            Delay::Empirical(values) => values[((p * values.len() as f64) as usize).min(values.len() - 1)].0 as f64,
        };
        Nanos(drawn.clamp(0.0, DAY as f64) as i64)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DelayText {
    fixed: Option<Nanos>,
    uniform: Option<UniformText>,
    normal: Option<NormalText>,
    lognormal: Option<LogNormalText>,
    exponential: Option<ExponentialText>,
    pareto: Option<ParetoText>,
    empirical: Option<Vec<Nanos>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UniformText {
    min: Nanos,
    max: Nanos,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NormalText {
    mean: Nanos,
    stddev: Nanos,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LogNormalText {
    p50: Nanos,
    p99: Nanos,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExponentialText {
    mean: Nanos,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ParetoText {
    min: Nanos,
    alpha: f64,
}

impl TryFrom<Value> for Delay {
    type Error = Error;

    fn try_from(value: Value) -> Result<Self, Error> {
        if !value.is_object() {
            return Nanos::try_from(value).map(Delay::Fixed);
        }
        let from: DelayText = serde_json::from_value(value).map_err(|e| format!("reading a distribution: {e}"))?;
        Ok(if let Some(d) = from.fixed {
            Delay::Fixed(d)
        } else if let Some(u) = from.uniform {
            Delay::Uniform { lo: u.min.0 as f64, hi: u.max.0 as f64 }
        } else if let Some(n) = from.normal {
            Delay::Normal { mean: n.mean.0 as f64, deviation: n.stddev.0 as f64 }
        } else if let Some(l) = from.lognormal {
            let mu = exact::log(l.p50.0 as f64);
            Delay::LogNormal { mu, sigma: (exact::log(l.p99.0 as f64) - mu) / Z99 }
        } else if let Some(e) = from.exponential {
            Delay::Exponential { mean: e.mean.0 as f64 }
        } else if let Some(p) = from.pareto {
            Delay::Pareto { least: p.min.0 as f64, alpha: p.alpha }
        } else {
            match from.empirical {
                Some(values) if !values.is_empty() => Delay::Empirical(values),
                _ => Delay::default(),
            }
        })
    }
}
