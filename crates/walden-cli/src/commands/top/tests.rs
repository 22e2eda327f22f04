use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::style::Color;
use tempfile::TempDir;
use unicode_width::UnicodeWidthStr;
use walden::{Config, Mode, Start, Wal};
use walden_inspector::{Check, Watch};

use super::page::Palette;
use super::screen::{Screen, Wish, wish};
use super::view::{Looker, View};
use super::with_feature::{as_text, code_of};
use crate::exit::Code;

const HOSTILE: &[u8] = b"\x1b]0;owned\x07\x1b[2J\r\n\t<b>\xff \xe2\x80\xae txet";
const HARMLESS: &str = "\\u{1b}]0;owned\\u{7}\\u{1b}[2J\\r\\n\\t<b>\\xff \\u{202e} txet";
const LONG: Duration = Duration::from_secs(60);

fn open(dir: &Path) -> Wal {
    Wal::open(dir, Config::os_cache().mode(Mode::Debug).segment_size(1024)).unwrap()
}

/// A log of these entries, `HOSTILE` the last of them, in small segments, with a cursor at `cursor`.
fn log(entries: u64, cursor: u64) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let wal = open(dir.path());
    for n in 1..entries {
        wal.append(format!("entry {n}")).unwrap();
    }
    wal.append(HOSTILE).unwrap();
    wal.sync().unwrap();
    drop(wal.cursor("mailer", Start::At(cursor)).unwrap());
    wal.close().unwrap();
    dir
}

fn watch(dir: &Path) -> (Watch, Looker) {
    let watch = Watch::open_unlisted(dir, "segment").unwrap();
    let looker = Looker::new(watch.clone());
    (watch, looker)
}

fn screen_of(watch: &Watch, view: View) -> Screen {
    Screen::new(view, watch.check(), Palette { colours: false }, Duration::from_secs(1))
}

fn drawn(screen: &mut Screen, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| screen.draw(frame)).unwrap();
    let buffer = terminal.backend().buffer();
    let rows = buffer.content().chunks(usize::from(width));
    rows.map(|row| row.iter().map(|cell| cell.symbol()).collect::<String>() + "\n").collect()
}

#[track_caller]
fn shows(screen: &str, parts: &[&str]) {
    for part in parts {
        assert!(screen.contains(part), "{part} is not in\n{screen}");
    }
    assert!(!screen.chars().any(|c| c.is_control() && c != '\n'), "{screen:?}");
}

#[test]
fn what_is_on_the_screen() {
    let dir = log(1500, 749);
    let (watch, mut looker) = watch(dir.path());
    let screen = &mut screen_of(&watch, looker.look());
    shows(
        &drawn(screen, 100, 90),
        &[
            " walden top  ",
            "can be read; not every byte was checked",
            "Entries    1,500; first 1, last 1,500, next 1,501",
            "Durable    all, to 1,500",
            " sealed, 1 open; ",
            "Entries/s  not known before the second look",
            &format!("Writer     process {}, which opened it ", std::process::id()),
            "generation ",
            "Recovery   nothing in quarantine",
            "  mailer  next 749  752 behind",
            "  1,499       10 B  entry 1499",
            &format!("  1,500       30 B  {HARMLESS}"),
            "Segments: █ sealed ▒ open ! damaged",
            "█▒",
            " open ",
            " q quit  ? help  space pause  ↑↓ scroll",
        ],
    );
    // Where there is room, the entries stand beside the rest.
    let wide = drawn(screen, 140, 30);
    let beside =
        |line: &str| line.contains("Entries    1,500; ") || line.contains("  1,500       30 B");
    assert!(wide.lines().nth(1).unwrap().contains("Latest entries"), "{wide}");
    assert_eq!(wide.lines().filter(|line| beside(line)).count(), 1, "{wide}");
    assert!(wide.lines().any(|line| line.contains("State") && line.contains("Latest")), "{wide}");
}

