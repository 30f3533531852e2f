//! The inbox that the server starts by itself, taken with the SDK.

use std::time::Duration;

use tidings_client::{
    AckMode, Client, ClientId, Delivery, Event, PublishRequest, SubscribeRequest, Subscription,
};

use crate::program::{Server, succeed};

const CONFIGURATION: &str = "\
[inbox]
subscribe_on_connect = true

[[auth.keys]]
algorithm = \"HS256\"
secret = \"0123456789abcdef0123456789abcdef\"
";

/// A server with inboxes, and bob's token.
fn server() -> (Server, String) {
    let mut server = Server::serve(CONFIGURATION);
    server.start();
    let configuration = server.path("tidings.toml").display().to_string();
    let token =
        ["token", "-c", &configuration, "--user", "bob", "--cap", "#:pub,sub", "--ttl", "1h"];
    let token = succeed(&token).trim_end().to_owned();
    (server, token)
}

fn client(server: &Server, token: &str, name: Option<&str>) -> Client {
    let builder = Client::builder(&server.url())
        .token(token)
        .backoff(Duration::from_millis(20), Duration::from_millis(200));
    let builder = match name {
        Some(name) => builder.client_id(ClientId::parse(name).unwrap()),
        None => builder,
    };
    builder.build().unwrap()
}

async fn publish(client: &Client, text: &str) {
    client.publish(PublishRequest::text("user/bob", text).unwrap()).await.unwrap();
}

async fn next(inbox: &mut Subscription) -> Delivery {
    loop {
        let event = tokio::time::timeout(crate::program::PATIENCE, inbox.next()).await;
        match event.expect("an event in time").expect("the inbox goes on") {
            Event::Message(delivery) => return delivery,
            Event::Subscribed { .. } => {}
            other => panic!("a message, not {other:?}"),
        }
    }
}

#[tokio::test]
async fn an_inbox_goes_on_where_it_was_after_the_server_was_killed() {
    let (mut server, token) = server();
    let shop = client(&server, &token, None);
    publish(&shop, "1").await;
    let phone = client(&server, &token, Some("phone"));
    let mut inbox = phone.inbox(AckMode::Manual).await.unwrap();
    assert_eq!(inbox.filter().as_str(), "user/bob");
    let first = next(&mut inbox).await;
    assert_eq!((first.json::<String>().unwrap().as_str(), first.attempt()), ("1", 1));
    publish(&shop, "2").await;
    next(&mut inbox).await.ack();
    server.kill();
    server.start();
    publish(&shop, "3").await;
    let third = next(&mut inbox).await;
    assert_eq!(third.json::<String>().unwrap(), "3", "1 is in hand, and 2 is acked");
    first.ack();
    third.ack();
    phone.close().await.unwrap();
    // Another connection of the same device finds nothing left.
    publish(&shop, "4").await;
    let phone = client(&server, &token, Some("phone"));
    let mut inbox = phone.inbox(AckMode::Auto).await.unwrap();
    assert_eq!(next(&mut inbox).await.json::<String>().unwrap(), "4");
}

#[tokio::test]
async fn connections_that_do_not_want_the_inbox_leave_it_where_it_is() {
    let (server, token) = server();
    let shop = client(&server, &token, None);
    publish(&shop, "1").await;
    for _ in 0..3 {
        let phone = client(&server, &token, Some("phone"));
        // Whatever is answered: the server has started the inbox before it.
        publish(&phone, "other").await;
        phone.close().await.unwrap();
    }
    let phone = client(&server, &token, Some("phone"));
    let mut inbox = phone.inbox(AckMode::Auto).await.unwrap();
    for expected in ["1", "other", "other", "other"] {
        assert_eq!(next(&mut inbox).await.json::<String>().unwrap(), expected);
    }
}

#[tokio::test]
async fn a_durable_subscription_of_the_same_name_takes_its_place() {
    let (server, token) = server();
    let shop = client(&server, &token, None);
    for text in ["1", "2"] {
        publish(&shop, text).await;
    }
    let request = SubscribeRequest::durable("user/bob", "phone").unwrap();
    for text in ["1", "2"] {
        let phone = client(&server, &token, Some("phone"));
        let request = request.clone().ack(AckMode::Manual).window(1);
        let mut inbox = phone.subscribe(request).await.unwrap();
        let delivery = next(&mut inbox).await;
        assert_eq!(delivery.json::<String>().unwrap(), text);
        delivery.ack();
        phone.close().await.unwrap();
    }
}
