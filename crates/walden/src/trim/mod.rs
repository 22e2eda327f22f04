//! What shortens the log: cuts at either end, and retention. And what else begins a stretch of history.

pub(crate) mod cut;
pub(crate) mod epoch;
pub(crate) mod front;
pub(crate) mod live;
mod retention;
mod stopped;
