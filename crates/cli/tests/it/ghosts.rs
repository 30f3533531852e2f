//! Whoever is killed is on no topic afterwards: a subscriber, and the server itself.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::program::{Process, Server, wait_for};

#[test]
fn nobody_is_left_on_a_topic_after_a_kill() {
    let mut server = Server::dev();
    assert_eq!(total(&server), 0);
    let subscriber = listen(&server, "first");
    wait_for("the subscriber to be present", || (total(&server) == 1).then_some(()));
    subscriber.kill();
    // The operating system says goodbye for it; then nobody comes back within the grace period.
    wait_for("the subscriber to be gone", || (total(&server) == 0).then_some(()));
    let subscriber = listen(&server, "second");
    wait_for("the next to be present", || (total(&server) == 1).then_some(()));
    server.kill();
    subscriber.kill();
    server.start();
    assert_eq!(total(&server), 0, "a server starts with nobody");
    let third = listen(&server, "third");
    wait_for("a third to be present", || (total(&server) == 1).then_some(()));
    third.kill();
    assert!(server.stop().success());
}

fn listen(server: &Server, name: &str) -> Process {
    server.spawn(name, &["sub", "room/42"])
}

/// How many are on the topic.
fn total(server: &Server) -> u64 {
    let mut socket = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let request =
        "GET /v1/presence?topic=room/42 HTTP/1.1\r\nhost: 127.0.0.1\r\nconnection: close\r\n\r\n";
    socket.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let (_, total) = answer.rsplit_once("\"total\":").unwrap();
    total.trim_end_matches('}').parse().unwrap()
}
