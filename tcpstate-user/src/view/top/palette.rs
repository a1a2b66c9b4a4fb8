//! Colours and emphasis. Few, told apart by everyone, and never the only sign: what is red also says what it is. Without
//! colours (`NO_COLOR`) emphasis alone does it.
use ratatui::style::{Color, Modifier, Style};

/// The styles of the screen.
#[derive(Clone, Copy, Debug)]
pub struct Palette {
    colours: bool,
}

impl Palette {
    /// With colours, or without.
    #[must_use]
    pub const fn new(colours: bool) -> Self {
        Self { colours }
    }

    /// What was lost.
    #[must_use]
    pub fn alarm(self) -> Style {
        self.coloured(Style::new().fg(Color::White).bg(Color::Red))
            .add_modifier(Modifier::BOLD)
    }

    /// What the user should not overlook, such as a picture that is held still.
    #[must_use]
    pub fn notice(self) -> Style {
        self.coloured(Style::new().fg(Color::Black).bg(Color::Yellow))
            .add_modifier(Modifier::BOLD)
    }

    /// Names and titles.
    #[must_use]
    pub fn strong(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    /// Heads of columns.
    #[must_use]
    pub fn head(self) -> Style {
        if self.colours {
            Style::new().fg(Color::Cyan).add_modifier(Modifier::BOLD)
        } else {
            Style::new().add_modifier(Modifier::BOLD | Modifier::UNDERLINED)
        }
    }

    /// What matters less.
    #[must_use]
    pub fn faint(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    /// The selected row of the pane that the keys go to.
    #[must_use]
    pub fn selected(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// Bars.
    #[must_use]
    pub fn bar(self) -> Style {
        if self.colours {
            Style::new().fg(Color::Cyan)
        } else {
            Style::new()
        }
    }

    fn coloured(self, style: Style) -> Style {
        if self.colours {
            style
        } else {
            Style::new().add_modifier(Modifier::REVERSED)
        }
    }
}
