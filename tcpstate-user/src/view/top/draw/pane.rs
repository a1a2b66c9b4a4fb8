//! The title of a list: a rule across the pane with words in it.
use ratatui::{
    Frame,
    layout::Rect,
    text::{Line, Span},
    widgets::{Block, Borders},
};

use crate::view::top::palette::Palette;

/// Draws the rule with `title` on the left and `figures` on the right, and returns the area below.
pub(super) fn draw(
    frame: &mut Frame<'_>,
    area: Rect,
    palette: Palette,
    mut title: Vec<Span<'static>>,
    figures: String,
) -> Rect {
    title.insert(0, Span::raw(" "));
    title.push(Span::raw(" "));
    let mut block = Block::new()
        .borders(Borders::TOP)
        .border_style(palette.faint());
    // Cut words mislead; the figures go first.
    let (words, numbers) = (Line::from(title), Line::from(format!(" {figures} ")));
    let both = words.width() + numbers.width();
    block = block.title(words);
    if both <= usize::from(area.width) {
        block = block.title(numbers.right_aligned());
    }
    let inner = block.inner(area);
    frame.render_widget(block, area);
    inner
}
