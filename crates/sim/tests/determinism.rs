//! A run is a function of its seed: otherwise a seed that fails could not be replayed.

use tidings_sim::{Layer, Tracing, run};

#[test]
fn the_same_seed_gives_the_same_trace() {
    for layer in Layer::ALL {
        for seed in 0..10 {
            let first = run(layer, seed, None, Tracing::On);
            let second = run(layer, seed, None, Tracing::On);
            assert!(first.trace.lines().len() > 10, "{layer:?} seed {seed} has no trace");
            assert_eq!(first.trace, second.trace, "{layer:?} seed {seed}");
            assert_eq!(first.coverage, second.coverage, "{layer:?} seed {seed}");
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_hash_on_any_thread() {
    const SEEDS: std::ops::Range<u64> = 0..200;
    let hashes = |layer| {
        let hash = |seed| run(layer, seed, None, Tracing::Hashed).trace.hash();
        SEEDS.map(hash).collect::<Vec<_>>()
    };
    for layer in Layer::ALL {
        let here = hashes(layer);
        let elsewhere = std::thread::spawn(move || hashes(layer)).join().unwrap();
        assert_eq!(here, elsewhere, "{layer:?}");
        let mut different: Vec<_> = here.iter().map(|hash| hash.unwrap().to_string()).collect();
        different.sort();
        different.dedup();
        assert_eq!(different.len(), here.len(), "{layer:?}: seeds that share a hash");
    }
}

#[test]
fn writing_lines_down_changes_nothing() {
    for layer in Layer::ALL {
        for seed in 0..10 {
            let kept = run(layer, seed, None, Tracing::On);
            let hashed = run(layer, seed, None, Tracing::Hashed);
            let silent = run(layer, seed, None, Tracing::Off);
            assert_eq!(kept.trace.hash(), hashed.trace.hash(), "{layer:?} seed {seed}");
            assert_eq!(kept.coverage, silent.coverage, "{layer:?} seed {seed}");
        }
    }
}
