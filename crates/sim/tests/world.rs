//! The whole way of a message keeps its promises for every seed.

use tidings_sim::{Layer, Seeds};

#[test]
fn the_world_layer_keeps_every_promise() {
    let seeds = Seeds::from_environment(4_000);
    if let Err(failure) = seeds.run(Layer::World) {
        panic!("{failure}");
    }
}
