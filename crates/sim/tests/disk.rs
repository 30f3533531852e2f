//! The whole way of a message, over the real embedded store on a disk that crashes, keeps every
//! promise for every seed.

use tidings_sim::{Layer, Seeds};

#[test]
fn the_disk_layer_keeps_every_promise() {
    let seeds = Seeds::from_environment(1_000);
    if let Err(failure) = seeds.run(Layer::Disk) {
        panic!("{failure}");
    }
}
