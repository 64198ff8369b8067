//! What the other crates of this workspace use beyond the public surface. No version promises any
//! of it: it exists only with the feature `internals`, and the documentation does not show it.

/// Re-exports everything that a private module of this crate marks as `pub`.
macro_rules! internal {
    ($($module:ident)*) => {
        $(
            #[allow(missing_docs, reason = "the module documents itself")]
            pub mod $module {
                pub use crate::$module::*;
            }
        )*
    };
}

internal! {
    client clock config delivery dispatch error event exchange journal log process spelling spool stats store transport
}

/// One lane of a store that several processes share, for who owns it.
pub mod lanes {
    pub use crate::dispatch::{Command, LaneOptions, Next, OwnedLane, Sent, Share, Then};
}
