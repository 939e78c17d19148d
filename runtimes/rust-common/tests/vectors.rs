//! The decisions are those of all runtimes, to the bit.

use microsim_mock::dist::{Delay, Key, Nanos, Size};
use serde_json::Value;

fn vectors() -> Value {
    let text = std::fs::read_to_string("../../testdata/vectors.json").expect("the published vectors");
    serde_json::from_str(&text).expect("vectors in JSON")
}

#[test]
fn keys() {
    let vectors = vectors();
    let keys = vectors["keys"].as_array().unwrap();
    assert!(!keys.is_empty());
    for v in keys {
        let mut key = Key::seed(v["seed"].as_str().unwrap().parse().unwrap());
        for step in v["path"].as_array().unwrap() {
            key = match step {
                Value::String(name) => key.with(name),
                number => key.with_int(number.as_i64().unwrap()),
            };
        }
        let drawn = (key.0.to_string(), key.u64().to_string(), key.f64(), key.below(10) as u64);
        let want = (
            v["key"].as_str().unwrap().to_owned(),
            v["uint64"].as_str().unwrap().to_owned(),
            v["float64"].as_f64().unwrap(),
            v["intN10"].as_u64().unwrap(),
        );
        assert_eq!(drawn, want, "the key of {}", v["path"]);
    }
}

#[test]
fn delays() {
    let vectors = vectors();
    let delays = vectors["delays"].as_array().unwrap();
    assert!(!delays.is_empty());
    for v in delays {
        let delay = Delay::try_from(v["delay"].clone()).unwrap();
        let want = v["nanoseconds"].as_array().unwrap();
        let mut sum = 0u64;
        for j in 0..10_000 {
            let drawn = delay.draw(Key::seed(1).with_int(j)).0;
            sum = sum.wrapping_add(drawn as u64);
            if let Some(want) = want.get(j as usize) {
                assert_eq!(drawn, want.as_i64().unwrap(), "draw {j} of {}", v["delay"]);
            }
        }
        assert_eq!(sum.to_string(), v["sumOf10000"].as_str().unwrap(), "the draws of {}", v["delay"]);
    }
}

#[test]
fn durations_and_sizes() {
    for (text, want) in [
        ("5ms", 5_000_000),
        ("1m30s", 90_000_000_000),
        ("1.5s", 1_500_000_000),
        ("-1ms", -1_000_000),
        ("0", 0),
        ("", 0),
        ("0s", 0),
        ("0s5ns", 5),
        ("1d", 86_400_000_000_000),
        ("2min", 120_000_000_000),
        ("100µs", 100_000),
    ] {
        assert_eq!(text.parse(), Ok(Nanos(want)), "{text}");
    }
    for (text, want) in [("512", 512), ("64Ki", 65_536), ("1Mi", 1 << 20), ("2k", 2000), ("1.5Ki", 1536), ("3M", 3_000_000)] {
        assert_eq!(text.parse(), Ok(Size(want)), "{text}");
    }
    for bad in ["5", "5 ms", "5parsec", "ms", "5.ms", "0s ", "999999999999999d"] {
        assert!(bad.parse::<Nanos>().is_err(), "{bad}");
    }
    for bad in ["-1", "5KB", "x", "1K", "1.", ".5", ""] {
        assert!(bad.parse::<Size>().is_err(), "{bad}");
    }
}
