//! What comes to the operator's port takes a bounded part of the process.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::ask;
use crate::peer::{config, http, raw, start};

/// Places at the operator's port.
const PLACES: usize = 256;

/// What is left to read until the server closes the connection.
async fn rest(socket: &mut TcpStream) -> String {
    let mut rest = Vec::new();
    let end = tokio::time::timeout(Duration::from_secs(10), socket.read_to_end(&mut rest));
    let _ = end.await.expect("the server closes it");
    String::from_utf8_lossy(&rest).into_owned()
}

#[tokio::test]
async fn half_open_requests_do_not_stay() {
    let mut config = config();
    config.limits.handshake_timeout = Duration::from_millis(300);
    let server = start(config).await;
    let mut half_open = Vec::new();
    for said in ["", "GET /livez HTT", "GET /livez HTTP/1.1\r\nhost: localhost\r\n"] {
        let mut socket = TcpStream::connect(server.operator_addr()).await.unwrap();
        socket.write_all(said.as_bytes()).await.unwrap();
        half_open.push(socket);
    }
    for socket in &mut half_open {
        rest(socket).await;
    }
    assert_eq!(ask(&server, "GET", "/livez").await.0, 200);
    server.shutdown().await;
}

#[tokio::test]
async fn a_full_port_says_503_and_leaves_the_public_one_alone() {
    let server = start(config()).await;
    let mut idle = Vec::new();
    for _ in 0..PLACES {
        idle.push(TcpStream::connect(server.operator_addr()).await.unwrap());
    }
    let answer = raw(server.operator_addr(), b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.contains("Retry-After: "), "{answer}");
    let (status, _, _) = http(server.public_addr(), "GET", "/openapi.json", &[], "").await;
    assert_eq!(status, 200);
    idle.truncate(PLACES / 2);
    for tries in 0.. {
        if ask(&server, "GET", "/livez").await.0 == 200 {
            break;
        }
        assert!(tries < 500, "a place that is given back is taken again");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    server.shutdown().await;
}

#[tokio::test]
async fn who_takes_no_answers_loses_the_place() {
    let mut config = config();
    config.http.request_timeout = Duration::from_secs(1);
    let server = start(config).await;
    let mut deaf = TcpStream::connect(server.operator_addr()).await.unwrap();
    // The console's script is larger than all the buffers in between, if it is asked for so often.
    let request = "GET /console/app.js HTTP/1.1\r\nhost: localhost\r\n\r\n";
    deaf.write_all(request.repeat(400).as_bytes()).await.unwrap();
    // Past the bound, and without having read: what is left breaks off.
    tokio::time::sleep(Duration::from_secs(4)).await;
    let mut taken = Vec::new();
    let end = tokio::time::timeout(Duration::from_secs(30), deaf.read_to_end(&mut taken)).await;
    let _ = end.expect("the server has closed it");
    let answers = taken.windows(15).filter(|bytes| bytes == b"HTTP/1.1 200 OK").count();
    assert!(answers < 400, "{answers} answers of {} bytes", taken.len());
    server.shutdown().await;
}

#[tokio::test]
async fn every_error_is_a_problem_and_nothing_is_kept_on_its_way() {
    let server = start(config()).await;
    for (method, path, status, code) in [
        ("PUT", "/v1/groups", 405, "method_not_allowed"),
        ("POST", "/livez", 405, "method_not_allowed"),
        ("GET", "/v1/publish", 405, "method_not_allowed"),
        ("GET", "/v1/users/%ff", 400, "bad_field"),
        ("DELETE", "/v1/scheduled/%ff", 400, "bad_field"),
        ("GET", "/nowhere", 404, "not_found"),
    ] {
        let (told, head, body) = http(server.operator_addr(), method, path, &[], "").await;
        assert_eq!(told, status, "{method} {path}: {body}");
        assert!(head.contains("content-type: application/problem+json"), "{path}: {head}");
        assert_eq!(head.contains("\r\nallow: "), status == 405, "{path}: {head}");
        let problem: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(problem["code"], code, "{problem}");
        assert!(problem["detail"].as_str().is_some_and(|text| !text.is_empty()), "{problem}");
    }
    for path in ["/v1/node", "/v1/groups", "/v1/history?topic=a", "/readyz", "/nowhere"] {
        let (_, head, _) = http(server.operator_addr(), "GET", path, &[], "").await;
        assert!(head.contains("\r\ncache-control: no-store"), "{path}: {head}");
        assert!(head.contains("\r\nx-content-type-options: nosniff"), "{path}: {head}");
    }
    let (_, head, _) = http(server.operator_addr(), "GET", "/console/app.js", &[], "").await;
    assert!(head.contains("\r\ncache-control: no-cache"), "pages say otherwise: {head}");
    server.shutdown().await;
}
