//! A connection that is cut after each byte of a session, in either direction, by FIN and by RST.

use super::proxy::{Cut, Fault, Link, Proxy};
use super::traffic::{PATIENT, client, run};
use crate::program::Server;

/// Of a client that publishes and reads: the upgrade, `connect`, the subscription, and many
/// messages with their replies.
const LIVE_POSITIONS: u64 = 4000;

/// Of a client that reads durably: the upgrade, `connect`, the subscription, and the first
/// messages with their acks. What follows repeats itself.
const DURABLE_POSITIONS: u64 = 1500;

/// A connection that lasts so long gets something done.
const WORKING_BYTES: u64 = 5_000;

#[derive(Clone, Copy, Debug)]
enum Direction {
    Up,
    Down,
}

#[test]
fn what_a_client_sends_may_be_cut_after_any_byte() {
    check(Direction::Up);
}

#[test]
fn what_a_client_receives_may_be_cut_after_any_byte() {
    check(Direction::Down);
}

fn check(direction: Direction) {
    let mut server = Server::serve(PATIENT);
    server.start();
    let live = Proxy::start(server.port, move |connection| match connection {
        LIVE_POSITIONS.. => Link::CLEAN,
        _ => cut(direction, connection + 1),
    });
    // Every other connection lasts: each one is an attempt of the message that waits, and there
    // are more positions than the most attempts a policy may have.
    let durable = Proxy::start(server.port, move |connection| match connection / 2 {
        DURABLE_POSITIONS.. => Link::CLEAN,
        position if connection.is_multiple_of(2) => cut(direction, position + 1),
        _ => cut(Direction::Down, WORKING_BYTES),
    });
    let done =
        || live.connections() > LIVE_POSITIONS && durable.connections() > 2 * DURABLE_POSITIONS;
    let clients = (client(&live.url()), client(&durable.url()));
    let report = run(clients.0, clients.1, "cuts", |published| done() && published > 100);
    assert_eq!((live.cuts(), durable.cuts()), (LIVE_POSITIONS, 2 * DURABLE_POSITIONS));
    println!("{direction:?}: {} acknowledged", report.acknowledged.len());
    report.check(&server, "cuts");
}

/// Cut after so many bytes, by turns in an orderly way and with a reset.
fn cut(direction: Direction, bytes: u64) -> Link {
    let how = if bytes.is_multiple_of(2) { Cut::Reset } else { Cut::Fin };
    let fault = Fault::CutAfter(bytes, how);
    match direction {
        Direction::Up => Link { up: fault, ..Link::CLEAN },
        Direction::Down => Link { down: fault, ..Link::CLEAN },
    }
}
