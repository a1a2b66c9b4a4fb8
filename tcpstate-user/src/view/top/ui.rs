//! What the user has chosen: the pane and row, the grouping, orders, the filter. Changed by commands alone.
use super::{
    figure::Span,
    filter::Filter,
    group::{Grouping, Key},
    keys::Command,
    reading::{LIFE, Row},
    survey::{self, Group, GroupOrder, Question, SocketOrder},
};
use crate::{tcp::TcpState, tracker::Open};

/// Rows that a page key moves by.
const PAGE: isize = 10;
/// The longest filter, characters.
const MAX_FILTER: usize = 60;

/// The panes of the main page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pane {
    /// The table of states.
    #[default]
    States,
    /// The groups of the selected state.
    Groups,
    /// The sockets of the selected state.
    Sockets,
}

/// What fills the screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Page {
    /// The panes.
    #[default]
    Main,
    /// One socket in full.
    Socket,
    /// The transition matrix.
    Matrix,
    /// The keys.
    Help,
}

/// Order of the states.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StateOrder {
    /// As a connection lives through them.
    #[default]
    Life,
    /// Most sockets first.
    Sockets,
    /// Most transitions into it first.
    Entered,
}

/// The user's choices.
#[derive(Clone, Debug)]
pub struct Ui {
    /// What fills the screen.
    pub page: Page,
    /// The pane that the keys go to.
    pub pane: Pane,
    /// States shown; all if empty.
    only: Vec<TcpState>,
    /// The selected state.
    pub state: TcpState,
    /// Order of the states.
    pub state_order: StateOrder,
    /// What sockets are grouped by.
    pub grouping: Grouping,
    /// The group that was gone into.
    pub group: Option<Key>,
    /// Order of the groups.
    pub group_order: GroupOrder,
    /// The selected row of the groups.
    pub group_row: usize,
    /// Order of the sockets.
    pub socket_order: SocketOrder,
    /// The selected row of the sockets.
    pub socket_row: usize,
    /// The socket that was gone into, and its age then.
    pub socket: Option<(Open, Span)>,
    /// The filter, as it was typed.
    pub filter: String,
    /// What the filter was, while another is typed.
    pub typing: Option<String>,
    /// The picture is held still.
    pub paused: bool,
}

/// What the rows on the screen are, which commands choose from.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    /// The states, in the order of life.
    pub states: &'a [Row],
    /// The groups.
    pub groups: &'a [Group],
    /// The sockets.
    pub sockets: &'a [Open],
    /// When the sockets were looked at, monotonic, ns.
    pub now_ns: u64,
}

impl Ui {
    /// At the start; with the states `only`, or all if that is empty.
    #[must_use]
    pub fn new(only: Vec<TcpState>) -> Self {
        let first = only.iter().find(|state| LIFE.contains(state));
        Self {
            page: Page::default(),
            pane: Pane::default(),
            state: first.copied().unwrap_or(TcpState::Established),
            only,
            state_order: StateOrder::default(),
            grouping: Grouping::default(),
            group: None,
            group_order: GroupOrder::default(),
            group_row: 0,
            socket_order: SocketOrder::default(),
            socket_row: 0,
            socket: None,
            filter: String::new(),
            typing: None,
            paused: false,
        }
    }

