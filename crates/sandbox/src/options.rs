//! How a sandbox starts.

/// How a sandbox starts. With the default options it knows every user, has no faults, and accepts
/// the token `sandbox-token`.
#[derive(Debug, Clone)]
pub struct Options {
    /// The port on 127.0.0.1. With 0 the kernel chooses a free one.
    pub port: u16,
    /// The only bearer token that the sandbox accepts.
    pub token: String,
    /// Values of `partner_user_id` that the sandbox does not know.
    pub unknown_users: Vec<String>,
    /// The sandbox does not know a `partner_user_id` that begins with one of these either.
    pub unknown_prefixes: Vec<String>,
    /// Faults that are in force from the first request on, as the JSON that `PUT /sandbox/faults`
    /// takes.
    pub faults: Option<String>,
    /// Seed of the random numbers. With the same seed, the same requests meet the same faults.
    pub seed: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            port: 0,
            token: "sandbox-token".into(),
            unknown_users: Vec::new(),
            unknown_prefixes: Vec::new(),
            faults: None,
            seed: 0,
        }
    }
}
