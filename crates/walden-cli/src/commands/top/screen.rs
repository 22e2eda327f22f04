//! The terminal: keys, scrolling, and what of the page is seen.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, TryRecvError};
use std::time::{Duration, Instant};

use ratatui::backend::Backend;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Clear, Paragraph, Scrollbar, ScrollbarOrientation, ScrollbarState};
use ratatui::{Frame, Terminal};
use walden_inspector::{Check, Watch};

use super::page::{FAINT, Page, Palette, STRONG, entries};
use super::view::{Looker, View};
use super::words::found;

/// How soon the end, a new look and a signal are noticed.
const BEAT: Duration = Duration::from_millis(100);
/// What is on the screen is made anew so often, even if nothing was looked at: times pass.
const REDRAW: Duration = Duration::from_secs(1);
/// From so many columns on the latest entries stand beside the rest.
const BESIDE: u16 = 120;
/// A look that takes so much longer than it is given is spoken of.
const LATE: Duration = Duration::from_secs(3);

const KEYS: &str = " q quit  ? help  space pause  ↑↓ scroll";
const HELP: [&str; 8] = [
    " q Esc Ctrl-C   quit",
    " ↑ ↓ PgUp PgDn  scroll",
    " Home End       to the ends",
    " space          pause, go on",
    " c              check every byte",
    " Ctrl-L         draw anew",
    " ?              this; any key ends it",
    " Nothing is locked, nothing written.",
];

/// What is on the screen.
#[derive(Debug)]
pub(super) struct Screen {
    pub(super) view: View,
    pub(super) check: Check,
    pub(super) palette: Palette,
    pub(super) every: Duration,
    pub(super) paused: bool,
    pub(super) help: bool,
    /// The first line of the page that is seen, and how many are.
    pub(super) top: usize,
    pub(super) rows: usize,
}

/// What a key asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    Quit,
    Interrupt,
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
    Pause,
    Check,
    Help,
    Redraw,
    /// A key that is none of these.
    Other,
}

/// Takes the terminal and shows the log, until a key or `ended` says that it is enough. Puts the terminal back, and does
/// so after a panic too. True if Ctrl-C was pressed.
///
/// # Errors
/// The terminal cannot be read or written.
pub(super) fn run(
    watch: &Watch,
    looker: Looker,
    palette: Palette,
    every: Duration,
    ended: &AtomicBool,
) -> io::Result<bool> {
    let mut screen = Screen::new(looker.view(), watch.check(), palette, every);
    let shown = match ratatui::try_init() {
        Ok(mut terminal) => {
            let shown = show(&mut terminal, &mut screen, watch, looker, ended);
            // Shows the cursor.
            drop(terminal);
            shown
        }
        Err(error) => Err(error),
    };
    let restored = ratatui::try_restore();
    let interrupted = shown?;
    restored.map(|()| interrupted)
}

fn show<B: Backend<Error = io::Error>>(
    terminal: &mut Terminal<B>,
    screen: &mut Screen,
    watch: &Watch,
    mut looker: Looker,
    ended: &AtomicBool,
) -> io::Result<bool> {
    let (sender, views) = mpsc::channel();
    // Dropped when this returns, and then the thread ends by itself. It is not waited for: it may wait for a disk.
    let (_alive, wanted) = mpsc::channel::<()>();
    let every = screen.every;
    let look = move || {
        while sender.send(looker.look()).is_ok() {
            if wanted.recv_timeout(every) != Err(RecvTimeoutError::Timeout) {
                break;
            }
        }
    };
    std::thread::Builder::new().name("walden-look".into()).spawn(look)?;
    while !ended.load(Ordering::Acquire) {
        screen.take_newest(&views)?;
        screen.check = watch.check();
        terminal.draw(|frame| screen.draw(frame))?;
        match wait(screen, &views, ended)? {
            Some(Wish::Interrupt) => return Ok(true),
            // Any other key only ends the help.
            Some(wish) if screen.help => screen.turn(wish),
            Some(Wish::Quit) => return Ok(false),
            Some(Wish::Check) => _ = watch.start_check(),
            Some(Wish::Redraw) => terminal.clear()?,
            Some(wish) => screen.turn(wish),
            None => {}
        }
    }
    Ok(false)
}

