//! A simulation that notices nothing shows nothing: every promise broken on purpose is caught.

use tidings_sim::{Layer, Mutation, Tracing, Violation, run};

const SEEDS_MAX: u64 = 2_000;

#[test]
fn every_broken_promise_of_the_window_layer_is_caught() {
    catch_all(Layer::Window);
}

#[test]
fn every_broken_promise_of_the_group_layer_is_caught() {
    catch_all(Layer::Group);
}

#[test]
fn every_broken_promise_of_the_world_layer_is_caught() {
    catch_all(Layer::World);
}

#[test]
fn every_broken_promise_of_the_disk_layer_is_caught() {
    catch_all(Layer::Disk);
}

fn catch_all(layer: Layer) {
    let mut survivors = Vec::new();
    for mutation in Mutation::ALL.iter().copied().filter(|mutation| mutation.layer() == layer) {
        match (0..SEEDS_MAX).find_map(|seed| Some((seed, caught(mutation, seed)?))) {
            Some((seed, violation)) => println!("{mutation:?}: caught at seed {seed}: {violation}"),
            None => survivors.push(mutation),
        }
    }
    assert!(survivors.is_empty(), "not caught in {SEEDS_MAX} seeds: {survivors:?}");
}

/// What the mutation breaks with this seed. Without it, nothing is broken.
fn caught(mutation: Mutation, seed: u64) -> Option<Violation> {
    let layer = mutation.layer();
    let violation = run(layer, seed, Some(mutation), Tracing::Off).verdict.err()?;
    let sound = run(layer, seed, None, Tracing::Off).verdict;
    assert_eq!(sound, Ok(()), "seed {seed} fails without {mutation:?} too");
    Some(violation)
}
