//! Authentication over real TLS: what needs keys, certificates and a clock, and so cannot be a scene.

mod bearer;
mod certificates;
mod client;
mod counted;
mod house;
mod library;
mod limits;
mod passwords;
#[path = "../scenes/secrets.rs"]
#[allow(dead_code, reason = "others see more than this")]
mod secrets;
mod tokens;
#[path = "../scenes/trusting.rs"]
mod trusting;
