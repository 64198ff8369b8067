//! A local Partners API for tests and trials. It keeps a ledger of what it received, and it
//! misbehaves on order.
//!
//! The sandbox judges `POST /default/v1/events` by the API's rules (`api`) and records every
//! request (`ledger`). A fault may replace the answer or break the connection (`faults`,
//! `connection`). A program steers a running sandbox over HTTP on the same port (`control`); a
//! person opens a page in a browser (`page`), which is fed with the latest requests (`recent`,
//! `live`, `request_events`). The sandbox listens on 127.0.0.1 only. It is not tuned to be the target of a load test.
//!
//! The command `meditopia sandbox` runs one sandbox as a process of its own ([`Server`]). A test
//! runs one on a thread of its own process ([`Background`]). Both give out a [`Handle`], which has
//! the addresses and reads the ledger.
//!
//! ```
//! # fn main() -> Result<(), String> {
//! use meditopia_sandbox::{Background, Options};
//!
//! let sandbox = Background::start(&Options::default())?;
//! let api = sandbox.handle();
//! println!("post events to {} with the bearer token {}", api.endpoint(), api.token());
//! assert_eq!(api.ledger(|ledger| ledger.accepted_events()), 0);
//! # Ok(())
//! # }
//! ```

mod answer;
mod api;
mod background;
mod connection;
mod control;
mod excerpt;
mod exchange;
mod faults;
mod json;
mod ledger;
pub mod limits;
mod live;
mod options;
pub mod own_names;
mod page;
mod recent;
mod request_events;
mod server;
mod state;
mod users;

pub use background::Background;
pub use ledger::{Ledger, Outcome, Summary};
pub use options::Options;
pub use server::{Handle, Server};

/// How to steer a running sandbox over HTTP, as plain text. `meditopia sandbox --help` prints it.
pub const CONTROL_HELP: &str = include_str!("control.md");
