//! A mock service without its web framework: which endpoints it has, and what it
//! answers. The framework routes requests here and writes the answers.

mod calls;
mod chain;
mod decide;
pub mod dist;
mod exact;
mod exchange;
mod faults;
mod identity;
mod metrics;
mod program;
mod service;
mod work;

pub use identity::Headers;
pub use program::{Program, start};
pub use service::{Answer, METHODS, Request, Service, error_answer};

/// Says why something is refused, or what went wrong.
pub type Error = String;
