//! What requests spend: processor time, disk, memory.

use std::hint::black_box;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::Error;
use crate::dist::Nanos;

const UNIT_ROOTS: f64 = 32_768.0;
const CHUNK: u64 = 1024;

fn roots(n: u64) {
    black_box((0..n).map(|_| fastrand::f64().sqrt()).sum::<f64>());
}

/// Takes so many units of 32 768 square roots of random numbers.
pub async fn burn_units(units: f64) {
    blocking(move || roots((units * UNIT_ROOTS) as u64)).await;
}

/// Spends so much processor time on a thread.
pub async fn burn_time(time: Nanos) {
    blocking(move || {
        let start = thread_time();
        while thread_time().saturating_sub(start) < time.time() {
            roots(CHUNK);
        }
    })
    .await;
}

/// The processor time that this thread has spent.
#[cfg(unix)]
fn thread_time() -> Duration {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(t.tv_sec.unsigned_abs(), u32::try_from(t.tv_nsec).unwrap_or(0))
}

/// The time that has gone by, where a thread's own cannot be read.
#[cfg(not(unix))]
fn thread_time() -> Duration {
    static BEGAN: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    BEGAN.elapsed()
}

/// Keeps a number of processors busy for so long.
pub async fn burn_cores(cores: f64, time: Nanos) {
    const PERIOD: Duration = Duration::from_millis(10);
    blocking(move || {
        let end = Instant::now() + time.time();
        std::thread::scope(|scope| {
            let mut left = cores;
            while left > 0.0 {
                let busy = PERIOD.mul_f64(left.min(1.0));
                scope.spawn(move || {
                    while Instant::now() < end {
                        let began = Instant::now();
                        while began.elapsed() < busy {
                            roots(CHUNK);
                        }
                        std::thread::sleep(PERIOD - busy);
                    }
                });
                left -= 1.0;
            }
        });
    })
    .await;
}

/// Writes a temporary file, syncs it every 512 KiB and at the end, and removes it.
pub async fn write_and_sync(bytes: u64) -> Result<(), Error> {
    const BLOCK: [u8; 1024] = [0; 1024];
    const SYNC_EVERY: u64 = 512 * 1024;
    let write = move || -> std::io::Result<()> {
        let mut file = tempfile::tempfile()?;
        let mut written = 0;
        while written < bytes {
            let n = (bytes - written).min(BLOCK.len() as u64);
            file.write_all(&BLOCK[..n as usize])?;
            written += n;
            if written % SYNC_EVERY == 0 || written == bytes {
                file.sync_all()?;
            }
        }
        Ok(())
    };
    blocking(write).await.map_err(|e| e.to_string())
}

/// Runs what holds a thread up on one that answers no requests.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("work does not panic")
}

/// Bounds what is held.
pub const MAX_MEMORY: u64 = 4 << 30;

/// What is held for requests and leaks.
#[derive(Clone, Default)]
pub struct Memory(Arc<AtomicU64>);

/// Memory that is given back when this is dropped.
pub struct Held {
    bytes: u64,
    block: Box<[u8]>,
    memory: Memory,
}

impl Memory {
    /// Takes memory and makes it real.
    pub async fn take(&self, bytes: u64) -> Result<Held, Error> {
        let reserve = |held: u64| held.checked_add(bytes).filter(|sum| *sum <= MAX_MEMORY);
        self.0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, reserve)
            .map_err(|held| format!("{bytes} bytes beside the {held} held are more than the {MAX_MEMORY} possible"))?;
        let fill = move || {
            let mut block = vec![0u8; bytes as usize].into_boxed_slice();
            for page in block.chunks_mut(4096) {
                page[0] = 1;
            }
            block
        };
        Ok(Held { bytes, block: blocking(fill).await, memory: self.clone() })
    }

    pub fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        black_box(&self.block);
        self.memory.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
