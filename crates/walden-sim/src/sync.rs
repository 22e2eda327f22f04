//! The one lock of the crate, behind one name: it guards, and never decides an order.
#![expect(clippy::disallowed_types, reason = "std's mutex, by its one other name")]

pub(crate) type Mutex<T> = std::sync::Mutex<T>;
