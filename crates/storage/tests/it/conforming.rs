//! Both engines keep every promise.

use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tidings_storage::conformance::{Engine, Lasting, Setup, run};
use tidings_storage::{EmbeddedConfig, EmbeddedStore, MemoryConfig, MemoryStore, Store};

struct Memory;

impl Engine for Memory {
    fn open(&mut self, setup: Setup) -> Arc<dyn Store> {
        let config = MemoryConfig {
            dedup_window: setup.dedup_window,
            dedup_keys_max: setup.dedup_keys_max,
            cursor_expiry: setup.cursor_expiry,
            queue_bytes_max: setup.queue_bytes_max,
            ..MemoryConfig::default()
        };
        Arc::new(MemoryStore::new(&config, setup.policies, setup.observer, setup.clock))
    }

    fn lasting(&self) -> Lasting {
        Lasting::No
    }
}

struct Embedded(TempDir);

impl Engine for Embedded {
    fn open(&mut self, setup: Setup) -> Arc<dyn Store> {
        let config = EmbeddedConfig {
            dedup_window: setup.dedup_window,
            dedup_keys_max: setup.dedup_keys_max,
            cursor_expiry: setup.cursor_expiry,
            queue_bytes_max: setup.queue_bytes_max,
            segment_bytes: 4 * 1024 * 1024,
            upkeep_interval: Duration::from_millis(5),
            ..EmbeddedConfig::new(self.0.path())
        };
        let opened =
            EmbeddedStore::open_with_clock(&config, setup.policies, setup.observer, setup.clock);
        let (store, recovered) = opened.expect("the directory is sound");
        assert_eq!(recovered.damage, []);
        assert_eq!(recovered.cut_bytes, 0);
        assert!(!recovered.unclean);
        Arc::new(store)
    }

    fn lasting(&self) -> Lasting {
        Lasting::Yes
    }
}

#[test]
fn memory_keeps_every_promise() {
    run(&|| Box::new(Memory));
}

#[test]
fn embedded_keeps_every_promise() {
    run(&|| Box::new(Embedded(tempfile::tempdir().expect("a temporary directory"))));
}
