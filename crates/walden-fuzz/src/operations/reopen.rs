//! Opening a log again, and which of what it may be it is.

use super::*;

impl Run {
    pub(super) fn open(&mut self, ended: Ended) {
        let open = |run: &Self| {
            let (disk, clock) = (Arc::new(run.disk.clone()), Arc::new(run.clock.clone()));
            Wal::open_with("/log", run.config(), disk, clock)
        };
        self.disk.set_capacity(None);
        (self.disturbed, self.limited) = (false, false);
        self.setup.strategy = self.next_strategy;
        let log = open(self).unwrap_or_else(|error| panic!("after {ended:?}: {error}"));
        let found: Vec<Vec<u8>> =
            log.range(..).unwrap().map(|entry| entry.unwrap().payload.to_vec()).collect();
        let floor = |model: &Model| match ended {
            Ended::Closed | Ended::Killed => model.written,
            Ended::PowerCut(_) => model.durable,
        };
        let first = log.first_seq();
        let mut why = Vec::new();
        let fits = self.outcomes().into_iter().find(|model| {
            let verdict = model.allows(first, &found, floor(model));
            verdict.map_err(|error| why.push(error)).is_ok()
        });
        let Some(mut model) = fits else { panic!("after {ended:?}: {why:?}") };
        model.settle(log.next_seq());
        for key in 0..4_u8 {
            let (key, found) = (vec![key], log.meta([key]).unwrap_or_default());
            let known = model.meta.get(&key).cloned().unwrap_or_default();
            let doubtful = self.meta_doubt.as_ref().filter(|doubt| doubt.0 == key);
            assert!(
                found == known || doubtful.is_some_and(|doubt| doubt.1 == found),
                "metadata {key:?} is {found:?}, not {known:?}"
            );
            if found.is_empty() {
                model.meta.remove(&key);
            } else {
                model.meta.insert(key, found);
            }
        }
        self.model = model;
        self.doubts.clear();
        self.meta_doubt = None;
        self.log = Some(log);
        self.consumers.reopened();
    }

    /// What the log may be, each cut in doubt having happened or not, in their order.
    fn outcomes(&self) -> Vec<Model> {
        let mut all = vec![self.model.clone()];
        for doubt in &self.doubts {
            for i in 0..all.len() {
                let model = all[i].clone();
                let range = model.first..=model.next();
                let mut done = model.clone();
                // The same cut again and again doubles nothing.
                let mut add = |model: Model| {
                    if !all.contains(&model) {
                        all.push(model);
                    }
                };
                match *doubt {
                    Doubt::Front(first) if range.contains(&first) => done.cut_front(first),
                    Doubt::Back(next) if range.contains(&next) => done.cut_back(next),
                    Doubt::Reset(next) => done.reset(next),
                    Doubt::Retained => {
                        for first in range {
                            let mut done = model.clone();
                            done.cut_front(first);
                            add(done);
                        }
                        continue;
                    }
                    _ => continue,
                }
                add(done);
            }
        }
        all
    }
}
