//! The whole way of a message keeps its promises for every seed.

use tidings_sim::{Layer, Seeds, Tracing, run};

#[test]
fn the_world_layer_keeps_every_promise() {
    let seeds = Seeds::from_environment(4_000);
    if let Err(failure) = seeds.run(Layer::World) {
        panic!("{failure}");
    }
}

/// A message was sent and lost, given up unseen, and came back when a crash undid that.
#[test]
fn what_was_given_up_unseen_may_come_back_late() {
    assert_eq!(run(Layer::World, 2_077_800_235, None, Tracing::Off).verdict, Ok(()));
}
