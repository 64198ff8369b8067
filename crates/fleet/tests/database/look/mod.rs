//! What operators see and decide, in a fleet whose lanes are as relays leave them.

mod decide;
mod health;
mod lists;
mod world;
