//! Promises about what is kept how long. Trimming may happen a little later, in the background.

use std::time::Duration;

use tidings_core::{Offset, Retention};

use super::trial::{eventually, texts};
use super::{Engine, LONG, Trial, keeping, topic};

/// Waits until `first` is the first offset kept, and checks that this is what reads show.
fn first_becomes(trial: &Trial, first: u64, kept: &[&str]) {
    eventually("trimming", || trial.store().topic_state(&topic("a")).first == Offset::new(first));
    assert_eq!(texts(&trial.read_all("a")), kept);
    assert_eq!(trial.store().status().messages, kept.len() as u64);
}

pub(super) fn by_number(engine: Box<dyn Engine>) {
    let retention = Retention { age: LONG, messages: Some(2), bytes: None };
    let trial = Trial::new(engine, keeping(retention));
    for n in 1..=5 {
        trial.publish("a", &n.to_string());
    }
    first_becomes(&trial, 4, &["4", "5"]);
    assert_eq!(trial.store().status().trimmed, 3);
    assert_eq!(trial.publish("a", "6").offset, Offset::new(6));
    first_becomes(&trial, 5, &["5", "6"]);
}

pub(super) fn by_age(engine: Box<dyn Engine>) {
    let age = Duration::from_secs(60);
    let trial = Trial::new(engine, keeping(Retention { age, messages: None, bytes: None }));
    for n in 1..=3 {
        trial.publish("a", &n.to_string());
        trial.clock.advance(Duration::from_secs(20));
    }
    first_becomes(&trial, 2, &["2", "3"]);
    trial.clock.advance(age);
    first_becomes(&trial, 4, &[]);
    assert_eq!(trial.store().topic_state(&topic("a")).head, Offset::new(3));
    assert_eq!(trial.publish("a", "4").offset, Offset::new(4));
}

pub(super) fn by_bytes(engine: Box<dyn Engine>) {
    let retention = Retention { age: LONG, messages: None, bytes: Some(100_000) };
    let trial = Trial::new(engine, keeping(retention));
    let large = "x".repeat(40_000);
    for _ in 0..5 {
        trial.publish("a", &large);
    }
    first_becomes(&trial, 4, &[&large, &large]);
    // The newest stays, however large it is.
    let huge = "x".repeat(200_000);
    trial.publish("a", &huge);
    first_becomes(&trial, 6, &[&huge]);
}
