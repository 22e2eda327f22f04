//! Who is answered: by name, by origin, by token.

use walden_inspector::serve::Options;

use crate::client::{Served, make_log};

const TOKEN: &str = "0123456789abcdef-secret";

fn guarded() -> Served {
    Served::with(Options::default().token(TOKEN), |dir| make_log(dir, 3))
}

#[test]
fn another_name_is_refused() {
    let served = Served::of(3);
    for host in ["evil.example", "localhost.evil.example", "", "127.0.0.1.evil.example:80"] {
        let answer = served.ask("GET", "/api/v1/status", &format!("Host: {host}\r\n"));
        assert_eq!(answer.status, 403, "{host}");
        assert!(!answer.text().contains("next_seq"));
    }
    let twice = "Host: localhost\r\nHost: evil.example\r\n";
    assert!([400, 403].contains(&served.ask("GET", "/api/v1/status", twice).status));
    let none = served.raw("GET /api/v1/status HTTP/1.0\r\n\r\n").unwrap();
    assert_eq!(none.status, 403);
    assert_eq!(served.ask("GET", "/api/v1/status", "Host: localhost:1\r\n").status, 200);
    let named = Served::with(Options::default().allow_host("logs.example"), |dir| make_log(dir, 3));
    assert_eq!(named.ask("GET", "/api/v1/status", "Host: logs.example\r\n").status, 200);
}

#[test]
fn another_site_is_refused() {
    let served = Served::of(3);
    for headers in [
        "Sec-Fetch-Site: cross-site\r\n",
        "Sec-Fetch-Site: same-site\r\nSec-Fetch-Mode: cors\r\n",
        "Origin: http://evil.example\r\n",
        "Origin: null\r\n",
    ] {
        assert_eq!(served.ask("GET", "/api/v1/search?text=a", headers).status, 403, "{headers}");
        assert_eq!(served.ask("POST", "/api/v1/check", headers).status, 403, "{headers}");
    }
    let own = format!("Origin: http://{}\r\nSec-Fetch-Site: same-origin\r\n", served.address);
    assert_eq!(served.ask("POST", "/api/v1/check", &own).status, 202);
}

#[test]
fn without_the_token_nothing_of_the_log_is_told() {
    let served = guarded();
    for path in [
        "/api/v1/status",
        "/api/v1/entries",
        "/api/v1/entries/1",
        "/api/v1/follow",
        "/metrics",
        "/api/v1/check",
        "/api/v1/search?text=entry",
        "/api/v1/nothing",
    ] {
        for headers in ["", "Authorization: Bearer wrong\r\n", "Cookie: walden_token=x\r\n"] {
            let answer = served.ask("GET", path, headers);
            assert_eq!(answer.status, 401, "{path}: {}", answer.text());
        }
        let known = format!("Authorization: Bearer {TOKEN}\r\n");
        assert_ne!(
            if path.contains("follow") { 200 } else { served.ask("GET", path, &known).status },
            401
        );
    }
    assert_eq!(served.ask("POST", "/api/v1/check", "").status, 401);
    let page = served.get("/");
    assert!(page.status == 401 && page.text().contains("type=\"password\""));
    assert_eq!(served.get("/style.css").status, 200);
}

#[test]
fn a_browser_takes_the_token_by_a_form() {
    let served = guarded();
    let post = |token: &str| {
        let body = format!("token={token}");
        let head = format!(
            "POST /login HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            served.address,
            body.len()
        );
        served.raw(format!("{head}{body}")).unwrap()
    };
    assert_eq!(post("wrong").status, 401);
    assert!(post("wrong").header("set-cookie").is_none());
    let answer = post(TOKEN);
    assert_eq!((answer.status, answer.header("location")), (303, Some("/")));
    let cookie = answer.header("set-cookie").unwrap().to_owned();
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"), "{cookie}");
    let pair = cookie.split(';').next().unwrap();
    // Another server on another port of this machine sees it, and must not clash with it.
    assert!(pair.starts_with(&format!("walden_session_{}=", served.address.port())), "{pair}");
    assert!(!cookie.contains(TOKEN), "{cookie}");
    assert_eq!(served.ask("GET", "/", &format!("Cookie: {pair}\r\n")).status, 200);
    assert_eq!(served.ask("GET", "/api/v1/status", &format!("Cookie: {pair}\r\n")).status, 200);
    assert_eq!(post(&"x".repeat(2000)).status, 413);
}
