//! A subscriber that does not read: it lags in the log, not in memory, and holds up nobody.

use std::time::Duration;

use serde_json::json;
use tidings_core::Durability;
use tidings_server::{Config, TopicSection};

use crate::peer::{Peer, config, http, metric, start};

const MESSAGES: usize = 3_000;
const BYTES: usize = 4_000;

#[tokio::test]
async fn a_slow_reader_falls_back_to_the_log_and_gets_everything() {
    let server = start(config()).await;
    let address = server.public_addr();
    let mut slow = Peer::connect(address).await;
    slow.ask(json!({"subscribe": {"topic": "flood"}})).await;
    let mut slow_filter = Peer::connect(address).await;
    slow_filter.ask(json!({"subscribe": {"filter": "flood/#"}})).await;
    let mut fast = Peer::connect(address).await;
    fast.ask(json!({"subscribe": {"topic": "flood"}})).await;
    let reading = tokio::spawn(async move { fast.data(MESSAGES).await.len() });
    let mut publisher = Peer::connect(address).await;
    let filler = "x".repeat(BYTES);
    for n in 0..MESSAGES {
        publisher.publish("flood", json!([n, filler])).await;
    }
    assert_eq!(reading.await.unwrap(), MESSAGES, "others are not held up");
    for mut late in [slow, slow_filter] {
        for n in 0..MESSAGES {
            assert_eq!(late.message().await["data"][0], n);
        }
        late.publish("flood", json!(["end"])).await;
        assert_eq!(late.message().await["data"][0], "end", "back at the tail");
        // The other one gets this too; it is read by its own turn of the loop.
        if late.publish("other", json!(0)).await.is_null() {
            unreachable!("publish checks its reply");
        }
    }
    assert!(metric(&server, "tidings_catch_up_deliveries_total").await > 0.0);
    assert_eq!(metric(&server, "tidings_dropped_slow_total").await, 0.0);
    server.shutdown().await;
}

#[tokio::test]
async fn the_kernel_is_not_filled_for_a_reader_that_does_not_read() {
    let server = start(config()).await;
    let mut slow = Peer::connect(server.public_addr()).await;
    slow.ask(json!({"subscribe": {"topic": "flood"}})).await;
    let mut publisher = Peer::connect(server.public_addr()).await;
    let filler = "x".repeat(BYTES);
    for n in 0..MESSAGES {
        publisher.publish("flood", json!([n, filler])).await;
    }
    // What the reader's kernel takes, the bound of 256 KiB, and the publisher's replies. Of the
    // 12 MB that wait, the kernel would take 4 MiB and more.
    let sent = metric(&server, "tidings_sent_bytes_total").await;
    assert!(sent < 2.0 * 1024.0 * 1024.0, "{sent} bytes were given to the kernel");
    assert_eq!(slow.message().await["data"][0], 0);
    server.shutdown().await;
}

/// The topics below `live` are kept in no log.
fn config_without_a_log() -> Config {
    let mut config = config();
    config.topic = vec![TopicSection {
        durability: Durability::Memory,
        ..TopicSection::new("live/#".parse().unwrap())
    }];
    config
}

#[tokio::test]
async fn what_is_kept_in_no_log_is_dropped_for_a_slow_reader_and_counted() {
    let server = start(config_without_a_log()).await;
    let mut slow = Peer::connect(server.public_addr()).await;
    slow.ask(json!({"subscribe": {"topic": "live/1"}})).await;
    let mut publisher = Peer::connect(server.public_addr()).await;
    let filler = "x".repeat(BYTES);
    for n in 0..MESSAGES {
        publisher.publish("live/1", json!([n, filler])).await;
    }
    let dropped = metric(&server, "tidings_dropped_slow_total").await as usize;
    assert!(dropped > 0, "nothing was dropped: raise MESSAGES");
    let kept = slow.data(MESSAGES - dropped).await;
    let numbers: Vec<_> = kept.iter().map(|data| data[0].as_u64().unwrap()).collect();
    assert!(numbers.is_sorted(), "in order, with a gap");
    publisher.publish("live/1", json!(["end"])).await;
    let end = tokio::time::timeout(Duration::from_secs(10), slow.message()).await.unwrap();
    assert_eq!(end["data"][0], "end");
    server.shutdown().await;
}

