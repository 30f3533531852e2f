//! A run is a function of its seed: otherwise a seed that fails could not be replayed.

use tidings_sim::{Layer, Tracing, run};

#[test]
fn the_same_seed_gives_the_same_trace() {
    for layer in [Layer::Window, Layer::Group, Layer::World, Layer::Disk] {
        for seed in 0..40 {
            let first = run(layer, seed, None, Tracing::On);
            let second = run(layer, seed, None, Tracing::On);
            assert!(first.trace.lines().len() > 10, "{layer:?} seed {seed} has no trace");
            assert_eq!(first.trace, second.trace, "{layer:?} seed {seed}");
            assert_eq!(first.coverage, second.coverage, "{layer:?} seed {seed}");
        }
    }
}

#[test]
fn another_seed_gives_another_trace() {
    for layer in [Layer::Window, Layer::Group, Layer::World, Layer::Disk] {
        let first = run(layer, 1, None, Tracing::On);
        let second = run(layer, 2, None, Tracing::On);
        assert_ne!(first.trace, second.trace, "{layer:?}");
    }
}
