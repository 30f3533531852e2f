//! The embedded store on a simulated disk: crashes, damage, failures, and a disk that is full.

mod cleaning;
mod copied;
mod crashes;
mod damage;
mod direct;
mod failures;
mod forgetting;
mod power;
mod removing;
mod rig;
mod torn;