/// Floods a topic that bounds its backlog while one subscriber by name and one by filter do not
/// read, and returns what each then gets: numbers and resets, up to the end.
async fn slow_in_a_bounded_backlog(durability: Durability, most: u32) -> [(Vec<u64>, u64); 2] {
    let mut config = config();
    let section = TopicSection {
        durability,
        backlog_max: Some(most),
        ..TopicSection::new("ticker/#".parse().unwrap())
    };
    config.topic = vec![section];
    let server = start(config).await;
    let mut exact = Peer::connect(server.public_addr()).await;
    exact.ask(json!({"subscribe": {"topic": "ticker/1"}})).await;
    let mut filter = Peer::connect(server.public_addr()).await;
    filter.ask(json!({"subscribe": {"filter": "ticker/+"}})).await;
    let mut publisher = Peer::connect(server.public_addr()).await;
    let filler = "x".repeat(BYTES);
    for n in 0..MESSAGES {
        publisher.publish("ticker/1", json!([n, filler])).await;
    }
    let mut got = Vec::new();
    for slow in [&mut exact, &mut filter] {
        let (mut numbers, mut resets) = (Vec::new(), 0);
        while numbers.last() != Some(&(MESSAGES as u64 - 1)) {
            let frame = slow.frame().await;
            if frame["message"].is_object() {
                numbers.push(frame["message"]["data"][0].as_u64().unwrap());
            } else {
                assert_eq!(frame["reset"]["reason"], "skipped", "{frame}");
                // Offsets start at 1, the numbers in the data at 0.
                let goes_on = frame["reset"]["first"].as_u64().unwrap() - 1;
                assert!(numbers.last().is_none_or(|last| *last + 1 < goes_on), "{goes_on}");
                resets += 1;
            }
        }
        got.push((numbers, resets));
    }
    assert!(metric(&server, "tidings_skipped_slow_total").await > 0.0);
    assert_eq!(metric(&server, "tidings_dropped_slow_total").await, 0.0);
    for mut late in [exact, filter] {
        publisher.publish("ticker/1", json!(["end"])).await;
        assert_eq!(late.message().await["data"][0], "end", "back at the tail");
    }
    server.shutdown().await;
    got.try_into().unwrap()
}

#[tokio::test]
async fn a_topic_of_latest_values_spares_a_slow_reader_all_others() {
    for durability in [Durability::Sync, Durability::Memory] {
        for (numbers, resets) in slow_in_a_bounded_backlog(durability, 1).await {
            assert!(numbers.is_sorted() && numbers.len() < MESSAGES / 2, "{}", numbers.len());
            assert!(resets >= 1, "it is told that it missed some");
        }
    }
}

#[tokio::test]
async fn a_bounded_backlog_keeps_the_newest_in_order() {
    for durability in [Durability::Async, Durability::Memory] {
        for (numbers, _) in slow_in_a_bounded_backlog(durability, 100).await {
            assert!(numbers.is_sorted());
            let newest: Vec<_> = (MESSAGES as u64 - 100..MESSAGES as u64).collect();
            assert!(numbers.ends_with(&newest), "{:?}", &numbers[numbers.len() - 5..]);
        }
    }
}

