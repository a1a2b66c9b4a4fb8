//! What stands on the screen, at the sizes that people have, for made-up traffic that has taken the real way through
//! the tracker.
mod scene;
mod screens;
mod sizes;
mod styles;
