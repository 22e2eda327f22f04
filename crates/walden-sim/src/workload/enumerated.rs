//! Short histories, cut off at every single call of the disk, with every image a power cut can leave.

use super::History;
use super::run::Run;
use super::violation::{Checked, Rule, Violation, hold};
use crate::enumerate_crashes;

impl History {
    /// Runs it once for each call of the disk, with the disk stopping there, and opens every image that a power
    /// cut can leave then, at most `limit` each. Gives how many images there were.
    ///
    /// The log is made before, and durable. A history for this has no crashes or faults of its own.
    ///
    /// # Errors
    /// The first promise that is broken.
    pub fn every_crash(&self, limit: u64) -> Result<u64, Violation> {
        let mut images = 0;
        for stop in 1.. {
            let mut run = Run::new(self.setup)?;
            run.disk.settle();
            run.disk.stop_after(stop);
            let ended = self.steps.iter().try_for_each(|step| run.step_until_stopped(step));
            if let Err(Err(violation)) = ended {
                return Err(violation);
            }
            if !run.disk.stopped() {
                break;
            }
            images += every_image(&run, stop, limit)?;
        }
        Ok(images)
    }
}

fn every_image(run: &Run, stop: u64, limit: u64) -> Checked<u64> {
    let (mut images, mut checked) = (0, Ok(()));
    enumerate_crashes(&run.disk, limit, |image| {
        images += 1;
        if checked.is_ok() {
            checked = run.check_image(&image, run.model.durable).map_err(|mut violation| {
                violation.what = format!("after a power cut at call {stop}: {}", violation.what);
                violation.trace.clone_from(&run.trace);
                violation.trace.extend(image.op_log());
                violation.trace.extend(run.disk.op_log());
                violation
            });
        }
    });
    checked?;
    hold(Rule::Refused, images > 0, || "there was no image".to_owned())?;
    Ok(images)
}