#[test]
fn the_whole_page_can_be_reached_in_any_size() {
    let dir = log(1500, 749);
    let (watch, mut looker) = watch(dir.path());
    let mut screen = screen_of(&watch, looker.look());
    let first = drawn(&mut screen, 40, 10);
    shows(
        &first,
        &["State      can be read", "1,500; first 1, last 1,500", " q quit", "↑↓ scroll"],
    );
    assert!(first.lines().all(|line| line.width() == 40), "{first}");
    let mut seen = first.clone();
    for _ in 0..300 {
        screen.turn(Wish::Down);
        seen.push_str(&drawn(&mut screen, 40, 10));
    }
    let ordinals =
        (0..u64::MAX).take_while(|n| dir.path().join(format!("segment-{n:04}.wal")).exists());
    for ordinal in ordinals {
        let row = format!("{ordinal} ");
        assert!(
            seen.lines().any(|line| line.trim_start().starts_with(&row)),
            "no segment {ordinal}"
        );
    }
    shows(&seen, &["mailer", "entry 1499", "\\u{1b}]0;own"]);
    let last = drawn(&mut screen, 40, 10);
    screen.turn(Wish::End);
    assert_eq!(drawn(&mut screen, 40, 10), last);
    screen.turn(Wish::PageUp);
    assert_ne!(drawn(&mut screen, 40, 10), last);
    screen.turn(Wish::PageDown);
    assert_eq!(drawn(&mut screen, 40, 10), last);
    screen.turn(Wish::Home);
    assert_eq!(drawn(&mut screen, 40, 10), first);
    for width in [1, 2, 3, 11, 12, 20, 80, 119, 120, 400] {
        for height in [1, 2, 3, 4, 24, 120] {
            for wish in [Wish::End, Wish::Help, Wish::Other, Wish::Home] {
                screen.turn(wish);
                let lines = drawn(&mut screen, width, height).lines().count();
                assert_eq!(lines, usize::from(height));
            }
        }
    }
}

#[test]
fn help_covers_the_page_until_a_key() {
    let dir = log(3, 1);
    let (watch, mut looker) = watch(dir.path());
    let mut screen = screen_of(&watch, looker.look());
    let before = drawn(&mut screen, 40, 10);
    screen.turn(Wish::Help);
    for (width, height) in [(40, 10), (100, 30)] {
        let help = drawn(&mut screen, width, height);
        shows(&help, &["q Esc Ctrl-C   quit", "every byte", "Nothing is locked, nothing written."]);
    }
    screen.turn(Wish::Down);
    assert_eq!(drawn(&mut screen, 40, 10), before, "the key only ends the help");
    screen.turn(Wish::Pause);
    shows(&drawn(&mut screen, 40, 10), &["PAUSED"]);
}

#[test]
fn an_empty_log() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).close().unwrap();
    let (watch, mut looker) = watch(dir.path());
    // Before the segments are listed, and after.
    shows(&drawn(&mut screen_of(&watch, looker.view()), 80, 24), &["Segments   being listed"]);
    let view = looker.look();
    shows(
        &drawn(&mut screen_of(&watch, view), 80, 30),
        &["none; next 1", "nothing to be", "1, 0 sealed, 1 open; 0 B", "Cursors    none", "  none"],
    );
}

#[test]
fn a_writer_at_work_is_seen() {
    let dir = tempfile::tempdir().unwrap();
    let wal = open(dir.path());
    wal.append("first").unwrap();
    let (watch, mut looker) = watch(dir.path());
    looker.look();
    for n in 0..50 {
        wal.append(format!("entry {n}")).unwrap();
    }
    let begun = Instant::now();
    let text = loop {
        let view = looker.look();
        let text = drawn(&mut screen_of(&watch, view), 80, 40);
        // Reading the latest entries and listing the segments rest between two looks.
        if text.contains("entry 49") {
            break text;
        }
        assert!(begun.elapsed() < LONG, "{text}");
    };
    shows(&text, &[&format!("process {}, which opened it", std::process::id()), "51; first 1"]);
    while watch.samples().last().unwrap().appended_bytes == 0 {
        looker.look();
        assert!(begun.elapsed() < LONG);
    }
    let view = looker.view();
    let bars = |line: &str| line.contains("/s ") && line.chars().any(|c| ('▁'..='█').contains(&c));
    let text = drawn(&mut screen_of(&watch, view), 80, 40);
    assert_eq!(text.lines().filter(|line| bars(line)).count(), 2, "{text}");
    wal.sync().unwrap();
    while !drawn(&mut screen_of(&watch, looker.look()), 80, 40).contains("all, to 51") {
        assert!(begun.elapsed() < LONG);
    }
}

