//! Ctrl-C: ends the program with 130, after a command has put in order what it must. Where there is something to be put in
//! order, SIGTERM is waited with, too.

use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex};

use signal_hook::consts::SIGTERM;
use signal_hook::{flag, low_level};

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
/// itself; the second one ends it. A hook that waits for something would keep the second one from that.
pub(crate) fn on_interrupt(hook: impl FnOnce() + Send + 'static) {
    if let Ok(mut slot) = HOOK.lock() {
        *slot = Some(Box::new(hook));
    }
}

/// Whether SIGTERM came to who waits with it.
static TERMINATED: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// Sets `ended` at the first Ctrl-C or SIGTERM, for who must clean up before it ends; the second one ends the program.
pub(crate) fn on_end(ended: &Arc<AtomicBool>) {
    let flag = Arc::clone(ended);
    on_interrupt(move || flag.store(true, Ordering::Release));
    // In this order: the first one finds the flag down. Where that cannot be done, it ends the program as it always does.
    let second = flag::register_conditional_default(SIGTERM, Arc::clone(&TERMINATED));
    if second.is_ok() {
        drop(flag::register(SIGTERM, Arc::clone(&TERMINATED)));
        drop(flag::register(SIGTERM, Arc::clone(ended)));
    }
}

pub(crate) fn terminated() -> bool {
    TERMINATED.load(Ordering::Acquire)
}

/// Ends the program as SIGTERM does (143 for a shell), where that came and was waited with.
pub(crate) fn end_if_terminated() {
    if terminated() {
        drop(low_level::emulate_default_handler(SIGTERM));
    }
}