#[tokio::test]
async fn what_was_asked_for_is_no_backlog() {
    let mut config = config();
    let section =
        TopicSection { backlog_max: Some(1), ..TopicSection::new("ticker/#".parse().unwrap()) };
    config.topic = vec![section];
    let server = start(config).await;
    let mut peer = Peer::connect(server.public_addr()).await;
    for n in 0..500 {
        peer.publish("ticker/1", json!(n)).await;
    }
    peer.ask(json!({"subscribe": {"topic": "ticker/1", "from": "first"}})).await;
    let all: Vec<_> = (0..500).map(|n| json!(n)).collect();
    assert_eq!(peer.data(500).await, all);
    server.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_without_a_log_goes_on_after_a_shard_fell_behind() {
    let mut config = config_without_a_log();
    config.server.shards = 1;
    let server = start(config).await;
    let address = server.public_addr();
    // Many subscribers, so that the shard is slower than the publishers.
    let mut readers = Vec::new();
    for _ in 0..100 {
        let mut reader = Peer::connect(address).await;
        reader.ask(json!({"subscribe": {"topic": "live/1"}})).await;
        readers.push(reader);
    }
    let body = json!({"messages": vec![json!({"topic": "live/1", "data": 1}); 1000]}).to_string();
    let mut publishing = Vec::new();
    for _ in 0..60 {
        let body = body.clone();
        publishing.push(tokio::spawn(async move {
            let headers = [("content-type", "application/json")];
            http(address, "POST", "/v1/publish/batch", &headers, &body).await.0
        }));
    }
    for published in publishing {
        assert_eq!(published.await.unwrap(), 200);
    }
    assert!(metric(&server, "tidings_inbox_overflows_total").await > 0.0, "it kept up");
    let mut publisher = Peer::connect(address).await;
    // As long as the reader has no room it misses what has no log; with room it goes on.
    let goes_on = async { while readers[0].message().await["data"] != "end" {} };
    let publishing = async {
        loop {
            publisher.publish("live/1", json!("end")).await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::select! {
        () = goes_on => {}
        () = publishing => {}
    }
    server.shutdown().await;
}

#[tokio::test]
async fn a_burst_does_not_make_a_filter_that_reads_slow() {
    let server = start(config_without_a_log()).await;
    let mut reader = Peer::connect(server.public_addr()).await;
    reader.ask(json!({"subscribe": {"filter": "live/+"}})).await;
    // More than may wait for one connection, less than its socket takes too.
    let data = "x".repeat(BYTES);
    let messages = vec![json!({"topic": "live/1", "data": data}); 90];
    let body = json!({ "messages": messages }).to_string();
    let headers = [("content-type", "application/json")];
    let (status, _, answer) =
        http(server.public_addr(), "POST", "/v1/publish/batch", &headers, &body).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(reader.data(90).await.len(), 90);
    assert_eq!(metric(&server, "tidings_dropped_slow_total").await, 0.0);
    server.shutdown().await;
}

/// Publishes messages with these numbers to a topic of [`latest_values`].
async fn flood_latest_values(peer: &mut Peer, numbers: std::ops::Range<usize>) {
    let filler = "x".repeat(BYTES);
    for n in numbers {
        peer.publish("ticker/1", json!([n, filler])).await;
    }
}

/// Slow readers are spared all but the latest value.
fn latest_values() -> Config {
    let mut config = config();
    let topic = "ticker/#".parse().unwrap();
    config.topic = vec![TopicSection { backlog_max: Some(1), ..TopicSection::new(topic) }];
    config
}

#[tokio::test]
async fn what_comes_after_what_was_asked_for_is_a_backlog() {
    let server = start(latest_values()).await;
    let mut publisher = Peer::connect(server.public_addr()).await;
    flood_latest_values(&mut publisher, 0..MESSAGES).await;
    let mut slow = Peer::connect(server.public_addr()).await;
    slow.ask(json!({"subscribe": {"topic": "ticker/1", "from": "first"}})).await;
    flood_latest_values(&mut publisher, MESSAGES..2 * MESSAGES).await;
    for n in 0..MESSAGES {
        assert_eq!(slow.message().await["data"][0], n, "it was asked for");
    }
    let mut more = 0;
    let reset = loop {
        let frame = slow.frame().await;
        if frame["reset"].is_object() {
            break frame;
        }
        more += 1;
        assert!(more < MESSAGES, "nothing was left out");
    };
    assert_eq!(reset["reset"]["reason"], "skipped");
    assert_eq!(slow.message().await["data"][0], 2 * MESSAGES - 1);
    server.shutdown().await;
}

#[tokio::test]
async fn one_that_has_no_room_for_its_first_message_has_a_backlog() {
    let server = start(latest_values()).await;
    let mut slow = Peer::connect(server.public_addr()).await;
    slow.ask(json!({"subscribe": {"topic": "ticker/1"}})).await;
    slow.ask(json!({"subscribe": {"topic": "flood"}})).await;
    let mut publisher = Peer::connect(server.public_addr()).await;
    let filler = "x".repeat(BYTES);
    for n in 0..MESSAGES {
        publisher.publish("flood", json!([n, filler])).await;
    }
    flood_latest_values(&mut publisher, 0..100).await;
    let mut of_ticker = Vec::new();
    while of_ticker.last() != Some(&99) {
        let frame = slow.frame().await;
        if frame["message"]["topic"] == "ticker/1" {
            of_ticker.push(frame["message"]["data"][0].as_u64().unwrap());
        }
    }
    // One or another may have found room while the kernel took more.
    assert!(of_ticker.len() < 50 && of_ticker.is_sorted(), "{of_ticker:?}");
    server.shutdown().await;
}