#[test]
fn damage_is_shown_where_it_is() {
    let dir = log(200, 1);
    let path = dir.path().join("segment-0001.wal");
    let mut bytes = fs::read(&path).unwrap();
    // In a payload.
    bytes[95] ^= 1;
    fs::write(&path, bytes).unwrap();
    let (watch, mut looker) = watch(dir.path());
    assert!(watch.start_check());
    let begun = Instant::now();
    while watch.check().running.is_some() {
        assert!(begun.elapsed() < LONG);
        std::thread::yield_now();
    }
    let mut screen = screen_of(&watch, looker.look());
    let text = drawn(&mut screen, 80, 120);
    shows(&text, &["walden top  DAMAGED  ", "DAMAGED in 1 place, ", "█!█", "damaged"]);
    let row = text.lines().find(|line| line.contains(" segment-0001.wal ")).unwrap();
    assert!(row.contains("damaged"), "{row}");
    // What is bad is red where there are colours, and only there.
    for colours in [false, true] {
        screen.palette = Palette { colours };
        let mut terminal = Terminal::new(TestBackend::new(80, 120)).unwrap();
        terminal.draw(|frame| screen.draw(frame)).unwrap();
        let cells = terminal.backend().buffer().content();
        assert_eq!(cells.iter().any(|cell| cell.fg == Color::Red), colours);
        assert_eq!(cells.iter().any(|cell| cell.fg != Color::Reset), colours);
    }
}

#[test]
fn a_log_that_cannot_be_opened_is_shown_all_the_same() {
    let dir = log(200, 1);
    fs::write(dir.path().join("segment.manifest"), "nonsense").unwrap();
    let (watch, mut looker) = watch(dir.path());
    let view = looker.look();
    assert_eq!(code_of(&view), Code::Damage);
    assert!(as_text(&view).contains("State      cannot be read: "), "{}", as_text(&view));
    let text = drawn(&mut screen_of(&watch, view), 60, 30);
    shows(&text, &["UNREADABLE", "cannot be read: "]);
}

#[test]
fn damage_among_the_latest_entries_is_told_before_them() {
    let dir = log(200, 1);
    let newest = dir.path().join("segment-0006.wal");
    let mut bytes = fs::read(&newest).unwrap();
    bytes[95] ^= 1;
    fs::write(&newest, bytes).unwrap();
    let (watch, mut looker) = watch(dir.path());
    let view = looker.look();
    assert_eq!(code_of(&view), Code::Damage);
    let text = drawn(&mut screen_of(&watch, view), 80, 60);
    shows(
        &text,
        &["  before 194: ", "segment-0006.wal at byte 74", "  200       30 B", "  194        9 B"],
    );
}

#[test]
fn a_log_that_goes_away_and_comes_back() {
    let dir = log(200, 1);
    let (watch, mut looker) = watch(dir.path());
    looker.look();
    let (place, other) = (dir.path(), tempfile::tempdir().unwrap());
    fs::rename(place, other.path().join("away")).unwrap();
    let begun = Instant::now();
    let view = loop {
        let view = looker.look();
        if view.seen.problem.is_some() {
            break view;
        }
        assert!(begun.elapsed() < LONG);
    };
    assert_eq!(code_of(&view), Code::Error);
    let text = drawn(&mut screen_of(&watch, view), 80, 40);
    // What was there is still seen, and said to be old.
    shows(&text, &["UNREADABLE", "what follows was seen before", "200; first 1", "entry 199"]);
    // Another one in its place, shorter.
    let wal = open(place);
    wal.append("another").unwrap();
    let begun = Instant::now();
    while !drawn(&mut screen_of(&watch, looker.look()), 80, 40).contains("  another ") {
        assert!(begun.elapsed() < LONG);
    }
    let view = looker.look();
    shows(&drawn(&mut screen_of(&watch, view), 80, 40), &["1; first 1, last 1, next 2"]);
}

#[test]
fn what_recovery_left_is_told() {
    let dir = log(20, 1);
    let folder = dir.path().join("segment.quarantine");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("segment-0001-at-7-gen-3.torn"), [1; 2048]).unwrap();
    let (_, mut looker) = watch(dir.path());
    let text = as_text(&looker.look());
    assert!(text.contains("Recovery   1 file in quarantine, 2.0 KiB\n"), "{text}");
}

