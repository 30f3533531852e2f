//! The delivery window keeps its promises for every seed.

use tidings_sim::{Layer, Seeds, Tracing, run};

#[test]
fn the_window_layer_keeps_every_promise() {
    let seeds = Seeds::from_environment(2_000);
    if let Err(failure) = seeds.run(Layer::Window) {
        panic!("{failure}");
    }
}

/// What could not be sent was wanted again in the same moment.
#[test]
fn a_delivery_put_off_to_the_same_moment_is_made_in_it() {
    assert_eq!(run(Layer::Window, 2_077_808_035, None, Tracing::Off).verdict, Ok(()));
}
