//! Links that are bad without being broken: slow, sliced, and wrong.

use std::time::Duration;

use super::proxy::{Fault, Link, Proxy};
use super::traffic::{PATIENT, client, run};
use crate::program::Server;

const MESSAGES: u64 = 40;

/// Connections in which a bit is flipped.
const FLIPS: u64 = 60;

#[test]
fn slow_and_sliced_links_deliver_everything() {
    let mut server = Server::serve(PATIENT);
    server.start();
    for (topic, fault) in [
        ("delay-100", Fault::Delay(Duration::from_millis(100))),
        ("delay-500", Fault::Delay(Duration::from_millis(500))),
        ("rate", Fault::Rate(4)),
        ("slices", Fault::Slices),
    ] {
        let proxy = Proxy::start(server.port, move |_| Link { up: fault, down: fault });
        let (live, durable) = (client(&proxy.url()), client(&proxy.url()));
        let report = run(live, durable, topic, |published| published >= MESSAGES);
        assert_eq!(proxy.connections(), 2, "{topic}: a link was taken for dead");
        report.check(&server, topic);
    }
}

/// Over TLS a flipped bit is at worst the end of the connection; nothing wrong is ever believed.
#[test]
fn a_flipped_bit_is_at_worst_a_cut_over_tls() {
    let tls =
        "[tls]\ncertificate_file = \"DIRECTORY/cert.pem\"\nkey_file = \"DIRECTORY/key.pem\"\n";
    let mut server = Server::serve(&format!("{PATIENT}{tls}"));
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(server.path("cert.pem"), made.cert.pem()).unwrap();
    std::fs::write(server.path("key.pem"), made.signing_key.serialize_pem()).unwrap();
    server.start();
    // Behind the handshake, whose flips are met on the way as well.
    let flips = |connection: u64| 200 + 61 * connection;
    let proxy = Proxy::start(server.port, move |connection| {
        let fault = Fault::FlipAfter(flips(connection));
        match connection {
            FLIPS.. => Link::CLEAN,
            _ if connection.is_multiple_of(2) => Link { up: fault, ..Link::CLEAN },
            _ => Link { down: fault, ..Link::CLEAN },
        }
    });
    let url = format!("wss://localhost:{}/v1/ws", proxy.port);
    let client = || client(&url).root_certificates(server.path("cert.pem"));
    let enough = |published| proxy.flips() >= FLIPS && published > 100;
    let report = run(client(), client(), "flips", enough);
    let certificate = server.path("cert.pem").display().to_string();
    let url = format!("wss://localhost:{}/v1/ws", server.port);
    report.check_at(&["--url", &url, "--ca-file", &certificate], "flips");
}