/// What this thread has read from files, where the system tells.
fn bytes_read() -> Option<u64> {
    let text = fs::read_to_string("/proc/thread-self/io").ok()?;
    text.lines().find_map(|line| line.strip_prefix("rchar: ")?.parse().ok())
}

#[test]
fn a_long_log_costs_no_more_than_a_short_one() {
    // Bytes read before the first page is there, and until the segments are listed.
    let costs = [516, 6340].map(|entries| {
        let dir = tempfile::tempdir().unwrap();
        let wal = Wal::open(dir.path(), Config::os_cache().segment_size(1 << 20)).unwrap();
        for _ in 0..entries {
            wal.append([b'x'; 5000]).unwrap();
        }
        wal.close().unwrap();
        let before = bytes_read()?;
        let (_, mut looker) = watch(dir.path());
        let at_first = bytes_read()? - before;
        looker.look();
        Some((at_first, bytes_read()? - before))
    });
    let [Some(short), Some(long)] = costs else { return };
    // Both have the last segment filled as far. The longer one has 28 more, 29 MB; of each a first piece is read.
    assert!(long.0 < short.0 + (2 << 20), "{short:?} {long:?}");
    assert!(long.1 < short.1 + (5 << 20), "{short:?} {long:?}");
}

#[test]
fn an_entry_larger_than_all_others_together_is_the_only_one_read() {
    let dir = tempfile::tempdir().unwrap();
    let wal = Wal::open(dir.path(), Config::os_cache()).unwrap();
    wal.append("small").unwrap();
    wal.append(vec![b'x'; 3 << 20]).unwrap();
    wal.flush().unwrap();
    let (_, mut looker) = watch(dir.path());
    let view = looker.look();
    assert_eq!(view.latest.entries.len(), 1);
    assert_eq!(view.latest.entries[0].len, 3 << 20);
    assert!(view.latest.entries[0].text.len() < 1000);
}

#[test]
fn a_text_has_no_more_than_a_page() {
    let dir = log(5000, 1);
    let (_, mut looker) = watch(dir.path());
    let view = looker.look();
    assert_eq!(code_of(&view), Code::Fine);
    let text = as_text(&view);
    assert!(text.lines().count() < 100, "{text}");
    assert!(text.contains(" older ones: walden inspect\n"), "{text}");
    assert!(text.contains(HARMLESS) && text.contains("entry 4999\n"), "{text}");
    assert!(!text.chars().any(|c| c.is_control() && c != '\n'), "{text:?}");
}

#[test]
fn a_look_that_takes_long_is_told() {
    let dir = log(3, 1);
    let (_, looker) = watch(dir.path());
    let mut view = looker.view();
    let Some(before) = view.at.checked_sub(Duration::from_secs(60)) else { return };
    view.at = before;
    let mut screen = Screen::new(view, Check::default(), Palette { colours: false }, LONG / 6);
    shows(&drawn(&mut screen, 80, 24), &["LOOKING FOR 5"]);
}

#[test]
fn keys() {
    let key = |code, modifiers| wish(KeyEvent::new(code, modifiers));
    for (code, wanted) in [
        (KeyCode::Char('q'), Wish::Quit),
        (KeyCode::Esc, Wish::Quit),
        (KeyCode::Up, Wish::Up),
        (KeyCode::Down, Wish::Down),
        (KeyCode::PageUp, Wish::PageUp),
        (KeyCode::PageDown, Wish::PageDown),
        (KeyCode::Home, Wish::Home),
        (KeyCode::End, Wish::End),
        (KeyCode::Char(' '), Wish::Pause),
        (KeyCode::Char('c'), Wish::Check),
        (KeyCode::Char('?'), Wish::Help),
        (KeyCode::Char('x'), Wish::Other),
    ] {
        assert_eq!(key(code, KeyModifiers::NONE), wanted);
    }
    assert_eq!(key(KeyCode::Char('c'), KeyModifiers::CONTROL), Wish::Interrupt);
    assert_eq!(key(KeyCode::Char('l'), KeyModifiers::CONTROL), Wish::Redraw);
    assert_eq!(key(KeyCode::Char('q'), KeyModifiers::CONTROL), Wish::Other);
}
