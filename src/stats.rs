//! Statistics: how many events wait, how many were delivered, and why delivery is paused.
//!
//! One table (`stats/table.rs`) says the name, the meaning and the kind of each figure. The struct,
//! the JSON and the Prometheus text are all made from it, so that none of them can lack a figure or
//! call it something else. [`Stats`] is a snapshot: what it holds is gathered elsewhere, and it
//! reads no clock.

pub mod histogram;
mod table;
pub mod text;

use crate::error::PauseReason;

use self::histogram::{
    Bounds, DELIVERY_BOUNDS_US, ENQUEUE_BOUNDS_US, Histogram, REQUEST_BOUNDS_US,
};
use self::table::VERDICTS;
pub(crate) use self::table::for_each_figure;

/// One figure of a snapshot.
struct Figure {
    /// Its member in the JSON.
    member: &'static str,
    /// Its metric for Prometheus.
    metric: &'static str,
    meaning: &'static str,
    value: Value,
}

/// The kinds of figures, each with the value of one figure.
enum Value {
    /// Only grows, until the spool is created anew or the process ends.
    Counter(u64),
    /// Goes up and down.
    Gauge(u64),
    /// Prometheus gets it in seconds.
    TimeMs(Option<i64>),
    /// Prometheus gets a 0 or a 1 for every reason, so that a change is a change of values.
    Paused(Option<PauseReason>),
    /// Prometheus gets these as one counter with the verdict as a label.
    Verdict(&'static str, u64),
    /// The buckets are cumulative in both texts.
    Histogram(&'static Bounds, Histogram),
    /// Prometheus gets a 0 or a 1.
    Flag(bool),
    /// Prometheus gets it as a label, since it is a name and not a quantity.
    Pid(Option<u32>),
}

macro_rules! define_stats {
    ($(
        #[doc = $meaning:literal]
        $(#[doc = $more:literal])*
        $field:ident: $type:ty = $kind:ident $(($argument:expr))?, $metric:expr,
            c.$c_field:ident $(, totals.$($total:ident).+)?;
    )*) => {
        /// A snapshot of one spool, as seen by one process. Times are wall times in milliseconds
        /// since 1970-01-01T00:00:00Z.
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub struct Stats {
            $(
                #[doc = $meaning]
                $(#[doc = $more])*
                pub $field: $type,
            )*
        }

        impl Stats {
            fn figures(&self) -> Vec<Figure> {
                vec![$(
                    Figure {
                        member: stringify!($field),
                        metric: $metric,
                        // The text of a doc comment begins with its space.
                        meaning: $meaning.trim_ascii_start(),
                        value: Value::$kind($($argument,)? self.$field),
                    },
                )*]
            }
        }
    };
}

for_each_figure!(define_stats);

#[cfg(test)]
mod tests;
