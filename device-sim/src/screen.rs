//! `run --screen`: the front of a box, drawn in the terminal: its state, its last payments and the code on its display.
//! The keyboard is its keypad: an amount and Enter request a dynamic QR, `r` and `t` press its buttons for the last payment and
//! the total of the day.
//!
//! Drawing and reading keys have a thread of their own, so that a slow terminal does not delay the box.

mod draw;
mod front_panel;

use std::io::IsTerminal;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use wire::Rupiah;

use crate::clock;
use crate::report::Report;
use crate::session::{Button, Control};
use front_panel::FrontPanel;

/// How often keys and changes are checked.
const CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// The longest time between two drawings: the screen shows elapsed seconds.
const DRAW_EVERY: Duration = Duration::from_millis(500);

/// The longest amount on the keypad, in digits.
const DIGITS_MAX: usize = 8;

/// The front panel, and whether it has changed since it was drawn.
#[derive(Default)]
struct Shared {
    panel: FrontPanel,
    changed: bool,
}

/// The screen of one box.
pub struct Screen {
    shared: Arc<Mutex<Shared>>,
    thread: std::thread::JoinHandle<std::io::Result<()>>,
}

impl Screen {
    /// Opens the terminal. The key `q` cancels `stop`.
    pub fn open(controls: mpsc::Sender<Control>, stop: CancellationToken) -> anyhow::Result<Self> {
        anyhow::ensure!(
            std::io::stdout().is_terminal(),
            "--screen needs a terminal; use --json without one"
        );
        let shared = Arc::new(Mutex::new(Shared::default()));
        let keypad = Keypad {
            shared: Arc::clone(&shared),
            controls,
            stop,
        };
        let terminal = ratatui::try_init()?;
        let thread = std::thread::Builder::new()
            .name("screen".to_owned())
            .spawn(move || {
                let result = keypad.run(terminal);
                ratatui::restore();
                keypad.stop.cancel();
                result
            })?;
        Ok(Self { shared, thread })
    }

    /// The listener that updates the screen.
    pub fn listener(&self) -> impl Fn(&Report) + Send + Sync + 'static {
        let shared = Arc::clone(&self.shared);
        move |report| {
            if let Ok(mut shared) = shared.lock() {
                shared.panel.record(report);
                shared.changed = true;
            }
        }
    }

    /// Restores the terminal; `stop` must have been cancelled.
    pub fn close(self) -> anyhow::Result<()> {
        match self.thread.join() {
            Ok(result) => Ok(result?),
            Err(_) => anyhow::bail!("the screen has panicked"),
        }
    }
}

struct Keypad {
    shared: Arc<Mutex<Shared>>,
    controls: mpsc::Sender<Control>,
    stop: CancellationToken,
}

impl Keypad {
    fn run(&self, mut terminal: DefaultTerminal) -> std::io::Result<()> {
        let mut drawn = Instant::now();
        let mut first = true;
        while !self.stop.is_cancelled() {
            if event::poll(CHECK_INTERVAL)? {
                match event::read()? {
                    event::Event::Key(key) if key.kind == KeyEventKind::Press => self.press(key),
                    _ => self.touch(),
                }
            }
            let Ok(mut shared) = self.shared.lock() else {
                return Ok(());
            };
            if first || shared.changed || drawn.elapsed() >= DRAW_EVERY {
                let now = clock::now();
                shared.panel.expire(now);
                terminal.draw(|frame| draw::draw(frame, &shared.panel, now))?;
                shared.changed = false;
                drawn = Instant::now();
                first = false;
            }
        }
        Ok(())
    }

    fn touch(&self) {
        if let Ok(mut shared) = self.shared.lock() {
            shared.changed = true;
        }
    }

    fn press(&self, key: KeyEvent) {
        self.touch();
        let Ok(mut shared) = self.shared.lock() else {
            return;
        };
        let panel = &mut shared.panel;
        match key.code {
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => {
                self.stop.cancel();
            }
            KeyCode::Char('q') => self.stop.cancel(),
            // While the box has other controls queued, these keys are ignored.
            KeyCode::Char('r') => {
                let _sent = self.controls.try_send(Control::Press(Button::Replay));
            }
            KeyCode::Char('t') => {
                let _sent = self.controls.try_send(Control::Press(Button::Total));
            }
            KeyCode::Char(digit) if digit.is_ascii_digit() && panel.keyed.len() < DIGITS_MAX => {
                panel.shown = None;
                panel.keyed.push(digit);
            }
            KeyCode::Backspace => {
                panel.keyed.pop();
            }
            KeyCode::Esc => {
                panel.keyed.clear();
                panel.shown = None;
            }
            KeyCode::Enter => {
                if let Ok(amount) = std::mem::take(&mut panel.keyed).parse::<Rupiah>() {
                    // While the box has other controls queued, the key is ignored.
                    let _sent = self.controls.try_send(Control::RequestQr { amount });
                }
            }
            _ => {}
        }
    }
}
