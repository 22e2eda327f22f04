//! The page: its files are part of the program.

use hyper::StatusCode;

use super::reply::{Reply, refusal, reply};

const HTML: &str = "text/html; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// Style and scripts. There is nothing in them that a stranger may not see.
pub(super) fn asset(path: &str) -> Option<Reply> {
    let (kind, text) = match path {
        "/style.css" => (STYLE, include_str!("../page/style.css")),
        "/main.js" => (SCRIPT, include_str!("../page/main.js")),
        "/api.js" => (SCRIPT, include_str!("../page/api.js")),
        "/bytes.js" => (SCRIPT, include_str!("../page/bytes.js")),
        "/dom.js" => (SCRIPT, include_str!("../page/dom.js")),
        "/map.js" => (SCRIPT, include_str!("../page/map.js")),
        "/plots.js" => (SCRIPT, include_str!("../page/plots.js")),
        "/records.js" => (SCRIPT, include_str!("../page/records.js")),
        "/facts.js" => (SCRIPT, include_str!("../page/facts.js")),
        "/icon.svg" => ("image/svg+xml", include_str!("../page/icon.svg")),
        _ => return None,
    };
    Some(reply(StatusCode::OK, kind, text))
}

pub(super) fn index() -> Reply {
    reply(StatusCode::OK, HTML, include_str!("../page/index.html"))
}

/// For who has no token: a person is asked for it.
pub(super) fn stranger(path: &str) -> Reply {
    if path == "/" {
        return reply(StatusCode::UNAUTHORIZED, HTML, include_str!("../page/login.html"));
    }
    let why = "a token is needed: send it as `Authorization: Bearer TOKEN`";
    refusal(StatusCode::UNAUTHORIZED, "Unauthorized", why)
}
