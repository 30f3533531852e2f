//! A group keeps its promises for every seed.

use tidings_sim::{Layer, Seeds};

#[test]
fn the_group_layer_keeps_every_promise() {
    let seeds = Seeds::from_environment(2_000);
    if let Err(failure) = seeds.run(Layer::Group) {
        panic!("{failure}");
    }
}
