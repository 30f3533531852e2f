//! The inbox of a user: subscribed by the server, per device, drained with flow control.

use serde_json::{Value, json};
use tidings_server::Config;

use crate::auth::{closed, connect_with, now, token};
use crate::peer::{Peer, config, metric, start};

fn with_inboxes() -> Config {
    let mut config = config();
    config.inbox.subscribe_on_connect = true;
    config
}

/// A connection of the device `client` and the `subscribed` frame that follows.
async fn device(server: &tidings_server::RunningServer, client: &str) -> (Peer, Value) {
    let mut peer = Peer::open(server.public_addr()).await;
    let reply = peer.ask(json!({"connect": {"client": client}})).await;
    assert!(reply["connected"].is_object(), "{reply}");
    let subscribed = peer.frame().await;
    (peer, subscribed)
}

#[tokio::test]
async fn each_device_gets_everything_once_without_asking() {
    let server = start(with_inboxes()).await;
    let mut service = Peer::connect(server.public_addr()).await;
    service.publish("user/dev", json!(1)).await;
    let (mut phone, subscribed) = device(&server, "phone").await;
    assert!(subscribed.get("id").is_none(), "{subscribed}");
    let place = &subscribed["subscribed"];
    assert_eq!((&place["sub"], &place["durable"]), (&json!("user/dev"), &json!("phone")));
    assert_eq!(place["pending"], 1);
    assert_eq!(phone.message().await["data"], 1);
    phone.ask(json!({"ack": {"sub": "user/dev", "offset": 1}})).await;
    drop(phone);
    service.publish("user/dev", json!(2)).await;
    let (mut laptop, _) = device(&server, "laptop").await;
    assert_eq!(laptop.data(2).await, [1, 2], "another device, another cursor");
    let (mut phone, _) = device(&server, "phone").await;
    assert_eq!(phone.message().await["data"], 2);
    phone.assert_quiet().await;
    server.shutdown().await;
}

#[tokio::test]
async fn a_full_inbox_drains_no_faster_than_it_is_acked() {
    let server = start(with_inboxes()).await;
    let mut service = Peer::connect(server.public_addr()).await;
    for n in 1..=2_000 {
        service.send(json!({"id": n, "publish": {"topic": "user/dev", "data": n}})).await;
        if n % 500 == 0 {
            for _ in 0..500 {
                assert!(service.frame().await["published"].is_object());
            }
        }
    }
    let (mut phone, subscribed) = device(&server, "phone").await;
    assert_eq!(subscribed["subscribed"]["pending"], 2_000);
    let window = 64;
    let mut next = 1;
    while next <= 2_000 {
        let last = (next + window - 1).min(2_000);
        let expected: Vec<Value> = (next..=last).map(|n| json!(n)).collect();
        assert_eq!(phone.data(expected.len()).await, expected);
        phone.assert_quiet().await;
        phone.send(json!({"ack": {"sub": "user/dev", "offset": last}})).await;
        next = last + 1;
    }
    phone.assert_quiet().await;
    server.shutdown().await;
}

#[tokio::test]
async fn what_a_client_asks_for_itself_takes_the_place_of_the_policy() {
    let server = start(with_inboxes()).await;
    let mut service = Peer::connect(server.public_addr()).await;
    for n in 0..3 {
        service.publish("user/dev", json!(n)).await;
    }
    let mut phone = Peer::open(server.public_addr()).await;
    // In one go, as a client does that knows nothing of the policy.
    phone.send(json!({"id": 1, "connect": {"client": "phone"}})).await;
    let subscribe = json!({"topic": "user/dev", "durable": "mine", "window": 2});
    phone.send(json!({"id": 2, "subscribe": subscribe})).await;
    let mut replies = Vec::new();
    let mut data = Vec::new();
    while data.len() < 2 || replies.len() < 2 {
        let frame = phone.frame().await;
        match frame["message"]["data"].clone() {
            Value::Null if frame["id"].is_number() => replies.push(frame),
            Value::Null => assert_eq!(frame["subscribed"]["durable"], "phone", "{frame}"),
            number if replies.len() == 2 => data.push(number),
            _ => {}
        }
    }
    assert!(replies.iter().all(|r| r.get("error").is_none()), "{replies:?}");
    assert_eq!(data, [0, 1], "by its own cursor, in its own window");
    phone.assert_quiet().await;
    assert_eq!(
        phone.ask(json!({"unsubscribe": {"sub": "user/dev"}})).await["unsubscribed"]["sub"],
        "user/dev"
    );
    server.shutdown().await;
}

#[tokio::test]
async fn who_may_not_or_has_no_name_goes_without() {
    let mut config = closed();
    config.inbox.subscribe_on_connect = true;
    let server = start(config).await;
    let rooms = json!([{"match": "room/#", "ops": ["sub"]}]);
    let barred = token(json!({"sub": "alice", "exp": now() + 600, "caps": rooms}));
    let mut peer = Peer::open(server.public_addr()).await;
    peer.ask(json!({"connect": {"token": barred, "client": "phone"}})).await;
    peer.assert_quiet().await;
    let allowed = token(json!({"sub": "alice", "exp": now() + 600}));
    let (mut nameless, _) = connect_with(&server, &allowed).await;
    nameless.assert_quiet().await;
    let odd = token(json!({"sub": "alice/#", "exp": now() + 600}));
    let mut peer = Peer::open(server.public_addr()).await;
    peer.ask(json!({"connect": {"token": odd, "client": "phone"}})).await;
    peer.assert_quiet().await;
    assert_eq!(metric(&server, "tidings_subscriptions").await, 0.0);
    server.shutdown().await;
}

#[tokio::test]
async fn a_request_that_is_refused_does_not_cost_the_inbox() {
    let mut config = with_inboxes();
    config.limits.cursors_per_user = 1;
    let server = start(config).await;
    let (mut phone, _) = device(&server, "phone").await;
    let subscribe = json!({"topic": "user/dev", "durable": "another"});
    let refused = phone.ask(json!({"subscribe": subscribe})).await;
    assert_eq!(refused["error"]["code"], "limit_reached");
    assert_eq!(phone.frame().await["subscribed"]["durable"], "phone", "the inbox goes on");
    phone.publish("user/dev", json!(1)).await;
    assert_eq!(phone.message().await["data"], 1);
    // A device that there is no cursor for is told, though it did not ask.
    let (_, told) = device(&server, "laptop").await;
    assert_eq!(told["error"]["code"], "limit_reached", "{told}");
    assert!(told.get("id").is_none());
    server.shutdown().await;
}
