//! What the metrics tell of publishes and of the process.

use serde_json::json;
use tidings_server::RunningServer;

use super::{read, tell};
use crate::peer::{Peer, config, metric, start};

async fn count(server: &RunningServer) -> f64 {
    metric(server, "tidings_publish_seconds_count").await
}

#[tokio::test]
async fn a_submission_of_publishes_is_timed_once_through_whichever_door() {
    let server = start(config()).await;
    assert_eq!(count(&server).await, 0.0);
    let one = json!({"topic": "a", "data": 1});
    tell(&server, "POST", "/v1/publish", &one.to_string()).await;
    assert_eq!(count(&server).await, 1.0);
    let batch = json!({"messages": vec![one; 100]}).to_string();
    tell(&server, "POST", "/v1/publish/batch", &batch).await;
    assert_eq!(count(&server).await, 2.0);
    // What never reaches the store takes no time there.
    let reserved = json!({"messages": [{"topic": "$a", "data": 1}]}).to_string();
    tell(&server, "POST", "/v1/publish/batch", &reserved).await;
    assert_eq!(count(&server).await, 2.0);

    let mut peer = Peer::connect(server.public_addr()).await;
    for n in 1..=3 {
        peer.publish("a", json!(n)).await;
        assert_eq!(count(&server).await, 2.0 + f64::from(n));
    }
    // Neither do subscriptions and their cursors.
    peer.ask(json!({"subscribe": {"topic": "c", "durable": "d"}})).await;
    assert_eq!(count(&server).await, 5.0);
    // Frames of one WebSocket message are submitted together.
    let frame = |n| json!({"id": n, "publish": {"topic": "b", "data": n}}).to_string();
    peer.send_text(&(100..150).map(frame).collect::<Vec<_>>().join("\n")).await;
    for _ in 0..50 {
        let frame = peer.frame().await;
        assert!(frame["published"].is_object(), "{frame}");
    }
    assert_eq!(count(&server).await, 6.0);
    let (sum, largest) = (
        metric(&server, "tidings_publish_seconds_sum").await,
        metric(&server, "tidings_publish_seconds_bucket{le=\"+Inf\"}").await,
    );
    assert!(sum > 0.0 && sum < 60.0, "{sum}");
    assert_eq!(largest, 6.0);
    server.shutdown().await;
}

#[tokio::test]
async fn the_process_is_told_as_by_the_node() {
    let server = start(config()).await;
    for (name, least) in [
        ("resident_memory_bytes", 1_000_000.0),
        ("threads", 2.0),
        ("open_fds", 5.0),
        ("max_fds", 5.0),
        ("start_time_seconds", 1_700_000_000.0),
    ] {
        let value = metric(&server, &format!("tidings_process_{name}")).await;
        assert!(value >= least, "{name} is {value}");
    }
    let before = metric(&server, "tidings_process_cpu_seconds_total").await;
    let cpu_ms = read(&server, "/v1/node").await["process"]["cpu_ms"].as_f64().unwrap();
    let after = metric(&server, "tidings_process_cpu_seconds_total").await;
    assert!(before > 0.0 && before * 1000.0 <= cpu_ms + 1.0 && cpu_ms <= after * 1000.0 + 1.0);
    server.shutdown().await;
}
