//! `run --screen`: the front of a box, drawn in the terminal: its state, its last payments, and the code it shows. Its
//! keypad is the keyboard: an amount and Enter ask for a dynamic QR.
//!
//! A thread of its own draws and reads keys, so that a slow terminal never holds up the box.

mod draw;
mod face;

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
use crate::session::Control;
use face::Face;

/// How often it looks for keys and for what happened.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// It is drawn anew at least this often: seconds pass.
const DRAW_EVERY: Duration = Duration::from_millis(500);

/// The longest amount on the keypad, in digits.
const DIGITS_MAX: usize = 8;

/// The face, and whether it has changed since it was drawn.
#[derive(Default)]
struct Shared {
    face: Face,
    changed: bool,
}

/// The screen of one box.
pub struct Screen {
    shared: Arc<Mutex<Shared>>,
    thread: std::thread::JoinHandle<std::io::Result<()>>,
}

impl Screen {
    /// Takes the terminal. Switching the box off at its keypad cancels `stop`.
    ///
    /// # Errors
    /// No terminal.
    pub fn open(controls: mpsc::Sender<Control>, stop: CancellationToken) -> anyhow::Result<Self> {
        anyhow::ensure!(
            std::io::stdout().is_terminal(),
            "--screen needs a terminal; without one, --json tells what happens"
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

    /// Whoever tells the screen what happens.
    pub fn listener(&self) -> impl Fn(&Report) + Send + Sync + 'static {
        let shared = Arc::clone(&self.shared);
        move |report| {
            if let Ok(mut shared) = shared.lock() {
                shared.face.take(report);
                shared.changed = true;
            }
        }
    }

    /// Gives the terminal back; `stop` must have been cancelled.
    ///
    /// # Errors
    /// A terminal that could not be drawn on.
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
            if event::poll(LOOK_EVERY)? {
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
                shared.face.expire(now);
                terminal.draw(|frame| draw::draw(frame, &shared.face, now))?;
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
        let face = &mut shared.face;
        match key.code {
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => {
                self.stop.cancel();
            }
            KeyCode::Char('q') => self.stop.cancel(),
            KeyCode::Char(digit) if digit.is_ascii_digit() && face.keyed.len() < DIGITS_MAX => {
                face.shown = None;
                face.keyed.push(digit);
            }
            KeyCode::Backspace => {
                face.keyed.pop();
            }
            KeyCode::Esc => {
                face.keyed.clear();
                face.shown = None;
            }
            KeyCode::Enter => {
                if let Ok(amount) = std::mem::take(&mut face.keyed).parse::<Rupiah>() {
                    // A box that is busy with earlier keys is asked again by the next one.
                    let _sent = self.controls.try_send(Control::AskQr { amount });
                }
            }
            _ => {}
        }
    }
}
