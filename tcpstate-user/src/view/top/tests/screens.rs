//! Each screen at 80 × 24 and at 200 × 60.
use insta::assert_snapshot;

use super::scene::Scene;
use crate::view::top::keys::Command::{
    Down, Enter, Filter, Help, Last, Matrix, NextPane, Pause, PreviousPane, Reset, Right, Type, Up,
};

/// From `ESTABLISHED`, where the selection begins, to `CLOSE_WAIT`.
const CLOSE_WAIT: [crate::view::top::keys::Command; 2] = [Last, Up];

/// Compares the scene at both sizes with what was looked at and found right.
macro_rules! assert_screens {
    ($name:literal, $scene:expr) => {
        assert_snapshot!(concat!($name, "_80x24"), $scene.screen(80, 24));
        assert_snapshot!(concat!($name, "_200x60"), $scene.screen(200, 60));
    };
}

fn pile_up() -> Scene {
    let mut scene = Scene::pile_up();
    scene.press(&CLOSE_WAIT);
    scene
}

#[test]
fn nothing_there() {
    let mut scene = Scene::empty();
    scene.tick();
    assert_screens!("empty", scene);
}

#[test]
fn groups_of_a_state() {
    assert_screens!("groups", pile_up());
}

#[test]
fn groups_by_remote_address() {
    let mut scene = pile_up();
    scene.press(&[Right, NextPane, Down]);
    assert_screens!("remote", scene);
}

#[test]
fn sockets_of_a_state() {
    let mut scene = pile_up();
    scene.press(&[PreviousPane]);
    assert_screens!("sockets", scene);
}

#[test]
fn sockets_of_a_group() {
    let mut scene = pile_up();
    scene.press(&[Enter, Down, Down, Enter]);
    assert_screens!("group", scene);
}

#[test]
fn a_socket() {
    let mut scene = pile_up();
    scene.press(&[Enter, Enter, Enter]);
    assert_screens!("socket", scene);
}

#[test]
fn sockets_with_words() {
    let mut scene = pile_up();
    scene.press(&[Filter, Type('r'), Type('e'), Type('D')]);
    assert_screens!("filter", scene);
}

#[test]
fn losses_on_a_picture_that_is_held_still() {
    let mut scene = pile_up();
    scene.lose();
    scene.press(&[Pause]);
    scene.tick();
    assert_screens!("loss", scene);
}

#[test]
fn after_a_reset() {
    let mut scene = pile_up();
    scene.press(&[Reset]);
    assert_screens!("reset", scene);
}

#[test]
fn the_matrix() {
    let mut scene = pile_up();
    scene.press(&[Matrix]);
    assert_screens!("matrix", scene);
}

#[test]
fn the_help() {
    let mut scene = pile_up();
    scene.press(&[Help]);
    assert_screens!("help", scene);
}