/// Waits until there is something to draw; the key that was pressed, if one was.
fn wait(
    screen: &mut Screen,
    views: &Receiver<View>,
    ended: &AtomicBool,
) -> io::Result<Option<Wish>> {
    let begun = Instant::now();
    while begun.elapsed() < REDRAW && !ended.load(Ordering::Acquire) {
        if event::poll(BEAT)? {
            match event::read()? {
                Event::Key(key) if key.kind != KeyEventKind::Release => return Ok(Some(wish(key))),
                Event::Resize(..) => return Ok(None),
                _ => {}
            }
        }
        if screen.take_newest(views)? {
            return Ok(None);
        }
    }
    Ok(None)
}

pub(super) fn wish(key: KeyEvent) -> Wish {
    // The terminal is raw: Ctrl-C is a key as others are.
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return match key.code {
            KeyCode::Char('c' | 'C') => Wish::Interrupt,
            KeyCode::Char('l' | 'L') => Wish::Redraw,
            _ => Wish::Other,
        };
    }
    match key.code {
        KeyCode::Char('q' | 'Q') | KeyCode::Esc => Wish::Quit,
        KeyCode::Up | KeyCode::Char('k') => Wish::Up,
        KeyCode::Down | KeyCode::Char('j') => Wish::Down,
        KeyCode::PageUp => Wish::PageUp,
        KeyCode::PageDown => Wish::PageDown,
        KeyCode::Home => Wish::Home,
        KeyCode::End => Wish::End,
        KeyCode::Char(' ') => Wish::Pause,
        KeyCode::Char('c') => Wish::Check,
        KeyCode::Char('?') => Wish::Help,
        _ => Wish::Other,
    }
}

impl Screen {
    pub(super) fn new(view: View, check: Check, palette: Palette, every: Duration) -> Self {
        Self { view, check, palette, every, paused: false, help: false, top: 0, rows: 0 }
    }

    /// Takes what was seen last, unless it is to stand still; true if there was something.
    fn take_newest(&mut self, views: &Receiver<View>) -> io::Result<bool> {
        let mut taken = false;
        loop {
            match views.try_recv() {
                Ok(_) if self.paused => {}
                Ok(view) => {
                    self.view = view;
                    taken = true;
                }
                Err(TryRecvError::Empty) => return Ok(taken),
                Err(TryRecvError::Disconnected) => {
                    return Err(io::Error::other("the thread that looks at the log has ended"));
                }
            }
        }
    }

    pub(super) fn turn(&mut self, wish: Wish) {
        if self.help {
            self.help = false;
            return;
        }
        let page = self.rows.saturating_sub(1).max(1);
        match wish {
            Wish::Up => self.top = self.top.saturating_sub(1),
            Wish::Down => self.top = self.top.saturating_add(1),
            Wish::PageUp => self.top = self.top.saturating_sub(page),
            Wish::PageDown => self.top = self.top.saturating_add(page),
            Wish::Home => self.top = 0,
            Wish::End => self.top = usize::MAX,
            Wish::Pause => self.paused = !self.paused,
            Wish::Help => self.help = true,
            _ => {}
        }
    }

    pub(super) fn draw(&mut self, frame: &mut Frame<'_>) {
        let area = frame.area();
        let [head, body, foot] = rows(area);
        frame.render_widget(self.title(), head);
        let (left, right) =
            if area.width >= BESIDE && self.view.is_read() { halves(body) } else { (body, None) };
        self.draw_page(frame, left, right.is_none());
        if let Some(right) = right {
            let (width, height) = (usize::from(right.width), usize::from(right.height));
            let lines = entries(&self.view, self.palette, width, height);
            frame.render_widget(Paragraph::new(lines), right);
        }
        frame.render_widget(Line::styled(KEYS, FAINT), foot);
        if self.help {
            draw_help(frame, body);
        }
    }

