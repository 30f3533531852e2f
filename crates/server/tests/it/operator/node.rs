//! How the server is.

use serde_json::{Value, json};
use tidings_server::{Engine, Server};

use super::read;
use crate::peer::{Peer, config, start};

#[tokio::test]
async fn a_node_tells_where_it_is_and_what_it_has_taken() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config();
    config.storage.directory = directory.path().join("data");
    config.server.connections_max = 7;
    let server = Server::builder(config).engine(Engine::Embedded).start().await.unwrap();
    let mut peer = Peer::connect(server.public_addr()).await;
    peer.publish("a", json!(1)).await;
    let node = read(&server, "/v1/node").await;
    assert_eq!(
        (&node["node"], &node["ready"], &node["draining"]),
        (&json!("n1"), &json!(true), &json!(false))
    );
    assert_eq!(node["version"], env!("CARGO_PKG_VERSION"));
    let (started_at, now) = (node["started_at"].as_u64().unwrap(), node["now"].as_u64().unwrap());
    assert!(now >= started_at && now - started_at < 60_000, "{node}");
    let public = &node["public"];
    assert_eq!(public["address"], server.public_addr().to_string());
    assert_eq!((&public["tls"], &public["websocket_path"]), (&json!(false), &json!("/v1/ws")));
    assert_eq!(node["operator"]["address"], server.operator_addr().to_string());
    assert_eq!((&node["connections"], &node["connections_max"]), (&json!(1), &json!(7)));
    assert_eq!(node["auth_open"], true);
    let store = &node["store"];
    assert_eq!((&store["writable"], &store["refusing"]), (&json!(true), &Value::Null));
    assert_eq!((&store["topics"], &store["messages"]), (&json!(1), &json!(1)));
    assert_eq!(store["directory"], directory.path().join("data").display().to_string());
    for number in ["disk_bytes", "disk_bytes_max", "disk_free_bytes"] {
        assert!(store[number].as_u64().is_some_and(|bytes| bytes > 0), "{number}: {store}");
    }
    let process = &node["process"];
    for number in ["resident_bytes", "threads", "open_files"] {
        assert!(process[number].as_u64().is_some_and(|n| n > 0), "{number}: {process}");
    }
    assert!(process["cpu_ms"].is_u64());
    server.shutdown().await;
}

#[tokio::test]
async fn a_server_in_memory_has_no_disk() {
    let server = start(config()).await;
    let store = read(&server, "/v1/node").await["store"].take();
    for none in ["directory", "disk_bytes_max", "disk_free_bytes"] {
        assert_eq!(store[none], Value::Null, "{none}");
    }
    assert_eq!(store["writable"], true);
    server.shutdown().await;
}