    /// The rows of the states to be shown, in the order chosen.
    #[must_use]
    pub fn states<'a>(&self, rows: &'a [Row]) -> Vec<&'a Row> {
        let shown = |row: &&Row| self.only.is_empty() || self.only.contains(&row.state);
        let mut rows: Vec<&Row> = rows.iter().filter(shown).collect();
        match self.state_order {
            StateOrder::Life => {}
            StateOrder::Sockets => rows.sort_by_key(|row| std::cmp::Reverse(row.sockets)),
            StateOrder::Entered => {
                let rate = |row: &Row| row.entered.unwrap_or(-1.0);
                rows.sort_by(|a, b| rate(b).total_cmp(&rate(a)));
            }
        }
        rows
    }

    /// What the lists have to show.
    #[must_use]
    pub fn question(&self) -> Question {
        Question {
            state: self.state,
            grouping: self.grouping,
            filter: Filter::new(&self.filter),
            group: self.group,
            group_order: self.group_order,
            socket_order: self.socket_order,
        }
    }

    /// Obeys a command. `Quit` and `Reset` are not its business.
    pub fn obey(&mut self, command: Command, rows: Rows<'_>) {
        if self.typing.is_some() {
            self.edit(command);
            return;
        }
        match command {
            Command::Help => self.turn_to(Page::Help),
            Command::Matrix => self.turn_to(Page::Matrix),
            Command::Pause => self.paused = !self.paused,
            Command::Back => self.back(),
            _ if self.page != Page::Main => self.page_command(command),
            Command::Up => self.step(-1, rows),
            Command::Down => self.step(1, rows),
            Command::PageUp => self.step(-PAGE, rows),
            Command::PageDown => self.step(PAGE, rows),
            Command::First => self.step(isize::MIN, rows),
            Command::Last => self.step(isize::MAX, rows),
            Command::Left | Command::Right => {
                self.grouping = self.grouping.beside(command == Command::Right);
                self.leave_group();
            }
            Command::NextPane => self.pane = self.beside(true),
            Command::PreviousPane => self.pane = self.beside(false),
            Command::Enter => self.enter(rows),
            Command::Filter => self.typing = Some(self.filter.clone()),
            Command::Sort => self.sort(),
            Command::Quit | Command::Reset => {}
            Command::Type(_) | Command::Rub | Command::RubAll => {}
        }
    }

    /// On a page without rows.
    fn page_command(&mut self, command: Command) {
        if command == Command::Enter {
            self.page = Page::Main;
        }
    }

    /// Back from a page that is there already.
    fn turn_to(&mut self, page: Page) {
        self.page = if self.page == page { Page::Main } else { page };
    }

    /// Undoes the last step in: the page, the group, the filter, the pane.
    fn back(&mut self) {
        if self.page != Page::Main {
            self.page = Page::Main;
        } else if self.group.is_some() {
            self.group = None;
            self.socket_row = 0;
            self.pane = Pane::Groups;
        } else if !self.filter.is_empty() {
            self.filter.clear();
            self.rewind();
        } else {
            self.pane = Pane::States;
        }
    }

    fn edit(&mut self, command: Command) {
        match command {
            Command::Type(letter) if self.filter.chars().count() < MAX_FILTER => {
                self.filter.push(letter);
            }
            Command::Rub => {
                self.filter.pop();
            }
            Command::RubAll => self.filter.clear(),
            Command::Enter => self.typing = None,
            Command::Back => self.filter = self.typing.take().unwrap_or_default(),
            _ => return,
        }
        self.rewind();
    }

    fn enter(&mut self, rows: Rows<'_>) {
        match self.pane {
            Pane::States => self.pane = Pane::Groups,
            Pane::Groups => {
                if let Some(group) = rows.groups.get(self.group_row) {
                    self.group = Some(group.key);
                    self.socket_row = 0;
                    self.pane = Pane::Sockets;
                }
            }
            Pane::Sockets => {
                if let Some(socket) = rows.sockets.get(self.socket_row) {
                    self.socket = Some((*socket, survey::age(socket, rows.now_ns)));
                    self.page = Page::Socket;
                }
            }
        }
    }

    fn sort(&mut self) {
        match self.pane {
            Pane::States => {
                self.state_order = match self.state_order {
                    StateOrder::Life => StateOrder::Sockets,
                    StateOrder::Sockets => StateOrder::Entered,
                    StateOrder::Entered => StateOrder::Life,
                }
            }
            Pane::Groups => {
                self.group_order = match self.group_order {
                    GroupOrder::Sockets => GroupOrder::Oldest,
                    GroupOrder::Oldest => GroupOrder::Key,
                    GroupOrder::Key => GroupOrder::Sockets,
                };
                self.group_row = 0;
            }
            Pane::Sockets => {
                self.socket_order = match self.socket_order {
                    SocketOrder::Oldest => SocketOrder::Newest,
                    SocketOrder::Newest => SocketOrder::Oldest,
                };
                self.socket_row = 0;
            }
        }
    }

    fn beside(&self, forward: bool) -> Pane {
        match (self.pane, forward) {
            (Pane::States, true) | (Pane::Sockets, false) => Pane::Groups,
            (Pane::Groups, true) | (Pane::States, false) => Pane::Sockets,
            (Pane::Sockets, true) | (Pane::Groups, false) => Pane::States,
        }
    }

    /// Moves the pane's selection by so many rows, as far as there are any.
    fn step(&mut self, by: isize, rows: Rows<'_>) {
        let to = |row: usize, count: usize| {
            row.min(count)
                .saturating_add_signed(by)
                .min(count.saturating_sub(1))
        };
        match self.pane {
            Pane::States => {
                let states = self.states(rows.states);
                let row = states.iter().position(|row| row.state == self.state);
                if let Some(row) = states.get(to(row.unwrap_or(0), states.len()))
                    && row.state != self.state
                {
                    self.state = row.state;
                    self.leave_group();
                }
            }
            Pane::Groups => self.group_row = to(self.group_row, rows.groups.len()),
            Pane::Sockets => self.socket_row = to(self.socket_row, rows.sockets.len()),
        }
    }

    fn leave_group(&mut self) {
        self.group = None;
        self.rewind();
    }

    fn rewind(&mut self) {
        self.group_row = 0;
        self.socket_row = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::{super::samples, *};
    use crate::tracker::StillOpen;

    fn rows() -> Vec<Row> {
        let row = |(index, state): (usize, &TcpState)| Row {
            state: *state,
            sockets: index as u64,
            entered: (index > 0).then_some(10.0 - index as f64),
            left: None,
            finished: 0,
            p50: None,
            p99: None,
            max: None,
        };
        LIFE.iter().enumerate().map(row).collect()
    }

    const KEYS: [Key; 3] = [Key::LocalPort(80), Key::LocalPort(81), Key::Unknown];

    fn groups() -> Vec<Group> {
        let group = |key| Group {
            key,
            label: String::new(),
            open: StillOpen::default(),
        };
        KEYS.map(group).to_vec()
    }

    /// What a user sees after `commands`.
    fn after(commands: &[Command]) -> Ui {
        let mut ui = Ui::new(Vec::new());
        obey(&mut ui, commands);
        ui
    }

    fn obey(ui: &mut Ui, commands: &[Command]) {
        let sockets = [1, 2].map(|number| samples::open(number, TcpState::Established, 80));
        let rows = Rows {
            states: &rows(),
            groups: &groups(),
            sockets: &sockets,
            now_ns: 5,
        };
        for command in commands {
            ui.obey(*command, rows);
        }
    }

    #[test]
    fn the_selection_moves_along_the_states_and_stops_at_their_ends() {
        use Command::{Down, First, Last, PageUp, Up};
        for (commands, state) in [
            (&[][..], TcpState::Established),
            (&[Down], TcpState::FinWait1),
            (&[Up, Up], TcpState::SynSent),
            (&[Last], TcpState::LastAck),
            (&[Last, Down], TcpState::LastAck),
            (&[First], TcpState::Listen),
            (&[Last, PageUp], TcpState::Listen),
        ] {
            assert_eq!(after(commands).state, state, "{commands:?}");
        }
    }

    #[test]
    fn the_selection_stays_with_its_state_when_the_order_changes() {
        use Command::{Down, First, Sort};
        assert_eq!(after(&[Sort]).state, TcpState::Established);
        assert_eq!(
            after(&[Sort, First]).state,
            TcpState::LastAck,
            "most sockets"
        );
        assert_eq!(after(&[Sort, First, Down]).state, TcpState::CloseWait);
        assert_eq!(after(&[Sort, Sort, First]).state, TcpState::SynSent);
        assert_eq!(after(&[Sort, Sort, Sort, First]).state, TcpState::Listen);
    }

    #[test]
    fn enter_goes_in_and_back_comes_out() {
        use Command::{Back, Down, Enter};
        let mut ui = after(&[Enter]);
        assert_eq!(ui.pane, Pane::Groups);
        obey(&mut ui, &[Down, Enter]);
        assert_eq!((ui.pane, ui.group), (Pane::Sockets, Some(KEYS[1])));
        obey(&mut ui, &[Enter]);
        assert_eq!(ui.page, Page::Socket);
        obey(&mut ui, &[Back]);
        assert_eq!((ui.page, ui.group), (Page::Main, Some(KEYS[1])));
        obey(&mut ui, &[Back]);
        assert_eq!((ui.pane, ui.group, ui.group_row), (Pane::Groups, None, 1));
        obey(&mut ui, &[Back]);
        assert_eq!(ui.pane, Pane::States);
    }

    #[test]
    fn another_state_or_grouping_leaves_the_group() {
        use Command::{Down, Enter, NextPane, Right};
        let ui = after(&[Enter, Enter, Right]);
        assert_eq!((ui.group, ui.grouping), (None, Grouping::Remote));
        let ui = after(&[Enter, Enter, NextPane, Down]);
        assert_eq!((ui.group, ui.pane), (None, Pane::States));
    }

    #[test]
    fn panes_and_groupings_go_round() {
        use Command::{Left, NextPane, PreviousPane};
        assert_eq!(after(&[NextPane; 3]).pane, Pane::States);
        assert_eq!(after(&[PreviousPane]).pane, Pane::Sockets);
        assert_eq!(after(&[Left]).grouping, Grouping::Namespace);
        assert_eq!(after(&[Left; 5]).grouping, Grouping::Process);
    }

    #[test]
    fn a_filter_is_typed_kept_or_dropped() {
        use Command::{Back, Enter, Filter, Rub, RubAll, Type};
        let mut ui = after(&[Filter, Type('a'), Type('q'), Rub, Enter]);
        assert_eq!((ui.filter.as_str(), &ui.typing), ("a", &None));
        obey(&mut ui, &[Filter, Type('b'), Back]);
        assert_eq!(ui.filter, "a", "Esc drops what was typed");
        obey(&mut ui, &[Filter, RubAll]);
        assert_eq!(ui.filter, "");
        obey(&mut ui, &[Back, Back]);
        assert_eq!(ui.filter, "", "Esc takes the filter away");
        obey(&mut ui, &[Filter]);
        obey(&mut ui, &[Type('x'); 100]);
        assert_eq!(ui.filter.len(), MAX_FILTER);
    }

    #[test]
    fn pages_open_and_close() {
        use Command::{Back, Down, Enter, Help, Matrix};
        assert_eq!(after(&[Help]).page, Page::Help);
        assert_eq!(after(&[Help, Help]).page, Page::Main);
        assert_eq!(after(&[Matrix, Help, Back]).page, Page::Main);
        assert_eq!(after(&[Matrix, Enter]).page, Page::Main);
        assert_eq!(after(&[Matrix, Down]).state, TcpState::Established);
    }

    #[test]
    fn only_the_states_asked_for_are_there() {
        let mut ui = Ui::new(vec![TcpState::TimeWait, TcpState::CloseWait]);
        assert_eq!(ui.state, TcpState::TimeWait);
        obey(&mut ui, &[Command::Down, Command::Down]);
        assert_eq!(ui.state, TcpState::CloseWait);
        assert_eq!(ui.states(&rows()).len(), 2);
    }

    #[test]
    fn a_list_without_rows_is_no_trouble() {
        let mut ui = after(&[]);
        let rows = Rows {
            states: &[],
            groups: &[],
            sockets: &[],
            now_ns: 0,
        };
        for command in [
            Command::Down,
            Command::NextPane,
            Command::Last,
            Command::Enter,
            Command::NextPane,
            Command::Up,
            Command::Enter,
        ] {
            ui.obey(command, rows);
        }
        assert_eq!((ui.page, ui.group), (Page::Main, None));
    }
}
