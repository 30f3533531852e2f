//! What a list shows first, how fast many are replayed, and that none is lost on its way.

use std::time::{Duration, Instant};

use serde_json::json;
use tidings_core::Priority;
use tidings_server::{RunningServer, Server};

use super::jobs;
use super::operating::{ask, bury, get, listed, post, server, worker};
use crate::peer::{Peer, start};

/// Gives up `count` messages of `jobs/a`.
async fn bury_many(server: &RunningServer, count: usize) -> Peer {
    let mut sender = Peer::connect(server.public_addr()).await;
    let mut failing = worker(server, "jobs/a", "failing").await;
    for n in 0..count {
        sender.publish("jobs/a", json!(n)).await;
        bury(&mut failing, "jobs/a", if n % 2 == 0 { "even" } else { "odd" }).await;
    }
    listed(server, "?limit=500", count).await;
    failing
}

#[tokio::test]
async fn the_newest_come_first_where_that_is_asked_for() {
    let server = server().await;
    bury_many(&server, 9).await;
    for offset in [4, 9] {
        assert_eq!(ask(&server, "DELETE", &format!("/v1/dead-letters/{offset}"), "").await.0, 204);
    }
    assert_eq!(listed(&server, "?order=newest", 7).await, [8, 7, 6, 5, 3, 2, 1]);
    assert_eq!(listed(&server, "?order=oldest", 7).await, [1, 2, 3, 5, 6, 7, 8]);
    assert_eq!(listed(&server, "?order=newest&reason=odd", 3).await, [8, 6, 2]);
    let first = get(&server, "/v1/dead-letters?order=newest&limit=3").await;
    assert_eq!((&first["more"], &first["kept"]), (&json!(true), &json!(7)));
    let cursor = first["cursor"].as_str().unwrap();
    // What dies meanwhile is on no later page.
    let mut sender = Peer::connect(server.public_addr()).await;
    let mut failing = worker(&server, "jobs/b", "failing").await;
    sender.publish("jobs/b", json!("late")).await;
    bury(&mut failing, "jobs/b", "late").await;
    listed(&server, "", 8).await;
    let next = format!("?order=newest&limit=3&cursor={cursor}");
    assert_eq!(listed(&server, &next, 3).await, [5, 3, 2]);
    for (query, told) in [
        (format!("?cursor={cursor}"), "another `order`"),
        ("?order=sideways".to_owned(), "`oldest` or `newest`"),
    ] {
        let (status, problem) = ask(&server, "GET", &format!("/v1/dead-letters{query}"), "").await;
        assert_eq!((status, &problem["code"]), (400, &json!("bad_field")), "{query}");
        assert!(problem["detail"].as_str().unwrap().contains(told), "{problem}");
    }
    let path = "/v1/dead-letters/replay?all=true&order=newest";
    assert_eq!(ask(&server, "POST", path, "").await.0, 400);
    server.shutdown().await;
}

/// Whoever asks for many, and however many ask, subscribers get no more than the rate.
#[tokio::test]
async fn many_are_replayed_at_a_rate_that_all_who_ask_share() {
    let mut config = jobs(1, Duration::from_secs(60));
    config.limits.replays_per_second = 20;
    let server = start(config).await;
    let mut failing = bury_many(&server, 30).await;
    let begun = Instant::now();
    let (odd, even) = tokio::join!(
        post(&server, "/v1/dead-letters/replay?reason=odd", ""),
        post(&server, "/v1/dead-letters/replay?reason=even", "")
    );
    // Two at once, then two every tenth of a second: the last after 1.4 s.
    assert!(begun.elapsed() >= Duration::from_millis(1400), "{:?}", begun.elapsed());
    for answer in [odd, even] {
        assert_eq!((&answer["replayed"], &answer["more"]), (&json!(15), &json!(false)), "{answer}");
    }
    assert_eq!(failing.data(30).await.len(), 30);
    assert_eq!(get(&server, "/v1/dead-letters").await["kept"], 0);
    server.shutdown().await;
}

