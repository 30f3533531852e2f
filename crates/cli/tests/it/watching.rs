//! Who is on a topic, seen by a program and on the command line.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::time::Duration;

use tidings_client::{Client, ClientId, Event, SubscribeRequest, Subscription, Topic};

use crate::program::{PATIENCE, Server};

const ROOM: &str = "room/42";

fn client(server: &Server, name: &str) -> Client {
    Client::builder(&server.url())
        .client_id(ClientId::parse(name).unwrap())
        .backoff(Duration::from_millis(20), Duration::from_millis(200))
        .build()
        .unwrap()
}

/// Takes events until those on the list are `wanted`: what an application does that shows them.
async fn watch_until(
    client: &Client,
    watching: &mut Subscription,
    there: &mut BTreeSet<String>,
    wanted: &[&str],
) {
    let wanted: BTreeSet<String> = wanted.iter().map(|name| (*name).to_owned()).collect();
    while *there != wanted {
        let event = tokio::time::timeout(PATIENCE, watching.next()).await;
        let event = event.unwrap_or_else(|_| panic!("{there:?} never becomes {wanted:?}"));
        match event.expect("the subscription goes on") {
            Event::Presence(change) if change.reset => {
                let present = client.presence(&Topic::parse(ROOM).unwrap()).await.unwrap();
                *there = present.members.iter().map(|m| m.client.to_string()).collect();
            }
            Event::Presence(change) => {
                there.extend(change.joined.iter().map(|m| m.client.to_string()));
                for member in change.left {
                    there.remove(member.client.as_str());
                }
            }
            Event::Subscribed { .. } => {}
            other => panic!("nobody says anything: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_list_kept_from_events_is_right_also_after_the_server_was_killed() {
    let mut server = Server::dev();
    let watcher = client(&server, "watcher");
    let request = SubscribeRequest::live(ROOM).unwrap().presence().unwrap();
    let mut watching = watcher.subscribe(request).await.unwrap();
    let mut there = BTreeSet::new();
    watch_until(&watcher, &mut watching, &mut there, &["watcher"]).await;
    let phone = client(&server, "phone");
    let durable = SubscribeRequest::durable(ROOM, "phone").unwrap();
    let _phone = phone.subscribe(durable).await.unwrap();
    watch_until(&watcher, &mut watching, &mut there, &["phone", "watcher"]).await;
    server.kill();
    // One that comes while nobody can be told.
    let web = client(&server, "web");
    server.start();
    let web_subscription = web.subscribe(SubscribeRequest::live(ROOM).unwrap()).await.unwrap();
    watch_until(&watcher, &mut watching, &mut there, &["phone", "watcher", "web"]).await;
    drop(web_subscription);
    watch_until(&watcher, &mut watching, &mut there, &["phone", "watcher"]).await;
    phone.close().await.unwrap();
    watch_until(&watcher, &mut watching, &mut there, &["watcher"]).await;
}

#[test]
fn the_command_line_tells_who_is_there_and_counts_messages_only() {
    let server = Server::dev();
    let watch = ["sub", ROOM, "--presence", "--json", "--count", "1"];
    let mut watching = server.spawn("watching", &watch);
    let mut lines = BufReader::new(watching.stdout()).lines();
    let mut next =
        || -> serde_json::Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    let list = next();
    assert_eq!((&list["topic"], &list["total"]), (&ROOM.into(), &1.into()), "{list}");
    assert_eq!(list["present"].as_array().unwrap().len(), 1, "{list}");
    let own_name = list["present"][0]["client"].clone();
    let guest = server.spawn("guest", &["sub", ROOM]);
    // An event may tell what the list has already.
    let name = std::iter::repeat_with(&mut next).find_map(|change| {
        let joined = change["joined"].as_array().unwrap().iter();
        let mut names = joined.map(|member| member["client"].clone());
        names.find(|name| *name != own_name)
    });
    let name = name.unwrap();
    assert!(guest.stop().success());
    let left = next();
    assert_eq!(left["left"][0]["client"], name, "{left}");
    server.client(&["pub", ROOM, "hello"]);
    assert_eq!(next()["data"], "hello");
    assert!(watching.wait().success());
}
