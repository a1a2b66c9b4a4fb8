//! No size of the terminal is too small or too large for any screen.
use proptest::prelude::*;

use super::scene::Scene;
use crate::view::top::keys::Command::{
    self, Enter, Filter, Help, Last, Matrix, NextPane, Pause, Type,
};

const SCREENS: [&[Command]; 9] = [
    &[],
    &[Last],
    &[NextPane],
    &[NextPane, NextPane],
    &[Enter, Enter, Enter],
    &[Matrix],
    &[Help],
    &[Filter, Type('\u{1b}'), Type('界')],
    &[Pause],
];

fn scenes() -> Vec<Scene> {
    let mut scenes: Vec<Scene> = SCREENS
        .into_iter()
        .map(|commands| {
            let mut scene = Scene::pile_up();
            scene.lose();
            scene.press(commands);
            scene
        })
        .collect();
    scenes.push(Scene::empty()); // before its first reading
    scenes
}

#[test]
fn every_small_size() {
    for scene in scenes() {
        for width in 1..=24 {
            for height in 1..=12 {
                scene.screen(width, height);
            }
        }
    }
}

#[test]
fn any_size() {
    let scenes = scenes();
    proptest!(ProptestConfig::with_cases(100), |(
        index in 0..scenes.len(),
        width in 1_u16..400,
        height in 1_u16..150,
    )| {
        scenes[index].screen(width, height);
    });
}