/// A request ends after some seconds and says where to go on: nothing is left out and nothing twice.
#[tokio::test]
async fn a_slow_replay_answers_now_and_then() {
    let mut config = jobs(1, Duration::from_secs(60));
    config.limits.replays_per_second = 1;
    let server = start(config).await;
    let mut failing = bury_many(&server, 7).await;
    let path = "/v1/dead-letters/replay?all=true";
    let first = post(&server, path, "").await;
    let replayed = first["replayed"].as_u64().unwrap();
    assert!((1..7).contains(&replayed), "{first}");
    assert_eq!((&first["more"], &first["kept"]), (&json!(true), &json!(7 - replayed)));
    let cursor = first["cursor"].as_str().unwrap();
    let second = post(&server, &format!("{path}&cursor={cursor}"), "").await;
    assert_eq!((&second["replayed"], &second["more"]), (&json!(7 - replayed), &json!(false)));
    assert_eq!(failing.data(7).await, (0..7).map(|n| json!(n)).collect::<Vec<_>>());
    server.shutdown().await;
}

/// As with one: to the subscription that gave them up, unless it is said that all shall get them.
#[tokio::test]
async fn many_go_to_whom_the_operator_says() {
    let server = server().await;
    let mut failing = bury_many(&server, 4).await;
    let mut live = Peer::connect(server.public_addr()).await;
    live.ask(json!({"subscribe": {"topic": "jobs/a"}})).await;
    let path = "/v1/dead-letters/replay?reason=odd";
    assert_eq!(post(&server, path, "").await["replayed"], 2);
    assert_eq!(failing.data(2).await, [1, 3]);
    assert_eq!(post(&server, "/v1/dead-letters/replay?all=true&to=all", "").await["replayed"], 2);
    assert_eq!(failing.data(2).await, [0, 2]);
    assert_eq!(live.data(2).await, [0, 2], "and nothing of those for one");
    let (status, problem) = ask(&server, "POST", &format!("{path}&to=some"), "").await;
    assert_eq!((status, &problem["code"]), (400, &json!("bad_field")), "{problem}");
    server.shutdown().await;
}

/// Where the topic has another priority than the dead letters, its publish may wait longer than
/// they do, or find no room: the dead letter goes only after it.
#[tokio::test]
async fn a_dead_letter_of_another_priority_is_removed_only_once_it_is_published() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = jobs(1, Duration::from_secs(60));
    config.topic[0].priority = Priority::Bulk;
    config.storage.directory = directory.path().to_owned();
    config.storage.queue_bytes_max = "1MiB".parse().unwrap();
    config.limits.message_bytes = "512KiB".parse().unwrap();
    let server = Server::start(config).await.unwrap();
    let mut sender = Peer::connect(server.public_addr()).await;
    let mut failing = worker(&server, "jobs/a", "failing").await;
    // Two of them are larger than the part of the queue that bulk may fill.
    let large = "x".repeat(450 * 1024);
    for n in 0..4 {
        sender.publish("jobs/a", json!([n, large])).await;
        bury(&mut failing, "jobs/a", "no").await;
        // Until its dead letter is written there is no room for the next one.
        listed(&server, "", n + 1).await;
    }
    let answer = post(&server, "/v1/dead-letters/replay?all=true", "").await;
    assert_eq!((&answer["replayed"], &answer["failed"]), (&json!(4), &json!(0)), "{answer}");
    for n in 0..4 {
        assert_eq!(failing.message().await["data"][0], n);
    }
    listed(&server, "", 0).await;
    server.shutdown().await;
}

#[tokio::test]
async fn a_replay_whose_body_does_not_come_ends() {
    let mut config = jobs(1, Duration::from_secs(60));
    config.http.request_timeout = Duration::from_secs(1);
    let server = start(config).await;
    bury_many(&server, 1).await;
    let offset = listed(&server, "", 1).await[0];
    let head = format!(
        "POST /v1/dead-letters/{offset}/replay HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: 9\r\n\r\n{{",
        server.operator_addr()
    );
    let answer = tokio::time::timeout(
        Duration::from_secs(20),
        crate::peer::raw(server.operator_addr(), head.as_bytes()),
    );
    let answer = answer.await.expect("an answer");
    assert!(answer.contains("took too long"), "{answer}");
    assert_eq!(listed(&server, "", 1).await, [offset], "it stays");
    server.shutdown().await;
}