    fn title(&self) -> Line<'static> {
        let damaged = found(&self.check).is_some_and(walden::offline::Verification::is_damaged);
        let late = self.view.at.elapsed().saturating_sub(self.every);
        let bad = self.palette.bad();
        let mut spans = vec![Span::styled(" walden top  ", self.palette.title())];
        if damaged {
            spans.push(Span::styled("DAMAGED  ", bad));
        }
        if self.view.seen.problem.is_some() {
            spans.push(Span::styled("UNREADABLE  ", bad));
        }
        if self.paused {
            spans.push(Span::styled("PAUSED  ", STRONG));
        } else if late > LATE {
            spans.push(Span::styled(format!("LOOKING FOR {} s  ", late.as_secs()), STRONG));
        }
        spans.push(Span::styled(self.view.name.clone(), STRONG));
        Line::from_iter(spans)
    }

    fn draw_page(&mut self, frame: &mut Frame<'_>, area: Rect, with_entries: bool) {
        let inner =
            Rect { width: area.width.saturating_sub(2), x: area.x.saturating_add(1), ..area };
        let inner = inner.intersection(area);
        let width = usize::from(inner.width);
        let page = Page::new(&self.view, &self.check, self.palette, width, with_entries);
        self.rows = usize::from(inner.height);
        let most = page.len().saturating_sub(self.rows);
        self.top = self.top.min(most);
        for (row, y) in (inner.top()..inner.bottom()).enumerate() {
            let at = Rect { y, height: 1, ..inner };
            frame.render_widget(page.line(self.top.saturating_add(row)), at);
        }
        if most > 0 {
            let bar = Scrollbar::new(ScrollbarOrientation::VerticalRight);
            let mut state = ScrollbarState::new(most.saturating_add(1)).position(self.top);
            frame.render_stateful_widget(bar.style(FAINT), area, &mut state);
        }
    }
}

/// The title, the body, the keys. Where there is no room for all, the body is left out last.
fn rows(area: Rect) -> [Rect; 3] {
    let foot = u16::from(area.height > 2);
    let head = u16::from(area.height > 1);
    let body = area.height.saturating_sub(head + foot);
    let row = |y: u16, height| Rect { y: area.y.saturating_add(y), height, ..area };
    [row(0, head), row(head, body), row(head.saturating_add(body), foot)]
}

fn halves(area: Rect) -> (Rect, Option<Rect>) {
    let left = area.width / 2 + 10;
    let right = area.width.saturating_sub(left);
    (
        Rect { width: left, ..area },
        Some(Rect { x: area.x.saturating_add(left), width: right, ..area }),
    )
}

fn draw_help(frame: &mut Frame<'_>, area: Rect) {
    let lines: Vec<Line<'_>> = HELP.iter().map(|line| Line::raw(*line)).collect();
    let width = lines.iter().map(Line::width).max().unwrap_or(0);
    let width = u16::try_from(width).unwrap_or(u16::MAX).saturating_add(2).min(area.width);
    let framed = usize::from(area.height) >= lines.len() + 2;
    let height = u16::try_from(lines.len() + 2 * usize::from(framed)).unwrap_or(u16::MAX);
    let height = height.min(area.height);
    let place = Rect {
        x: area.x.saturating_add((area.width - width) / 2),
        y: area.y.saturating_add((area.height - height) / 2),
        width,
        height,
    };
    let block = if framed { Block::bordered().title("Keys") } else { Block::new() };
    frame.render_widget(Clear, place);
    frame.render_widget(Paragraph::new(lines).block(block), place);
}
