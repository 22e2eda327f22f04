//! Ctrl-C: ends the program with 130, after a command has put in order what it must.

use std::process;
use std::sync::Mutex;

use crate::exit::Code;

type Hook = Box<dyn FnOnce() + Send>;

/// What to do instead of ending at once.
static HOOK: Mutex<Option<Hook>> = Mutex::new(None);

/// Takes over Ctrl-C. Where that cannot be done, it ends the program as it always does.
pub(crate) fn install() {
    drop(ctrlc::set_handler(|| {
        let hook = HOOK.lock().ok().and_then(|mut hook| hook.take());
        match hook {
            Some(hook) => hook(),
            // Nobody asked to be told, or was told before and is slow: no log is harmed by this.
            None => process::exit(i32::from(Code::Interrupted.number())),
        }
    }));
}

/// At the first Ctrl-C calls `hook` on a thread of its own, and the program goes on until it ends by
/// itself; the second one ends it.
pub(crate) fn on_interrupt(hook: impl FnOnce() + Send + 'static) {
    if let Ok(mut slot) = HOOK.lock() {
        *slot = Some(Box::new(hook));
    }
}
