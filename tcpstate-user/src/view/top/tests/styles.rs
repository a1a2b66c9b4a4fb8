//! What the snapshots do not show: colours, and that no name drives the terminal.
use ratatui::{
    Terminal,
    backend::TestBackend,
    buffer::Buffer,
    style::{Color, Modifier},
};

use super::scene::Scene;
use crate::view::top::{
    draw,
    keys::Command::{Enter, Help, Last, Matrix, Pause, Up},
    palette::Palette,
};

fn buffer(scene: &Scene, palette: Palette) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(200, 60)).expect("it has no errors");
    terminal
        .draw(|frame| draw::draw(frame, &scene.picture(), palette))
        .expect("it has no errors");
    terminal.backend().buffer().clone()
}

#[test]
fn without_colours_there_are_none() {
    let mut scene = Scene::pile_up();
    scene.lose();
    for commands in [&[][..], &[Pause], &[Matrix], &[Help]] {
        scene.press(commands);
        for cell in buffer(&scene, Palette::new(false)).content() {
            assert_eq!((cell.fg, cell.bg), (Color::Reset, Color::Reset), "{cell:?}");
        }
    }
}

#[test]
fn a_loss_is_red_and_says_so() {
    let mut scene = Scene::pile_up();
    let red = |scene: &Scene| -> String {
        let buffer = buffer(scene, Palette::new(true));
        let cells = buffer.content().iter();
        cells
            .filter(|cell| cell.bg == Color::Red && cell.modifier.contains(Modifier::BOLD))
            .map(|cell| cell.symbol())
            .collect()
    };
    assert_eq!(red(&scene), "");
    scene.lose();
    assert_eq!(red(&scene), "LOST 1,239ring_full 1,234 missed_start 5");
}

#[test]
fn no_name_drives_the_terminal() {
    let mut scene = Scene::pile_up();
    for commands in [&[Last, Up][..], &[Enter], &[Enter, Enter]] {
        scene.press(commands);
        for cell in buffer(&scene, Palette::new(true)).content() {
            let plain = cell.symbol().chars().all(|c| !c.is_control());
            assert!(plain, "{cell:?}");
        }
    }
}
