//! Keys, as in htop, bpftop and vi, to commands.
use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// What the user wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// The row before.
    Up,
    /// The row after.
    Down,
    /// Ten rows before.
    PageUp,
    /// Ten rows after.
    PageDown,
    /// The first row.
    First,
    /// The last row.
    Last,
    /// The grouping before.
    Left,
    /// The grouping after.
    Right,
    /// The pane after.
    NextPane,
    /// The pane before.
    PreviousPane,
    /// Into what is selected.
    Enter,
    /// Back out of it.
    Back,
    /// Type a filter.
    Filter,
    /// The next order of the pane's rows.
    Sort,
    /// Hold the picture still, or go on.
    Pause,
    /// Forget finished dwell times and transitions.
    Reset,
    /// The transition matrix, or back from it.
    Matrix,
    /// The help, or back from it.
    Help,
    /// End.
    Quit,
    /// A character of the filter.
    Type(char),
    /// Take the filter's last character away.
    Rub,
    /// Take the whole filter away.
    RubAll,
}

/// What a key means; while a filter is typed, most keys mean themselves.
#[must_use]
pub fn command(key: &KeyEvent, typing: bool) -> Option<Command> {
    if key.kind == KeyEventKind::Release {
        return None;
    }
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    if control {
        return match key.code {
            KeyCode::Char('c') => Some(Command::Quit),
            KeyCode::Char('u') if typing => Some(Command::RubAll),
            KeyCode::Char('h') if typing => Some(Command::Rub),
            KeyCode::Char('b') => Some(Command::PageUp),
            KeyCode::Char('f') => Some(Command::PageDown),
            _ => None,
        };
    }
    match key.code {
        KeyCode::Up => Some(Command::Up),
        KeyCode::Down => Some(Command::Down),
        KeyCode::Left => Some(Command::Left),
        KeyCode::Right => Some(Command::Right),
        KeyCode::PageUp => Some(Command::PageUp),
        KeyCode::PageDown => Some(Command::PageDown),
        KeyCode::Home => Some(Command::First),
        KeyCode::End => Some(Command::Last),
        KeyCode::Tab => Some(Command::NextPane),
        KeyCode::BackTab => Some(Command::PreviousPane),
        KeyCode::Enter => Some(Command::Enter),
        KeyCode::Esc => Some(Command::Back),
        KeyCode::F(1) => Some(Command::Help),
        KeyCode::F(3 | 4) => Some(Command::Filter),
        KeyCode::F(6) => Some(Command::Sort),
        KeyCode::F(10) => Some(Command::Quit),
        KeyCode::Backspace if typing => Some(Command::Rub),
        KeyCode::Char(letter) if typing => Some(Command::Type(letter)),
        KeyCode::Char(letter) => self::letter(letter),
        _ => None,
    }
}

fn letter(letter: char) -> Option<Command> {
    Some(match letter {
        'k' => Command::Up,
        'j' => Command::Down,
        'h' => Command::Left,
        'l' => Command::Right,
        'g' => Command::First,
        'G' => Command::Last,
        '/' => Command::Filter,
        's' => Command::Sort,
        'p' | ' ' => Command::Pause,
        'r' => Command::Reset,
        'm' => Command::Matrix,
        '?' => Command::Help,
        'q' => Command::Quit,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(code: KeyCode) -> KeyEvent {
        KeyEvent::new(code, KeyModifiers::NONE)
    }

    #[test]
    fn letters_are_commands_until_a_filter_is_typed() {
        for (code, command_, typed) in [
            (KeyCode::Char('q'), Command::Quit, Command::Type('q')),
            (KeyCode::Char('j'), Command::Down, Command::Type('j')),
            (KeyCode::Char('?'), Command::Help, Command::Type('?')),
            (KeyCode::Char(' '), Command::Pause, Command::Type(' ')),
            (KeyCode::Down, Command::Down, Command::Down),
            (KeyCode::Enter, Command::Enter, Command::Enter),
            (KeyCode::Esc, Command::Back, Command::Back),
            (KeyCode::F(10), Command::Quit, Command::Quit),
        ] {
            assert_eq!(command(&press(code), false), Some(command_));
            assert_eq!(command(&press(code), true), Some(typed));
        }
        assert_eq!(command(&press(KeyCode::Backspace), false), None);
        assert_eq!(
            command(&press(KeyCode::Backspace), true),
            Some(Command::Rub)
        );
    }

    #[test]
    fn control_c_always_ends_it() {
        let key = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        for typing in [false, true] {
            assert_eq!(command(&key, typing), Some(Command::Quit));
        }
        assert_eq!(command(&press(KeyCode::Char('c')), false), None);
    }

    #[test]
    fn a_key_that_goes_up_means_nothing() {
        let mut key = press(KeyCode::Char('q'));
        key.kind = KeyEventKind::Release;
        assert_eq!(command(&key, false), None);
    }
}
