//! What shortens the log: cuts at either end, and retention.

pub(crate) mod cut;
pub(crate) mod front;
pub(crate) mod live;
